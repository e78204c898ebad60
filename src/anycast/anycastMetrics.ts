import * as Effect from "effect/Effect"
import { type Collector, counter, gauge, noLabels } from "../observe/Metric.ts"
import { Announcement } from "./Announcement.ts"
import { levels, rankOf } from "./Level.ts"

const level = gauge("edgeproxy_anycast_level", "How the anycast route stands: 0 withdrawn, 1 degraded, 2 announced.")
const confirmed = gauge(
  "edgeproxy_anycast_confirmed",
  "1 while the routing daemon is known to announce at this level, 0 while it can't be told."
)
const transitions = counter(
  "edgeproxy_anycast_transitions_total",
  "Changes of the level of the anycast route, by the new level."
)
const failures = counter("edgeproxy_anycast_failures_total", "Times that the routing daemon could not be told.")

/** Metrics of the anycast announcement; none where nothing is announced. */
export const anycastMetrics = Effect.map(Announcement, (announcement): Collector => ({
  collect: (sink) =>
    Effect.sync(() => {
      if (announcement === undefined) return
      sink.sample(level, noLabels, rankOf(announcement.level()))
      sink.sample(confirmed, noLabels, announcement.confirmed() ? 1 : 0)
      for (const level of levels) sink.sample(transitions, { level }, announcement.transitions(level))
      sink.sample(failures, noLabels, announcement.failures())
    })
}))
