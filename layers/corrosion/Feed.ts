import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import { monotonicMs } from "../../src/actor/Monotonic.ts"
import type { BackendRow } from "../../src/domain/Backend.ts"
import type { Agent } from "./Agent.ts"
import type { AgentError } from "./AgentError.ts"
import { columnsOf, query, selectOf, type TableQuery } from "./queries.ts"
import * as RowTable from "./RowTable.ts"
import * as Subscriber from "./Subscriber.ts"

/** What becomes of a table that is followed. */
export interface FeedEvents {
  /** Its rows differ from before. */
  readonly changed: () => void
  /** Its rows are what they were, as was seen just now. */
  readonly confirmed: () => void
  /** It can neither be subscribed to nor read. */
  readonly lost: (error: AgentError) => void
}

/** One table, kept as it is at the agent. */
export interface Feed {
  /** Undefined before the first. The last good ones stay while there are no newer. */
  readonly rows: () => ReadonlyArray<BackendRow> | undefined
  /** Never ends by itself. */
  readonly run: Effect.Effect<never>
}

export interface FeedOptions {
  readonly agent: Agent
  readonly query: TableQuery
  readonly pollMs: number
  readonly mode: "subscribe" | "poll"
}

/** Two attempts may follow each other at once; from then on an agent that answers wrongly must not be asked as fast as it answers. */
const HURRIED = 2

/** Follows a table by a subscription, and by reading it every `pollMs` while there is none. */
export const make = Effect.fnUntraced(function* ({ agent, mode, pollMs, query: table }: FeedOptions, on: FeedEvents) {
  const { times } = agent
  const now = yield* monotonicMs
  const polling = yield* Latch.make(mode === "poll")
  let rows: RowTable.RowTable | undefined
  const live: { since: number | undefined } = { since: undefined }

  const subscriber = Subscriber.make({
    agent,
    query: table,
    silenceMs: pollMs,
    table: () => rows,
    use: (next) => {
      rows = next
    },
    changed: on.changed,
    confirmed: on.confirmed,
    wentLive: () => {
      live.since = now()
      Latch.closeUnsafe(polling)
    },
    stalled: () => void Latch.openUnsafe(polling)
  })

  const poll = Effect.gen(function* () {
    const columns = yield* columnsOf(agent, table)
    const target = rows?.columns.join() === columns.join() ? rows : RowTable.make(columns)
    const collected = target.collect()
    yield* query(agent, selectOf(table.table, columns), { row: collected.add }, times.tableMs)
    // What a subscription has told meanwhile is newer.
    if (subscriber.isLive()) return
    if (target === rows && !collected.differs()) return on.confirmed()
    collected.swap()
    rows = target
    subscriber.distrust()
    on.changed()
  })

  const pollWhileNeeded = Effect.gen(function* () {
    yield* Latch.whenOpen(polling, Effect.void)
    const failure = yield* poll.pipe(
      Effect.as(undefined),
      Effect.catch((error) => Effect.succeed(error))
    )
    if (failure !== undefined && !subscriber.isLive()) on.lost(failure)
    yield* Effect.sleep(failure?.kind === "schema" ? Math.max(pollMs, times.slowRetryMs) : pollMs)
  }).pipe(Effect.forever)

  const subscribe = Effect.gen(function* () {
    let inARow = 0
    let told: string | undefined
    while (true) {
      live.since = undefined
      const { error, pace } = yield* subscriber.attempt
      const livedMs = live.since === undefined ? undefined : now() - live.since
      inARow = livedMs !== undefined && livedMs >= times.steadyMs ? 1 : inARow + 1
      if (livedMs === undefined) {
        if (told !== error.message) {
          yield* Effect.logWarning("no subscription; reading the table instead", {
            table: table.table,
            everyMs: pollMs,
            detail: error.message
          })
        }
        told = error.message
        Latch.openUnsafe(polling)
      } else {
        told = undefined
        yield* Effect.logInfo("subscription interrupted", { table: table.table, detail: error.message })
      }
      if (pace === "now" && inARow <= HURRIED) continue
      const delay = Math.min(times.firstRetryMs * 2 ** (inARow - 1), times.maxRetryMs)
      yield* Effect.sleep((pace === "slow" ? times.slowRetryMs : delay) * (0.5 + (yield* Random.next) / 2))
    }
  })

  return {
    rows: () => rows?.rows(),
    run: mode === "poll" ? pollWhileNeeded : Effect.raceFirst(subscribe, pollWhileNeeded)
  } satisfies Feed
})
