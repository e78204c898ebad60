import type { Stats } from "node:fs"

const PRIVATE = 0o077

/** A directory of this user's alone, so that nobody else can have put anything into it. */
export const isOwn = (stats: Stats, uid: number): boolean =>
  stats.isDirectory() && stats.uid === uid && (stats.mode & PRIVATE) === 0
