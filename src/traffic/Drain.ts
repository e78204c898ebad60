import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { forEachSliced } from "../actor/Sliced.ts"
import { monotonicMs } from "../actor/Monotonic.ts"
import { Announcement } from "../anycast/Announcement.ts"
import type { Termination } from "../domain/Termination.ts"
import { type ConnectionRecord, Connections } from "./Connections.ts"
import { type DrainReport, Shutdown } from "./Shutdown.ts"
import * as ForcedClose from "./ForcedClose.ts"
import { type Listener, Transport } from "./Transport.ts"

/** All in milliseconds, from the signal on. */
export interface DrainOptions {
  /** Keep accepting this long, so that whoever watches `/ready` sends its clients elsewhere first. */
  readonly graceMs: number
  /** When what is left is closed by force. */
  readonly timeoutMs: number
  /** Spread the forced closes over this last part of the time. */
  readonly paceMs: number
}

const forced: Termination = { by: "proxy", phase: "drain", cause: "forced" }

/**
 * The end of the traffic (S1, S3): withdraw the anycast route and say no to readiness, wait until that has reached clients,
 * close the listeners, let connections run on until they end or the deadline comes, close the rest. A second signal skips
 * every wait.
 */
export const drain = Effect.fnUntraced(function* (listeners: ReadonlyArray<Listener>, options: DrainOptions) {
  const connections = yield* Connections
  const transport = yield* Transport
  const shutdown = yield* Shutdown
  const now = yield* monotonicMs
  const startedAt = now()
  const hurry = Deferred.await(shutdown.hurry)
  const waitFor = (work: Effect.Effect<unknown>, ms: number): Effect.Effect<void> =>
    Effect.raceFirst(work, hurry).pipe(Effect.timeoutOption(Math.max(0, ms)), Effect.asVoid)

  yield* Effect.logInfo("draining", { connections: connections.size(), ...options })
  const deadline = startedAt + options.timeoutMs
  // Nobody has to send its clients elsewhere when they find another process here.
  if (!Deferred.isDoneUnsafe(shutdown.handedOver)) {
    let closeAt = startedAt + options.graceMs
    const announcement = yield* Announcement
    if (announcement !== undefined) {
      const withdrawn = Effect.map(announcement.withdraw, (ms) => {
        closeAt = Math.min(Math.max(closeAt, now() + ms), Math.max(deadline, closeAt))
      })
      yield* waitFor(withdrawn, deadline - now())
    }
    if (closeAt > now()) yield* waitFor(Effect.never, closeAt - now())
  }
  const closing = Effect.forEach(listeners, (listener) => listener.close, { concurrency: "unbounded", discard: true })
  yield* waitFor(closing, deadline - now())
  const open = connections.size()
  yield* Effect.logInfo("listeners closed", { connections: open })

  const pace = Math.min(options.paceMs, options.timeoutMs)
  yield* waitFor(connections.awaitEmpty, deadline - pace - now())

  const { close, inOrder } = ForcedClose.make(transport)
  const closed = new Set<ConnectionRecord>()
  const closeOne = (record: ConnectionRecord): void => {
    if (!closed.has(record) && close(record, forced)) closed.add(record)
  }

  if (pace > 0 && connections.size() > 0) {
    const left = inOrder(connections.all())
    const paceStart = now()
    const step = Math.max(0, deadline - paceStart) / left.length
    for (const [index, record] of left.entries()) {
      const wait = paceStart + step * index - now()
      if (wait > 0 && !Deferred.isDoneUnsafe(shutdown.hurry)) yield* waitFor(connections.awaitEmpty, wait)
      closeOne(record)
    }
  }
  yield* forEachSliced(Array.from(connections.all()), closeOne)
  // The ends of what was just closed still have to be told and logged; this is a matter of turns of the loop.
  yield* Effect.timeoutOption(connections.awaitEmpty, 1_000)

  const report: DrainReport = { drained: open - Math.min(open, closed.size), forced: closed.size }
  shutdown.report = report
})
