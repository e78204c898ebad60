import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { monotonicMs } from "../actor/Monotonic.ts"
import type { Attributes } from "../observe/Span.ts"
import { traceEvent, Tracing } from "../observe/Tracing.ts"
import type { Upstream } from "../routing/Upstream.ts"
import { type Change, Upstreams } from "../routing/Upstreams.ts"

const states = { Closed: "closed", Open: "open", HalfOpen: "half-open" } as const

const attributesOf = ({ backend }: Upstream): Attributes => ({
  "edgeproxy.backend": backend.id,
  "edgeproxy.app": backend.app === "" ? undefined : backend.app,
  "edgeproxy.backend.region": backend.region,
  "server.address": backend.address,
  "server.port": backend.port
})

/** Spans `health.transition` and `circuit.transition` (O1): moments, each a trace of its own. */
export const layer: Layer.Layer<never, never, Upstreams> = Layer.effectDiscard(
  Effect.gen(function* () {
    const tracer = yield* Tracing
    if (!tracer.on) return
    const upstreams = yield* Upstreams
    const now = yield* monotonicMs

    const told = (name: string, attributes: Attributes, failed: boolean): void =>
      traceEvent(tracer, name, now(), now(), attributes, failed)

    const stop = upstreams.onChange((change: Change) => {
      if (change._tag === "Check") {
        const { up, upstream } = change
        const state = { "edgeproxy.state": up ? "up" : "down", "error.type": up ? undefined : "check-failed" }
        told(
          "health.transition",
          { ...attributesOf(upstream), ...state, "edgeproxy.reason": upstream.observed.checkError },
          !up
        )
      } else if (change._tag === "Circuit") {
        const isOpen = change.to === "Open"
        const state = { "edgeproxy.state": states[change.to], "error.type": isOpen ? "circuit-open" : undefined }
        told("circuit.transition", { ...attributesOf(change.upstream), ...state }, isOpen)
      }
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))
  })
)
