import { readdirSync } from "node:fs"

/** Open file descriptors of a process, this one when none is given; undefined where there is no /proc. */
export const countFds = (pid: number | "self" = "self"): number | undefined => {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return undefined
  }
}
