import { monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks"

/**
 * Loaded into a program before its own code (`node --import`): tells the parent process how long the program's event loop
 * was away from its other work, between the messages `start` and `stop`.
 */

/** All in milliseconds. */
export interface Pauses {
  /** By Node's own histogram, a timer of 1 ms; what it waits for anyway is taken off. */
  readonly delay: number
  /** The longest time between two turns of the loop. */
  readonly gap: number
  /** The longest stop for the garbage collector; it is part of the above. */
  readonly gc: number
}

const histogram = monitorEventLoopDelay({ resolution: 1 })
let watching = false
let gap = 0
let gc = 0
let turnAt = 0

// Takes part in every turn of the loop, and keeps it turning meanwhile.
const turn = (): void => {
  if (!watching) return
  const now = performance.now()
  gap = Math.max(gap, now - turnAt)
  turnAt = now
  setImmediate(turn)
}

const collector = new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) gc = Math.max(gc, duration)
})

const start = (): void => {
  watching = true
  gap = gc = 0
  histogram.reset()
  histogram.enable()
  collector.observe({ entryTypes: ["gc"] })
  turnAt = performance.now()
  setImmediate(turn)
}

const stop = (): Pauses => {
  watching = false
  histogram.disable()
  collector.disconnect()
  return { delay: Math.max(0, histogram.max / 1e6 - 1), gap, gc }
}

process.on("message", (message) => {
  if (message === "start") start()
  else if (message === "stop") process.send?.(stop())
})
// The channel alone does not keep the program alive, nor does its end keep it from ending.
process.channel?.unref()
