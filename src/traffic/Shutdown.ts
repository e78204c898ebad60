import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

/** What became of the connections that were open when the listeners closed. */
export interface DrainReport {
  readonly drained: number
  readonly forced: number
}

/** The end of the process, shared by who asks for it (signals) and who carries it out (the drain). */
export class Shutdown extends Context.Service<
  Shutdown,
  {
    /** The first signal; from then on `/ready` says no. */
    readonly requested: Deferred.Deferred<void>
    /** Another process has taken over the listening sockets, and its clients with them. */
    readonly handedOver: Deferred.Deferred<void>
    /** What goes on beside the traffic can't begin: the process ends as if it had never begun. */
    readonly failed: Deferred.Deferred<never, Error>
    /** The second one: close at once. */
    readonly hurry: Deferred.Deferred<void>
    /** Somebody has asked for the end: the next one is in a hurry. */
    asked: boolean
    report: DrainReport | undefined
  }
>()("edgeproxy/traffic/Shutdown") {}

export const make = (): Shutdown["Service"] => ({
  requested: Deferred.makeUnsafe(),
  handedOver: Deferred.makeUnsafe(),
  failed: Deferred.makeUnsafe(),
  hurry: Deferred.makeUnsafe(),
  asked: false,
  report: undefined
})

/** Another process serves in the place of this one, which ends when its connections have. For callbacks. */
export const handOver = (shutdown: Shutdown["Service"]): void => {
  Deferred.doneUnsafe(shutdown.handedOver, Effect.void)
  Deferred.doneUnsafe(shutdown.requested, Effect.void)
}

/**
 * A signal has come: the first asks for the end, the next for haste (S2). After a handover the end is on its way already, and
 * still the first signal is no haste. For callbacks.
 */
export const request = (shutdown: Shutdown["Service"]): void => {
  const { asked, hurry, requested } = shutdown
  shutdown.asked = true
  Deferred.doneUnsafe(requested, Effect.void)
  if (asked) Deferred.doneUnsafe(hurry, Effect.void)
}
