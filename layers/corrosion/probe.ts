import * as Effect from "effect/Effect"
import { sighted, type Sighting, type SourceError } from "../../src/routing/BackendSource.ts"
import * as Agent from "./Agent.ts"
import { type AgentError, sourceError } from "./AgentError.ts"
import type { CorrosionOptions } from "./options.ts"
import { columnsOf, openOk, ping, post, query, selectOf, type TableQuery } from "./queries.ts"
import { backends, states } from "./tables.ts"

const countRows = Effect.fnUntraced(function* (agent: Agent.Agent, table: string) {
  let count = 0
  yield* query(
    agent,
    `SELECT count(*) FROM ${table}`,
    {
      row: (_, cells) => {
        if (!("_tag" in cells)) count = Number(cells[0])
        return true
      }
    },
    agent.times.tableMs
  )
  return count
})

const describe = Effect.fnUntraced(function* (agent: Agent.Agent, table: TableQuery) {
  const columns = yield* columnsOf(agent, table)
  const absent = table.columns.filter((column) => !columns.includes(column))
  const without = absent.length === 0 ? "" : `, without the optional ${absent.join(", ")}`
  return { columns, line: `table ${table.table}: ${yield* countRows(agent, table.table)} rows${without}` }
})

/** Opens the subscription that the source would, and leaves it. */
const subscribe = (agent: Agent.Agent, { table }: TableQuery, columns: ReadonlyArray<string>) =>
  openOk(agent, post("/v1/subscriptions", { query: selectOf(table, columns) })).pipe(Effect.scoped)

const because = ({ detail }: AgentError): string => `: ${detail}`

/**
 * What is to be said of the agent before anything depends on it: one line for each thing that was looked at. Fails when the
 * proxy could not run with it: it is not there, does not take the token, or lacks the table.
 */
export const probe = (options: CorrosionOptions): Effect.Effect<ReadonlyArray<Sighting>, SourceError> => {
  const agent = Agent.make(options)
  return Effect.gen(function* () {
    yield* ping(agent)
    const how = options.token === undefined ? "without a token" : "and takes the token"
    const found = [sighted("ok", `the agent at ${agent.target} answers, ${how}`)]
    const table = yield* describe(agent, backends)
    found.push(sighted("ok", table.line))
    const companion = yield* describe(agent, states).pipe(
      Effect.map(({ line }) => sighted("ok", line)),
      Effect.catch((error) =>
        Effect.succeed(
          sighted("warn", `table ${states.table} can't be read, so nothing can register or drain${because(error)}`)
        )
      )
    )
    found.push(companion)
    if (options.mode === "subscribe") {
      found.push(
        yield* subscribe(agent, backends, table.columns).pipe(
          Effect.as(sighted("ok", `table ${backends.table} can be subscribed to`)),
          Effect.catch((error) =>
            Effect.succeed(
              sighted(
                "warn",
                `table ${backends.table} can't be subscribed to; it is read every ${options.pollMs} ms${because(error)}`
              )
            )
          )
        )
      )
    }
    return found
  }).pipe(Effect.mapError((error) => sourceError(agent.target, error)))
}
