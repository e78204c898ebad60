import * as Effect from "effect/Effect"
import { type Collector, gauge, noLabels } from "../observe/Metric.ts"
import { GeoResolver } from "./GeoResolver.ts"

const built = gauge(
  "edgeproxy_geo_database_build_time_seconds",
  "When the geo database was put together, in Unix time."
)

/** How old what is known of addresses is. */
export const geoMetrics = Effect.map(GeoResolver, ({ builtAt }): Collector => ({
  collect: (sink) =>
    Effect.sync(() => {
      const at = builtAt()
      if (at !== undefined) sink.sample(built, noLabels, at / 1_000)
    })
}))
