import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { manual, SELECT } from "./setup.ts"
import { subscribe, transact } from "./talk.ts"

const ROWS = 100_000
const load = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
  INSERT INTO backends (id, app, healthy) SELECT 'm' || i, 'app-' || (i % 50), 1 FROM n`

describe("an agent with 100,000 rows", () => {
  it.live("takes them in one statement, gives them as a snapshot and follows one of them", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, url } = yield* manual()
        assert.strictEqual((yield* transact(url, load)).status, 200)
        const listener = yield* subscribe(url, SELECT)
        assert.strictEqual((yield* listener.snapshot).length, ROWS + 2)
        yield* transact(url, "UPDATE backends SET healthy = 0 WHERE id = 'm5000'")
        yield* control({ do: "tick" })
        assert.deepStrictEqual(yield* listener.next(1), [{ change: ["update", 5_000, ["m5000", "app-0", 0], 1] }])
      })
    )
  )
})
