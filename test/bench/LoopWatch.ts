import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks"

/** How long the event loop was away from its other work, in milliseconds, so far. */
export interface Pauses {
  /** By Node's own histogram, a timer of 1 ms; what it waits for anyway is taken off. */
  readonly delay: number
  /** The longest time between two turns of the loop. */
  readonly gap: number
  /** The most processor time of this thread between two turns: a pause that the machine made is not in it. */
  readonly busy: number
  /** The longest pause of the garbage collector; it is part of the above. */
  readonly gc: number
  /** Processor time of the whole process. */
  readonly cpu: number
}

/**
 * Watches the loop, by taking part in every turn of it, for the rest of the scope; it keeps the loop turning all the while.
 */
export const watchLoop: Effect.Effect<() => Pauses, never, Scope.Scope> = Effect.gen(function* () {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  let gap = 0
  let busy = 0
  let gc = 0
  const cpuBefore = process.cpuUsage()
  let turnAt = performance.now()
  let turnCpu = process.threadCpuUsage()
  let watching = true

  const turn = (): void => {
    const now = performance.now()
    const cpu = process.threadCpuUsage()
    gap = Math.max(gap, now - turnAt)
    busy = Math.max(busy, (cpu.user + cpu.system - turnCpu.user - turnCpu.system) / 1_000)
    turnAt = now
    turnCpu = cpu
    if (watching) setImmediate(turn)
  }
  const collector = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) gc = Math.max(gc, duration)
  })

  yield* Effect.acquireRelease(
    Effect.sync(() => {
      histogram.enable()
      collector.observe({ entryTypes: ["gc"] })
      setImmediate(turn)
    }),
    () =>
      Effect.sync(() => {
        watching = false
        collector.disconnect()
        histogram.disable()
      })
  )
  return () => {
    const { system, user } = process.cpuUsage(cpuBefore)
    return { delay: Math.max(0, histogram.max / 1e6 - 1), gap, busy, gc, cpu: (user + system) / 1_000 }
  }
})
