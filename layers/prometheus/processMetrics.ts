import * as Effect from "effect/Effect"
import { performance } from "node:perf_hooks"
import { type Collector, counter, gauge, noLabels } from "../../src/observe/Metric.ts"
import type { Vitals } from "../../src/observe/Vitals.ts"

const info = gauge("edgeproxy_build_info", "What is running and where it stands; always 1.")
const cpu = counter("process_cpu_seconds_total", "CPU time of the process, all threads, user and system.")
const resident = gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.")
const openFds = gauge("process_open_fds", "Open file descriptors.")
const maxFds = gauge("process_max_fds", "Most file descriptors the process may have.")
const startTime = gauge("process_start_time_seconds", "When the process started, in Unix time.")
const heap = gauge("nodejs_heap_used_bytes", "JavaScript heap in use.")
const heapLimit = gauge("nodejs_heap_limit_bytes", "Most that the JavaScript heap may have.")
const external = gauge("nodejs_external_memory_bytes", "Memory of buffers outside the JavaScript heap.")
const loopActive = counter(
  "nodejs_event_loop_active_seconds_total",
  "Time the control thread was busy; its rate is the share it is used."
)

export interface ProcessOptions {
  readonly version: string
  readonly pop: string
  readonly region: string
  readonly vitals: Effect.Effect<Vitals>
}

/** The process as Prometheus' own client libraries show it, and which release it is. */
export const processMetrics = ({ pop, region, version, vitals }: ProcessOptions): Collector => {
  const labels = { version, node: process.versions.node, pop, region }
  const startedAt = performance.timeOrigin / 1_000
  return {
    collect: (sink) =>
      Effect.map(vitals, ({ cpuSeconds, fdLimit, fds, heap: heapUsed, heapLimit: mostHeap, rss }) => {
        sink.sample(info, labels, 1)
        sink.sample(cpu, noLabels, cpuSeconds)
        sink.sample(resident, noLabels, rss)
        if (fds !== undefined) sink.sample(openFds, noLabels, fds)
        sink.sample(maxFds, noLabels, fdLimit)
        sink.sample(startTime, noLabels, startedAt)
        sink.sample(heap, noLabels, heapUsed)
        sink.sample(heapLimit, noLabels, mostHeap)
        sink.sample(external, noLabels, process.memoryUsage().external)
        sink.sample(loopActive, noLabels, performance.eventLoopUtilization().active / 1_000)
      })
  }
}
