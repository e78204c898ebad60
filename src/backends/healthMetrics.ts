import * as Effect from "effect/Effect"
import { type Collector, counter } from "../observe/Metric.ts"
import { BackendEvents, changes } from "./BackendEvents.ts"
import { HealthChecks } from "./HealthChecks.ts"

const checks = counter(
  "edgeproxy_health_checks_total",
  "Health checks by result; skipped: this host had no ports, descriptors or permission to ask."
)
const changed = counter(
  "edgeproxy_backend_changes_total",
  "Changes of what is seen of backends: by checks, of their circuits, and of too few of an app being up."
)

/** What the checks find, and what becomes of backends. */
export const healthMetrics = Effect.gen(function* () {
  const health = yield* HealthChecks
  const events = yield* BackendEvents
  const collector: Collector = {
    collect: (sink) =>
      Effect.sync(() => {
        for (const [result, count] of Object.entries(health.counts())) sink.sample(checks, { result }, count)
        for (const change of changes) sink.sample(changed, { change }, events.count(change))
      })
  }
  return collector
})
