import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"

/** Lints one file at a path of a copy of the house that has nothing in it but the rules. */
const complaints = (path: string, statement: string): string => {
  const house = mkdtempSync(join(tmpdir(), "edgeproxy-lint-"))
  try {
    copyFileSync(".oxlintrc.json", join(house, ".oxlintrc.json"))
    const file = join(house, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${statement}\n`)
    const bin = join(process.cwd(), "node_modules/.bin/oxlint")
    return spawnSync(process.execPath, [bin, path], { cwd: house, encoding: "utf8" }).stdout
  } finally {
    rmSync(house, { recursive: true, force: true })
  }
}

const importing = (specifier: string): string => `export { x } from "${specifier}"`

describe("import rules", () => {
  for (const [path, specifier] of [
    ["src/domain/A.ts", "node:fs"],
    ["src/domain/A.ts", "maxmind"],
    ["src/domain/A.ts", "../routing/Router.ts"],
    ["src/routing/A.ts", "node:net"],
    ["src/routing/A.ts", "maxmind"],
    ["src/routing/A.ts", "../../layers/sqlite/SqliteSource.ts"],
    ["src/routing/A.ts", "../../test/support/mmdb.ts"],
    ["layers/sqlite/A.ts", "../maxmind/MaxMindGeo.ts"],
    ["layers/sqlite/A.ts", "../Main.ts"]
  ] as const) {
    it(`${path} may not import ${specifier}`, () => {
      assert.include(complaints(path, importing(specifier)), "no-restricted-imports")
    })
  }

  for (const [path, specifier] of [
    ["src/domain/A.ts", "./Region.ts"],
    ["src/domain/A.ts", "effect/Result"],
    ["src/routing/A.ts", "../domain/Region.ts"],
    ["layers/sqlite/A.ts", "../../src/domain/Region.ts"],
    ["layers/sqlite/A.ts", "./schema.ts"],
    ["layers/sqlite/A.ts", "node:fs"],
    ["layers/Main.ts", "./sqlite/SqliteSource.ts"]
  ] as const) {
    it(`${path} may import ${specifier}`, () => {
      assert.notInclude(complaints(path, importing(specifier)), "no-restricted-imports")
    })
  }

  for (const statement of [
    "export const x = Date.now()",
    "export const x = process.env",
    "console.log(1)",
    "setTimeout(f)"
  ]) {
    it(`src may not say ${statement}`, () => {
      assert.match(complaints("src/routing/A.ts", statement), /no-restricted-(globals|properties)|no-console/)
    })
  }
})
