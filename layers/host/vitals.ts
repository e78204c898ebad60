import * as Effect from "effect/Effect"
import { getHeapStatistics } from "node:v8"
import type { Vitals } from "../../src/observe/Vitals.ts"
import { countFds } from "./fds.ts"

/** Reads what the process takes now. */
export const vitals = (fdLimit: number): Effect.Effect<Vitals> =>
  Effect.map(Effect.promise(countFds), (fds) => {
    const { system, user } = process.cpuUsage()
    const { heap_size_limit: heapLimit, used_heap_size: heap } = getHeapStatistics()
    return { cpuSeconds: (user + system) / 1_000_000, rss: process.memoryUsage.rss(), heap, heapLimit, fds, fdLimit }
  })
