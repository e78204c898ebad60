import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { backendColumns } from "../../src/domain/Backend.ts"
import { STATE_TABLE, stateColumns } from "../../src/domain/BackendState.ts"
import { ask } from "../support/corrosion/talk.ts"
import { fake, schemaDirectory } from "./rig.ts"

describe("the schema that is shipped", () => {
  it.live("is taken by an agent, and has every column", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      assert.isUndefined(agent.schemaError)
      for (const [table, columns] of [
        ["backends", backendColumns],
        [STATE_TABLE, stateColumns]
      ] as const) {
        const { body } = yield* ask(`${agent.url}/v1/queries`, { json: `SELECT * FROM ${table}` })
        const [line = ""] = body.split("\n")
        assert.sameMembers((JSON.parse(line) as { readonly columns: Array<string> }).columns, [...columns])
      }
    })
  )

  // An agent joins its files with semicolons: a comment at the end would swallow one.
  for (const file of readdirSync(schemaDirectory)) {
    it(`${file} ends with a statement and a newline`, () =>
      assert.match(readFileSync(join(schemaDirectory, file), "utf8"), /\);\n$/))
  }
})
