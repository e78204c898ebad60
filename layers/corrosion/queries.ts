import * as Effect from "effect/Effect"
import { type Agent, type AgentRequest, late } from "./Agent.ts"
import { AgentError, sqlFailure, statusFailure } from "./AgentError.ts"
import { type Cells, parse, type QueryEvent, type Unreadable } from "./QueryEvent.ts"
import { readLines, readText } from "./readLines.ts"

const MAX_ERROR_BYTES = 65_536

export const post = (path: string, body: unknown): AgentRequest => ({
  method: "POST",
  path,
  body: JSON.stringify(body)
})

/** Opens an answer with status 200; any other is an error in the agent's own words. */
export const openOk = Effect.fnUntraced(function* (agent: Agent, request: AgentRequest) {
  const answer = yield* agent.open(request)
  if (answer.status === 200) return answer
  return yield* refusal(agent, answer)
})

/** What an answer with another status than 200 says. */
export const refusal = Effect.fnUntraced(function* (agent: Agent, answer: Effect.Success<ReturnType<Agent["open"]>>) {
  const text = yield* readText(answer, MAX_ERROR_BYTES).pipe(
    Effect.timeoutOrElse({ duration: agent.times.answerMs, orElse: () => Effect.succeed("") }),
    Effect.orElseSucceed(() => "")
  )
  return yield* statusFailure(answer.status, text)
})

export interface RowUse {
  readonly columns?: (columns: ReadonlyArray<string>) => void
  /** False when it is no row of what was asked for. */
  readonly row?: (rowid: number, cells: Cells | Unreadable) => boolean
}

const strange = (what: string): AgentError => new AgentError({ kind: "protocol", detail: what })

/** Asks one question and gives its rows to `use`. Without the line that ends the rows the answer is none. */
export const query = (agent: Agent, sql: string, use: RowUse, deadlineMs: number): Effect.Effect<void, AgentError> =>
  ask(agent, sql, use).pipe(
    Effect.timeoutOrElse({
      duration: deadlineMs,
      orElse: () => Effect.fail(late(`no whole answer within ${deadlineMs} ms`))
    })
  )

const ask = Effect.fnUntraced(function* (agent: Agent, sql: string, use: RowUse) {
  const answer = yield* openOk(agent, post("/v1/queries", { query: sql }))
  let failure: AgentError | undefined
  let complete = false
  const take = (event: QueryEvent | undefined): AgentError | undefined => {
    switch (event?._tag) {
      case "Columns":
        return void use.columns?.(event.columns)
      case "Row":
        return use.row?.(event.rowid, event.cells) === false ? strange("a row of something else") : undefined
      case "Eoq":
        complete = true
        return undefined
      case "Error":
        return sqlFailure(event.error)
      case "Other":
        return undefined
      default:
        return strange("a line that is none of an answer")
    }
  }
  yield* readLines(answer, (line) => {
    failure = take(parse(line))
    return failure === undefined && !complete
  })
  if (failure !== undefined) return yield* failure
  if (!complete) {
    return yield* new AgentError({ kind: "unavailable", detail: "the answer has ended before its rows have" })
  }
}, Effect.scoped)

/** Whether the agent is there and reads its database. */
export const ping = (agent: Agent): Effect.Effect<void, AgentError> =>
  query(agent, "SELECT 1", {}, agent.times.answerMs)

/** A table as this program reads it. */
export interface TableQuery {
  readonly table: string
  /** What it may have, the one that names the row first. */
  readonly columns: ReadonlyArray<string>
  readonly required: ReadonlyArray<string>
}

/**
 * Which of the columns the agent's table has (T4). Tells whether the schema has been applied, and so makes one text of SQL for
 * each schema: an agent keeps one subscription for each text, whoever asks.
 */
export const columnsOf = Effect.fnUntraced(function* (agent: Agent, { columns, required, table }: TableQuery) {
  let found: ReadonlyArray<string> = []
  yield* query(
    agent,
    `SELECT * FROM ${table} LIMIT 0`,
    {
      columns: (names) => {
        found = names
      }
    },
    agent.times.answerMs
  )
  const present = new Set(found.map((name) => name.toLowerCase()))
  const missing = required.filter((column) => !present.has(column))
  if (missing.length > 0) {
    return yield* new AgentError({ kind: "schema", detail: `its table ${table} lacks ${missing.join(", ")}` })
  }
  return columns.filter((column) => present.has(column))
})

export const selectOf = (table: string, columns: ReadonlyArray<string>): string =>
  `SELECT ${columns.join(", ")} FROM ${table}`
