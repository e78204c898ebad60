import { existsSync, readdirSync, readFileSync } from "node:fs"

const CLOCK_TICK_MS = 10

// Kernels without scheduler statistics have the coarser clock ticks only.
const exact = existsSync("/proc/self/schedstat")

/** Nanoseconds on a processor are the first field. A thread that ends between the listing and this is left out. */
const threadMs = (task: string): number => {
  try {
    return Number(readFileSync(`${task}/schedstat`, "utf8").split(" ")[0]) / 1e6
  } catch {
    return 0
  }
}

const tickedMs = (pid: number): { readonly user: number; readonly system: number } => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  // The name before it may hold anything but this.
  const fields = stat.slice(stat.lastIndexOf(") ") + 2).split(" ")
  return { user: Number(fields[11]) * CLOCK_TICK_MS, system: Number(fields[12]) * CLOCK_TICK_MS }
}

/** Processor time that a process has used in user mode so far, in milliseconds; as coarse as the kernel's clock ticks. */
export const userMs = (pid: number): number => tickedMs(pid).user

/** Processor time that a process has used so far, in user and system mode, all threads, in milliseconds. */
export const cpuMs = (pid: number): number => {
  if (!exact) {
    const { system, user } = tickedMs(pid)
    return user + system
  }
  const tasks = readdirSync(`/proc/${pid}/task`)
  return tasks.reduce((sum, task) => sum + threadMs(`/proc/${pid}/task/${task}`), 0)
}

/**
 * Memory of the process that is resident and no part of a file, in bytes: its own and what its threads share. Buffers of
 * sockets and pipes are the kernel's and not in it.
 */
export const residentBytes = (pid: number): number => {
  const kilobytes = readFileSync(`/proc/${pid}/status`, "utf8").matchAll(/^Rss(?:Anon|Shmem):\s+(\d+) kB/gm)
  return Array.from(kilobytes).reduce((sum, [, each]) => sum + Number(each), 0) * 1_024
}

/** How many files this process, and so a child of it, may have open. */
export const fdLimit = (): number => {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]
  return hard === undefined || hard === "unlimited" ? Infinity : Number(hard)
}

/** Without /proc nothing of another process can be measured. */
export const available = existsSync("/proc/self/stat")
