import * as Effect from "effect/Effect"
import { forEachSliced } from "../actor/Sliced.ts"
import { type Collector, counter, gauge } from "../observe/Metric.ts"
import { Upstreams } from "../routing/Upstreams.ts"
import { warmEvents, WarmPool } from "./WarmPool.ts"

const warm = gauge(
  "edgeproxy_backend_warm_connections",
  "Connections to the backend that wait for a client, or are being opened ahead of one; absent for none."
)
const changes = counter(
  "edgeproxy_warm_connections_total",
  "Connections opened ahead, by what became of them: opened; used by a client, and of those gone: dead at the hand-over; lost to the backend while they waited; failed to open; expired; discarded."
)

/** Connections that were opened ahead of their clients. */
export const warmMetrics = Effect.gen(function* () {
  const pool = yield* WarmPool
  const upstreams = yield* Upstreams
  const collector: Collector = {
    collect: (sink) =>
      Effect.gen(function* () {
        for (const event of warmEvents) sink.sample(changes, { event }, pool.count(event))
        if (pool.size() === 0) return
        yield* forEachSliced(Array.from(upstreams.all()), (upstream) => {
          if (upstream.warm === 0) return
          const { app, id, region } = upstream.backend
          sink.sample(warm, { backend: id, app, region }, upstream.warm)
        })
      })
  }
  return collector
})
