import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { Database } from "./Database.ts"
import { parseJson } from "./json.ts"
import { changesAfter, decodeRow, encodeRow, merge } from "./merge.ts"
import { schema } from "./setup.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** What a node does to one of two rows: writes columns, deletes, or takes over what another node has. */
const Step = Schema.Struct({
  node: between(0, 2),
  id: between(0, 1),
  what: Schema.Literals(["app", "healthy", "both", "replace", "delete", "from 0", "from 1", "from 2"]),
  value: between(0, 3)
})

const send = (from: Database, to: Database): void => {
  // As it goes over the wire.
  const rows = changesAfter(from, -1).rows.map((row) => decodeRow(parseJson(encodeRow(row))))
  to.transact(
    () =>
      merge(
        to,
        rows.filter((row) => row !== undefined)
      ),
    false
  )
}

const act = (nodes: ReadonlyArray<Database>, { id, node, value, what }: typeof Step.Type): void => {
  const at = nodes[node]
  if (at === undefined) return
  const columns = what === "both" || what === "replace" ? ["app", "healthy"] : [what]
  const set = columns.map((column) => `${column} = excluded.${column}`).join(", ")
  const values = columns.map((column) => (column === "app" ? `'${value}'` : value)).join(", ")
  if (what.startsWith("from")) {
    const from = nodes[Number(what.slice(5))]
    if (from !== undefined && from !== at) send(from, at)
  } else {
    at.transact(() =>
      at.rows(
        what === "delete"
          ? `DELETE FROM backends WHERE id = '${id}'`
          : what === "replace"
            ? `INSERT OR REPLACE INTO backends (id, ${columns.join(", ")}) VALUES ('${id}', ${values})`
            : `INSERT INTO backends (id, ${columns.join(", ")}) VALUES ('${id}', ${values}) ON CONFLICT DO UPDATE SET ${set}`
      )
    )
  }
}

const all = (database: Database): string => changesAfter(database, -1).rows.map(encodeRow).sort().join("\n")

describe("merging", () => {
  it.prop(
    "makes nodes agree, whatever each has done and in whatever order they hear of it",
    [Schema.Array(Step).check(Schema.isMaxLength(14))],
    ([steps]) => {
      const nodes = [0, 1, 2].map(() => new Database(schema))
      for (const step of steps) act(nodes, step)
      const [a, b, c] = nodes
      assert(a !== undefined && b !== undefined && c !== undefined)
      for (const [from, to] of [
        [a, b],
        [b, c],
        [c, a],
        [c, b]
      ] as const)
        send(from, to)
      assert.strictEqual(all(a), all(b))
      assert.strictEqual(all(b), all(c))
      // Nothing to take over: nothing changes.
      const { touched } = a.transact(() => merge(a, changesAfter(b, -1).rows), false)
      assert.strictEqual(touched.size, 0)
      const rows = nodes.map((node) => JSON.stringify(node.rows("SELECT id, app FROM backends ORDER BY id")))
      assert.strictEqual(new Set(rows).size, 1)
      for (const node of nodes) node.close()
    }
  )
})
