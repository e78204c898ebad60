import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Collector } from "./Metric.ts"

/** Metrics of parts that begin after the metrics can be read, or that are not there in every configuration. */
export class Collectors extends Context.Service<
  Collectors,
  {
    /** For as long as the scope lives. */
    readonly add: (collector: Collector) => Effect.Effect<void, never, Scope.Scope>
    /** Reads those that are there at the time. */
    readonly all: Collector
  }
>()("edgeproxy/observe/Collectors") {
  static readonly layer: Layer.Layer<Collectors> = Layer.sync(Collectors, () => {
    const collectors = new Set<Collector>()
    const each = (act: (collector: Collector) => Effect.Effect<void> | undefined) =>
      Effect.suspend(() => Effect.forEach(Array.from(collectors), (one) => act(one) ?? Effect.void, { discard: true }))
    return {
      add: (collector) =>
        Effect.asVoid(
          Effect.acquireRelease(
            Effect.sync(() => void collectors.add(collector)),
            () => Effect.sync(() => void collectors.delete(collector))
          )
        ),
      all: { refresh: each(({ refresh }) => refresh), collect: (sink) => each(({ collect }) => collect(sink)) }
    }
  })
}
