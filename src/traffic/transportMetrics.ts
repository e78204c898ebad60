import * as Effect from "effect/Effect"
import { type Collector, counter, gauge } from "../observe/Metric.ts"
import { Transport } from "./Transport.ts"

const info = gauge("edgeproxy_transport_info", "The byte engine in use; always 1.")
const fds = gauge(
  "edgeproxy_transport_fds",
  "File descriptors of the byte engine: listeners, clients, backends, its own."
)
const pipes = gauge("edgeproxy_transport_pipes", "Pipes of the byte engine.")
const held = gauge(
  "edgeproxy_transport_held_bytes",
  "Bytes the byte engine holds for slow receivers, pipes not counted."
)
const threads = gauge("edgeproxy_transport_threads", "Threads of the byte engine besides the control thread.")
const threadsLost = counter("edgeproxy_transport_threads_lost_total", "Threads of the byte engine that died.")

const listeners = gauge("edgeproxy_transport_listeners", "Listeners of the byte engine that are open.")
const carried = gauge("edgeproxy_transport_connections", "Connections the byte engine has, from accept to end.")
const waiting = gauge(
  "edgeproxy_transport_queue",
  "Messages to the threads of the byte engine that wait because the threads do not keep up."
)

const rings = gauge(
  "edgeproxy_transport_ring_bytes",
  "Messages between the control thread and the threads of the byte engine that are not heard yet, to or from these."
)

/** What the byte engine holds. */
export const transportMetrics = Effect.gen(function* () {
  const { census, engine } = yield* Transport
  const labels = { engine }
  const collector: Collector = {
    collect: (sink) =>
      Effect.sync(() => {
        const now = census()
        sink.sample(info, labels, 1)
        sink.sample(fds, labels, now.fds)
        sink.sample(pipes, labels, now.pipes)
        sink.sample(held, labels, now.heldBytes)
        sink.sample(threads, labels, now.threads)
        sink.sample(listeners, labels, now.listeners)
        sink.sample(carried, labels, now.connections)
        sink.sample(waiting, labels, now.waitingMessages)
        sink.sample(rings, { engine, direction: "to" }, now.toThreadsBytes)
        sink.sample(rings, { engine, direction: "from" }, now.fromThreadsBytes)
        sink.sample(threadsLost, labels, now.threadsLost)
      })
  }
  return collector
})
