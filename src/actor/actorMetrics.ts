import * as Effect from "effect/Effect"
import { type Collector, counter, gauge } from "../observe/Metric.ts"
import { Supervisor } from "./Supervisor.ts"

const up = gauge("edgeproxy_actor_up", "0 while the actor waits for a restart or is in a crash loop.")
const restarts = counter("edgeproxy_actor_restarts_total", "Times the actor failed and was started again.")

/** How the moving parts fare. */
export const actorMetrics = Effect.gen(function* () {
  const supervisor = yield* Supervisor
  const collector: Collector = {
    collect: (sink) =>
      Effect.sync(() => {
        for (const status of supervisor.list()) {
          const labels = { actor: status.name }
          sink.sample(up, labels, status.state === "running" || status.state === "finished" ? 1 : 0)
          sink.sample(restarts, labels, status.restarts)
        }
      })
  }
  return collector
})
