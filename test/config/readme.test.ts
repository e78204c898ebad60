import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { withConfiguration } from "../support/readme.ts"

describe("README", () => {
  it("has the configuration as it is defined (else: npm run readme)", () => {
    const readme = readFileSync("README.md", "utf8")
    assert.strictEqual(readme, withConfiguration(readme))
  })
})
