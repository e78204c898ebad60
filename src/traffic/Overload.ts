import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { monotonicMs } from "../actor/Monotonic.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { LoopDelay, LOOK_MS } from "../observe/LoopDelay.ts"
import { Admission } from "./Admission.ts"

export interface Memory {
  /** In use, as a share of what the process may have. */
  readonly share: Effect.Effect<number>
  /** Gives back what is not needed any more, at the price of a pause. */
  readonly collect: Effect.Effect<void>
}

export interface OverloadOptions {
  /** Most delay of the control loop, p99, in milliseconds. */
  readonly loopDelayMs: number
  /** Most share of memory. */
  readonly memoryShare: number
  readonly memory: Memory
}

export const resources = ["loop", "memory"] as const

export type Resource = (typeof resources)[number]

/**
 * Watches the control loop and the memory (C5). While one of them is over its limit nobody is accepted: the kernel's backlog
 * holds newcomers where the engine can leave them there, and they cost the proxy nothing at all, where a refusal would
 * still cost an accept and a turn of the very loop that is late. Most overloads pass within seconds, and who waited that
 * long is served; when one does not, readiness says so and the backlog fills up, so that clients go elsewhere.
 */
export class Overload extends Context.Service<
  Overload,
  {
    readonly isOver: (resource: Resource) => boolean
    /** How often each has gone over its limit. */
    readonly times: (resource: Resource) => number
  }
>()("edgeproxy/traffic/Overload") {
  static readonly layer = (
    options: OverloadOptions
  ): Layer.Layer<Overload, never, Admission | LoopDelay | Supervisor> => Layer.effect(Overload, make(options))
}

/** Two hundred looks at the loop: the third-longest delay is p99, and neither one stall nor two are an overload. */
const WINDOW_MS = 10_000
const P99 = WINDOW_MS / LOOK_MS / 100

/** The loop is well again when it has not been late by half of the limit for this long. */
const CALM_MS = 1_000

const LOOP_EVERY_MS = 100
const MEMORY_EVERY_MS = 1_000
const COLLECT_EVERY_MS = 10_000

/** Memory has to fall by a twentieth of its limit. */
const MEMORY_CALM = 0.95

const percent = (share: number): number => Math.round(share * 1_000) / 10

export const make = Effect.fnUntraced(
  function* (options: OverloadOptions) {
    const admission = yield* Admission
    const loop = yield* LoopDelay
    const supervisor = yield* Supervisor
    const now = yield* monotonicMs
    const over = new Set<Resource>()
    const times = new Map<Resource, number>()

    const begin = (resource: Resource, fields: Readonly<Record<string, number>>): Effect.Effect<void> => {
      over.add(resource)
      times.set(resource, (times.get(resource) ?? 0) + 1)
      admission.setOverloaded(true)
      return Effect.logWarning("overloaded: nobody is accepted", { resource, ...fields })
    }
    const end = (resource: Resource, fields: Readonly<Record<string, number>>): Effect.Effect<void> => {
      over.delete(resource)
      admission.setOverloaded(over.size > 0)
      return Effect.logInfo("no longer overloaded", { resource, ...fields })
    }

    // What was late before the last overload ended is no sign of another one.
    let loopWellSince = -Infinity
    const lookAtLoop = Effect.suspend(() => {
      const limit = options.loopDelayMs
      if (!over.has("loop")) {
        const p99 = loop.since(Math.max(loopWellSince, now() - WINDOW_MS))[P99] ?? 0
        return p99 > limit ? begin("loop", { delay_ms: Math.round(p99), limit_ms: limit }) : Effect.void
      }
      const [longest = Infinity] = loop.since(now() - CALM_MS)
      if (longest >= limit / 2) return Effect.void
      loopWellSince = now()
      return end("loop", { delay_ms: Math.round(longest), limit_ms: limit })
    })

    let collectedAt = -Infinity
    const lookAtMemory = Effect.gen(function* () {
      const share = yield* options.memory.share
      const limit = options.memoryShare
      const fields = { used_percent: percent(share), limit_percent: percent(limit) }
      if (!over.has("memory")) {
        if (share <= limit) return
        yield* begin("memory", fields)
      } else if (share < limit * MEMORY_CALM) return yield* end("memory", fields)
      // Who does nothing makes no garbage, so nothing would ever have it collected.
      if (now() - collectedAt < COLLECT_EVERY_MS) return
      collectedAt = now()
      yield* options.memory.collect
    })

    yield* supervisor.supervise("overload-loop", Effect.forever(Effect.delay(lookAtLoop, LOOP_EVERY_MS)))
    yield* supervisor.supervise("overload-memory", Effect.forever(Effect.delay(lookAtMemory, MEMORY_EVERY_MS)))

    return Overload.of({ isOver: (resource) => over.has(resource), times: (resource) => times.get(resource) ?? 0 })
  },
  Effect.annotateLogs({ service: "overload" })
)
