import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as DelayLine from "../actor/DelayLine.ts"
import { monotonicMs } from "../actor/Monotonic.ts"
import { forEachSliced } from "../actor/Sliced.ts"
import type { Supervisor } from "../actor/Supervisor.ts"
import * as Circuit from "../domain/Circuit.ts"
import type { TerminatedBy } from "../domain/Termination.ts"
import { type Upstream, unobserved } from "./Upstream.ts"
import { Upstreams } from "./Upstreams.ts"

/** A connection, as the circuit of its backend sees it. */
export interface Trying {
  /** The dial has succeeded. */
  readonly connected: () => void
  /** The dial has failed; `blamed`: by the backend's fault. */
  readonly failed: (blamed: boolean) => void
  /** The connection has ended; undefined: before bytes could flow, or nobody knows how. */
  readonly ended: (how: HowEnded | undefined) => void
}

/** The end of a connection that had been bridged. */
export interface HowEnded {
  readonly by: TerminatedBy
  readonly bytesOut: number
}

/** The circuits of all backends (H2), driven by what becomes of real connections. Synchronous but for what only time brings. */
export class Circuits extends Context.Service<
  Circuits,
  {
    /** A connection is sent to the backend. Undefined: nobody wants to know what becomes of it. */
    readonly admit: (upstream: Upstream) => Trying | undefined
    /** Undefined turns all of it off: every circuit is closed. */
    readonly setOptions: (options: Circuit.CircuitOptions | undefined) => Effect.Effect<void>
  }
>()("edgeproxy/routing/Circuits") {
  /** Undefined: off. */
  static readonly layer = (
    options: Circuit.CircuitOptions | undefined
  ): Layer.Layer<Circuits, never, Supervisor | Upstreams> => Layer.effect(Circuits, make(options))
}

export const make = Effect.fnUntraced(function* (initial: Circuit.CircuitOptions | undefined) {
  const upstreams = yield* Upstreams
  const now = yield* monotonicMs
  let options = initial

  const set = (upstream: Upstream, circuit: Circuit.Circuit): void => {
    const before = upstream.observed.circuit
    if (before === circuit || options === undefined) return
    upstreams.observe(upstream, { circuit, admits: Circuit.admits(circuit, options) })
    if (circuit._tag === "Open") opened.push({ upstream, circuit })
  }

  const opened = yield* DelayLine.make<{ readonly upstream: Upstream; readonly circuit: Circuit.Circuit }>({
    name: "circuits",
    get delayMs() {
      return options?.timeoutMs ?? 0
    },
    due: ({ circuit, upstream }) => {
      // Another one by now: the row was gone for a while.
      if (options !== undefined && upstream.observed.circuit === circuit)
        set(upstream, Circuit.at(circuit, now(), options))
    }
  })

  const tell = (upstream: Upstream, verdict: Circuit.Verdict, trial: number | undefined): void => {
    if (options !== undefined) set(upstream, Circuit.told(upstream.observed.circuit, verdict, trial, now(), options))
  }

  // Those that say something by living on.
  const proving = yield* DelayLine.make<() => void>({
    name: "circuit-verdicts",
    delayMs: Circuit.PROVEN_MS,
    due: (prove) => prove()
  })

  const admit = (upstream: Upstream): Trying | undefined => {
    if (options === undefined) return undefined
    const before = upstream.observed.circuit
    const trial = Circuit.trialOf(before, options)
    set(upstream, Circuit.admitted(before, options))
    // Of a backend that nothing is held against, success is no news.
    const watched = before._tag !== "Closed" || before.failures > 0
    let connectedAt = NaN
    let silent = false
    const say = (verdict: Circuit.Verdict): void => {
      if (silent) return
      silent = true
      tell(upstream, verdict, trial)
    }
    return {
      connected: () => {
        connectedAt = now()
        if (watched) proving.push(() => say("succeeded"))
      },
      failed: (blamed) => say(blamed ? "failed" : "neutral"),
      ended: (how) => {
        if (how === undefined) return say("neutral")
        // One that ended before anybody took note of its beginning has not lived.
        const livedMs = Number.isNaN(connectedAt) ? 0 : now() - connectedAt
        // It was about to say so itself.
        if (watched && livedMs >= Circuit.PROVEN_MS) return say("succeeded")
        say(Circuit.verdictOf(how.by, how.bytesOut, livedMs))
      }
    }
  }

  const setOptions = Effect.fnUntraced(function* (next: Circuit.CircuitOptions | undefined) {
    options = next
    yield* forEachSliced(Array.from(upstreams.all()), (upstream) => {
      const { circuit } = upstream.observed
      if (options === undefined) {
        const { admits, circuit: fresh } = unobserved
        if (circuit !== fresh) upstreams.observe(upstream, { circuit: fresh, admits })
        return
      }
      const changed = Circuit.under(circuit, options)
      if (circuit._tag === "HalfOpen")
        upstreams.observe(upstream, { circuit: changed, admits: Circuit.admits(changed, options) })
    })
  })

  return Circuits.of({ admit, setOptions })
})
