import { closeSync, writeSync } from "node:fs"
import { type ListeningSocket, listeningSockets, passed, type PassedSockets } from "./ListeningSockets.ts"

/** The first descriptor that is passed (sd_listen_fds(3)). */
export const FIRST_FD = 3

/** Set by a process that hands over to its successor, beside LISTEN_FDS: whose successor it is. */
export const HANDOVER_FROM = "HANDOVER_FROM"

/** What this process has been given by whoever started it, or has opened at once. */
export interface Inheritance {
  readonly sockets: PassedSockets
  /** Another process hands over to this one. */
  readonly successor: boolean
  /** Tells the predecessor, if there is one, that this process serves. */
  readonly serving: () => void
}

/**
 * Sockets that are listening already: from systemd (LISTEN_FDS and LISTEN_PID, sd_listen_fds(3)), or from the process that
 * hands over to this one, which waits at the pipe after them; or else those that this process has `opened` itself.
 */
export const inheritance = (env: NodeJS.ProcessEnv, opened: ReadonlyArray<ListeningSocket> = []): Inheritance => {
  const count = Number(env["LISTEN_FDS"] ?? 0)
  const successor = env[HANDOVER_FROM] === String(process.ppid)
  const meant = successor || env["LISTEN_PID"] === String(process.pid)
  // Not for processes that this one starts.
  for (const name of ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", HANDOVER_FROM]) delete env[name]
  if (!meant || !Number.isInteger(count) || count < 0 || count > 1_000) {
    return { sockets: passed(opened), successor: false, serving: () => undefined }
  }
  const sockets = listeningSockets(Array.from({ length: count }, (_, index) => FIRST_FD + index)).concat(opened)
  let told = !successor
  return {
    sockets: passed(sockets),
    successor,
    serving: () => {
      if (told) return
      told = true
      try {
        writeSync(FIRST_FD + count, "ready\n")
        closeSync(FIRST_FD + count)
      } catch {
        // The predecessor has gone already: nobody is there to be told.
      }
    }
  }
}
