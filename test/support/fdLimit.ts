import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import koffi from "koffi"
import { readdirSync, readlinkSync } from "node:fs"

/** The same on x86-64 and arm64 (getrlimit(2)). */
const RLIMIT_NOFILE = 7

const library = koffi.load(null)
const getrlimit = library.func("int getrlimit(int, _Out_ uint64_t *)")
const setrlimit = library.func("int setrlimit(int, const uint64_t *)")

const limits = (): readonly [soft: number, hard: number] => {
  const both = [0, 0]
  if (getrlimit(RLIMIT_NOFILE, both) < 0) throw new Error("no limit of file descriptors")
  return [both[0] ?? 0, both[1] ?? 0]
}

const setSoftLimit = (soft: number): void => {
  if (setrlimit(RLIMIT_NOFILE, [soft, limits()[1]]) < 0) throw new Error(`no limit of ${soft} file descriptors`)
}

/** How many file descriptors this process may have. */
export const fdLimit = (): number => limits()[0]

const isOpen = (fd: string): boolean => {
  try {
    readlinkSync(`/proc/self/fd/${fd}`)
    return true
  } catch {
    // The directory's own, for one, which is closed by now.
    return false
  }
}

/** The limit below which so many numbers are free. */
const limitFor = (count: number): number => {
  const open = new Set(readdirSync("/proc/self/fd").filter(isOpen).map(Number))
  let limit = 0
  for (let free = 0; free < count || open.has(limit); limit++) if (!open.has(limit)) free++
  return limit
}

/**
 * Until the scope ends, this process has so many file descriptors left, and those that it closes meanwhile. What is open
 * stays open: a limit only says which numbers can still be given out.
 */
export const leaveFds = (count: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        const before = fdLimit()
        setSoftLimit(limitFor(count))
        return before
      }),
      (before) => Effect.sync(() => setSoftLimit(before))
    )
  )
