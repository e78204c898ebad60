import * as Effect from "effect/Effect"
import { type Collector, counter, gauge, noLabels } from "../observe/Metric.ts"
import { Registry } from "./Registry.ts"

const registered = gauge(
  "edgeproxy_registered_backends",
  "Backends in the table that have registered, here or elsewhere."
)
const fails = gauge("edgeproxy_store_failing", "1 while the last change could not be made durable.")
const waiting = gauge("edgeproxy_store_queue", "Changes that wait to be written to the store.")
const writes = counter("edgeproxy_store_writes_total", "Changes written to the store, by result.")

/** What has registered, and how its store fares. */
export const registryMetrics = Effect.map(Registry, (registry): Collector => ({
  collect: (sink) =>
    Effect.sync(() => {
      const store = registry.store()
      sink.sample(registered, noLabels, registry.registered())
      sink.sample(fails, noLabels, registry.storeFails() ? 1 : 0)
      sink.sample(waiting, noLabels, store.waiting)
      sink.sample(writes, { result: "done" }, store.done)
      sink.sample(writes, { result: "failed" }, store.failed)
    })
}))
