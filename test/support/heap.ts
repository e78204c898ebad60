import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

/** Bytes that this thread's JavaScript keeps alive: objects, and buffers outside the heap. */
export const liveBytes = (): number => {
  // What the first finds finalisable, the second frees.
  collect()
  collect()
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

/** Memory of the process beside this thread's JavaScript heap: that of other threads, above all. */
export const residentBytes = (): number => {
  const { heapTotal, rss } = process.memoryUsage()
  return rss - heapTotal
}
