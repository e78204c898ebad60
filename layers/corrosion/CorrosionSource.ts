import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { BackendSource, type SourceError, type SourceEvent } from "../../src/routing/BackendSource.ts"
import * as Agent from "./Agent.ts"
import { sourceError } from "./AgentError.ts"
import * as Feed from "./Feed.ts"
import type { CorrosionOptions } from "./options.ts"
import { backends, states } from "./tables.ts"

/** What has happened since the last event; a burst of changes is one. */
interface Pending {
  rows: boolean
  confirmed: boolean
  /** The backends can't be had; stays until they can. */
  lost: SourceError | undefined
  /** That they can't has not been told yet. */
  lostUntold: boolean
}

/**
 * The routing table of a Corrosion agent: its tables `backends` and `edgeproxy_backend_state`, by subscriptions, and by reading
 * them while those can't be had. The last good rows stay until there are newer ones. The agent need not have the second table.
 */
export const layer = (options: CorrosionOptions): Layer.Layer<BackendSource> =>
  Layer.succeed(BackendSource, {
    name: "corrosion",
    shared: true,
    keepsRows: true,
    events: Stream.unwrap(follow(options))
  })

const follow = Effect.fnUntraced(function* ({ mode, pollMs, ...options }: CorrosionOptions) {
  const agent = Agent.make({ mode, pollMs, ...options })
  const something = yield* Latch.make(false)
  const companionKnown = yield* Latch.make(false)
  const pending: Pending = { rows: false, confirmed: false, lost: undefined, lostUntold: false }

  const backendsFeed = yield* Feed.make(
    { agent, mode, pollMs, query: backends },
    {
      changed: () => {
        pending.rows = true
        pending.lost = undefined
        Latch.openUnsafe(something)
      },
      confirmed: () => {
        pending.confirmed = true
        pending.lost = undefined
        Latch.openUnsafe(something)
      },
      lost: (error) => {
        pending.lost = sourceError(agent.target, error)
        pending.lostUntold = true
        Latch.openUnsafe(something)
      }
    }
  )
  const statesFeed = yield* Feed.make(
    { agent, mode, pollMs, query: states },
    {
      changed: () => {
        Latch.openUnsafe(companionKnown)
        if (backendsFeed.rows() === undefined) return
        pending.rows = true
        Latch.openUnsafe(something)
      },
      confirmed: () => void Latch.openUnsafe(companionKnown),
      // The backends are served without it, and with what it said last.
      lost: () => void Latch.openUnsafe(companionKnown)
    }
  )

  const rowsEvent = (): SourceEvent => {
    const states = statesFeed.rows()
    return { _tag: "Rows", rows: backendsFeed.rows() ?? [], ...(states === undefined ? {} : { states }) }
  }

  const next = Effect.gen(function* () {
    yield* Latch.whenOpen(something, Effect.void)
    if (pending.rows) {
      // Without it who drains would take clients for a moment.
      yield* Latch.whenOpen(companionKnown, Effect.void).pipe(
        Effect.timeoutOrElse({ duration: agent.times.companionMs, orElse: () => Effect.void })
      )
      Latch.openUnsafe(companionKnown)
      yield* Effect.sleep(agent.times.coalesceMs)
    }
    Latch.closeUnsafe(something)
    return take()
  })

  const take = (): ReadonlyArray<SourceEvent> => {
    const { confirmed, lost, lostUntold, rows } = pending
    pending.rows = false
    pending.confirmed = false
    pending.lostUntold = false
    const events: Array<SourceEvent> = []
    if (rows) events.push(rowsEvent())
    else if (confirmed) events.push({ _tag: "Unchanged" })
    // Rows may be news of the companion only.
    if (lost !== undefined && (lostUntold || rows)) events.push({ _tag: "Lost", error: lost })
    return events
  }

  return Stream.fromEffectRepeat(next).pipe(
    Stream.flattenIterable,
    // Neither ends by itself; a defect of theirs must not leave a stream that is silent for ever.
    Stream.interruptWhen(
      Effect.raceFirst(backendsFeed.run, statesFeed.run).pipe(Effect.annotateLogs({ service: "corrosion" }))
    )
  )
})
