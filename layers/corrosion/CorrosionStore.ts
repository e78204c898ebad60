import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { forEachSliced } from "../../src/actor/Sliced.ts"
import { BackendStore, type StoreChange, StoreError } from "../../src/backends/BackendStore.ts"
import { statementsOf } from "../../src/backends/statements.ts"
import * as Agent from "./Agent.ts"
import { AgentError, sqlFailure } from "./AgentError.ts"
import type { CorrosionOptions } from "./options.ts"
import { openOk } from "./queries.ts"
import { readText } from "./readLines.ts"

/** Writes go to the agent, one transaction each, and from there to the other POPs. */
export const layer = (options: CorrosionOptions): Layer.Layer<BackendStore> =>
  Layer.succeed(BackendStore, make(options))

// A lost answer does not say whether the changes were made; all are idempotent, so they are made again.
const RETRIES = 2
const retryPace = Schedule.exponential("50 millis").pipe(Schedule.jittered)
// One result has less than a hundred bytes.
const MAX_RESULT_BYTES = 512
const MAX_ANSWER_BYTES = 65_536

const make = (options: CorrosionOptions): BackendStore["Service"] => {
  const agent = Agent.make(options)
  const { writeMs } = agent.times
  // The agent gives up before nobody waits for it any more. It takes whole seconds only.
  const timeout = Math.max(1, Math.floor(writeMs / 1_000) - 1)

  const attempt = Effect.fnUntraced(function* (body: string, statements: number) {
    const answer = yield* openOk(agent, { method: "POST", path: `/v1/transactions?timeout=${timeout}`, body })
    const text = yield* readText(answer, MAX_ANSWER_BYTES + statements * MAX_RESULT_BYTES)
    yield* checkResults(text, statements)
  }, Effect.scoped)

  return {
    name: "corrosion",
    write: Effect.fnUntraced(function* (changes) {
      const statements = yield* encode(changes)
      if (statements.length === 0) return
      yield* attempt(`[${statements.join()}]`, statements.length).pipe(
        Effect.retry({ times: RETRIES, schedule: retryPace, while: isWorthRetrying }),
        Effect.timeoutOrElse({
          duration: writeMs,
          orElse: () => Effect.fail(Agent.late(`not written within ${writeMs} ms; it may yet be`))
        }),
        Effect.mapError((error) => storeError(agent.target, error))
      )
    })
  }
}

const isWorthRetrying = ({ kind }: AgentError): boolean => kind === "unreachable" || kind === "unavailable"

/** The statements of all changes as the agent takes them, in order. */
const encode = Effect.fnUntraced(function* (changes: ReadonlyArray<StoreChange>) {
  const statements: Array<string> = []
  yield* forEachSliced(changes, (change) => {
    for (const { params, sql } of statementsOf(change)) statements.push(JSON.stringify({ query: sql, params }))
  })
  return statements
})

/** With status 200 there is one result for each statement; anything else was no agent. */
const checkResults = (text: string, statements: number): Effect.Effect<void, AgentError> =>
  Effect.suspend(() => {
    let results: unknown
    try {
      results = (Object(JSON.parse(text)) as { readonly results?: unknown }).results
    } catch {
      // Said below.
    }
    if (!Array.isArray(results)) return new AgentError({ kind: "protocol", detail: "the answer has no results" })
    for (const result of results) {
      const { error } = Object(result) as { readonly error?: unknown }
      if (typeof error === "string") return sqlFailure(error)
    }
    if (results.length === statements) return Effect.void
    return new AgentError({ kind: "protocol", detail: `${results.length} results for ${statements} statements` })
  })

const reasons: Readonly<Record<AgentError["kind"], StoreError["reason"]>> = {
  unreachable: "unavailable",
  timeout: "timeout",
  denied: "unavailable",
  schema: "schema",
  rejected: "rejected",
  unavailable: "unavailable",
  protocol: "unavailable"
}

const storeError = (target: string, { detail, kind }: AgentError): StoreError => {
  const isReadonly = kind === "rejected" && /read-?only/i.test(detail)
  return new StoreError({ store: "corrosion", target, reason: isReadonly ? "readonly" : reasons[kind], detail })
}
