import * as Effect from "effect/Effect"
import { forEachSliced } from "../../src/actor/Sliced.ts"
import type { BackendRow } from "../../src/domain/Backend.ts"
import type { Agent } from "./Agent.ts"
import { columnsOf, query, selectOf, type TableQuery } from "./queries.ts"
import type { RowTable } from "./RowTable.ts"
import * as ShardedMap from "./ShardedMap.ts"

/** What the agent's table and this one disagree on: the name of a row, and the row here, if there is one. */
type Differences = ReadonlyMap<string, BackendRow | undefined>

// One that stays is enough; nobody has to count them.
const MAX_DIFFERENCES = 1_000

const differencesFrom = Effect.fnUntraced(function* (agent: Agent, table: string, rows: RowTable) {
  const differences = new Map<string, BackendRow | undefined>()
  const agreed = ShardedMap.make<string, BackendRow>()
  const differ = (name: string, row: BackendRow | undefined): void => {
    if (differences.size < MAX_DIFFERENCES) differences.set(name, row)
  }
  yield* query(
    agent,
    selectOf(table, rows.columns),
    {
      row: (_, cells) => {
        const row = rows.find(cells)
        if (row === undefined) return false
        const name = rows.nameOf(row)
        const here = rows.named(name)
        if (here === row) agreed.set(name, row)
        else if (name !== "") differ(name, here)
        return true
      }
    },
    agent.times.tableMs
  )
  if (agreed.size() === rows.size()) return differences
  yield* forEachSliced(rows.rows() ?? [], (row) => {
    const name = rows.nameOf(row)
    // Without a name it is no backend, and can't be told from others.
    if (name !== "" && agreed.get(name) !== row) differ(name, row)
  })
  return differences
})

/** Of the first look: still there at the second, while nothing was told of that row. */
const hasLasting = (first: Differences, second: Differences): boolean =>
  Array.from(first).some(([name, row]) => second.has(name) && second.get(name) === row)

/**
 * Whether a subscription has missed something: a row differs at two looks, far enough apart for what is on its way to arrive, and
 * the subscription had nothing to say of it. Also when the table has got other columns. Fails when the agent can't be asked.
 */
export const hasMissed = Effect.fnUntraced(function* (agent: Agent, tableQuery: TableQuery, rows: RowTable) {
  const columns = yield* columnsOf(agent, tableQuery)
  if (columns.join() !== rows.columns.join()) return true
  const first = yield* differencesFrom(agent, tableQuery.table, rows)
  if (first.size === 0) return false
  yield* Effect.sleep(agent.times.differenceMs)
  return hasLasting(first, yield* differencesFrom(agent, tableQuery.table, rows))
})
