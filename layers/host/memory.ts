import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { totalmem } from "node:os"
import { getHeapStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type { Memory } from "../../src/traffic/Overload.ts"

/** Where a control group tells what its processes use, kernel buffers of their sockets included. */
export interface Accounts {
  readonly usage: string
  readonly stat: string
  /** In `stat`: pages of files that can be dropped at any time, such as those of a log just written. */
  readonly droppable: string
}

const v2 = (directory: string): Accounts => ({
  usage: `${directory}/memory.current`,
  stat: `${directory}/memory.stat`,
  droppable: "inactive_file"
})

const v1 = (directory: string): Accounts => ({
  usage: `${directory}/memory.usage_in_bytes`,
  stat: `${directory}/memory.stat`,
  droppable: "total_inactive_file"
})

const ROOT = "/sys/fs/cgroup"

/** From /proc/self/cgroup. In a container the path may be that of the host, which is not there: then it is the mount itself. */
export const accountsOf = (cgroups: string): ReadonlyArray<Accounts> => {
  const unified = /^0::(\/.*)$/m.exec(cgroups)?.[1]
  const memory = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(\/.*)$/m.exec(cgroups)?.[1]
  return [
    ...(memory === undefined ? [] : [v1(`${ROOT}/memory${memory}`), v1(`${ROOT}/memory`)]),
    ...(unified === undefined ? [] : [v2(`${ROOT}${unified}`), v2(ROOT)])
  ]
}

const textOf = (path: string): Promise<string | undefined> => readFile(path, "utf8").catch(() => undefined)

/** Bytes that the group really needs; undefined where it does not tell. */
export const needOf = (usage: string, stat: string, droppable: string): number | undefined => {
  const used = Number.parseInt(usage, 10)
  const cached = new RegExp(`^${droppable} (\\d+)$`, "m").exec(stat)?.[1]
  return Number.isFinite(used) ? Math.max(0, used - Number(cached ?? 0)) : undefined
}

const groupNeed = async (): Promise<number | undefined> => {
  for (const { droppable, stat, usage } of accountsOf((await textOf("/proc/self/cgroup")) ?? "")) {
    const [used, details] = await Promise.all([textOf(usage), textOf(stat)])
    const need = used === undefined ? undefined : needOf(used, details ?? "", droppable)
    if (need !== undefined) return need
  }
  return undefined
}

/**
 * The larger of two shares: of the container's memory, if it has a limit (else of the machine's, where only the process'
 * own counts: it is not to stop for its neighbours), and of the JavaScript heap, at whose end the process would die
 * whatever the machine has left.
 */
const share = async (): Promise<number> => {
  const { heap_size_limit: heapLimit, used_heap_size: heapUsed } = getHeapStatistics()
  const machine = totalmem()
  const limit = process.constrainedMemory()
  const limited = limit > 0 && limit < machine
  const used = (limited ? await groupNeed() : undefined) ?? process.memoryUsage.rss()
  return Math.max(used / (limited ? limit : machine), heapUsed / heapLimit)
}

/** V8 has a full collection for those who ask, but shows it only behind a flag, to contexts made after it. */
const collect = (): void => {
  setFlagsFromString("--expose-gc")
  const gc: unknown = runInNewContext("gc")
  setFlagsFromString("--no-expose-gc")
  if (typeof gc === "function") gc()
}

export const memory: Memory = { share: Effect.promise(share), collect: Effect.sync(collect) }
