import { Worker } from "node:worker_threads"
import { allocate, close, eventfd, write } from "./libc.ts"
import { EFD_CLOEXEC, EFD_NONBLOCK } from "./linux.ts"
import { resetOnClose } from "./options.ts"
import * as Outbox from "./Outbox.ts"
import * as Ring from "./Ring.ts"
import type { ThreadStart } from "./thread.ts"
import { header, open, reset, type ThreadMemory, type ThreadView } from "./ThreadMemory.ts"

/**
 * A data-plane thread as the control side has it: its worker, the rings to and from it, and what it owns. While it lives, its
 * sockets and pipes are its own; when it is dead they are closed from here, by the ledger that it kept.
 */
export interface DataThread {
  readonly view: ThreadView
  readonly outbox: Outbox.Outbox
  readonly inbox: Ring.Reader
  /** The messages' words as floats. */
  readonly floats: Float64Array
  /** Begins, or begins anew when the last worker has died. */
  readonly start: () => void
  readonly isAlive: () => boolean
  /** Of the rings to and from it. */
  readonly unheardBytes: () => { readonly to: number; readonly from: number }
  /** After something was said to it: wakes it if it sleeps. */
  readonly wake: () => void
  /** In any case. */
  readonly rouse: () => void
  /** Asks it to end everything and itself. Calls back when it is gone, by force if need be. */
  readonly stop: (gone: () => void) => void
  /** Kills it, as a fault would. */
  readonly kill: () => void
  /** Closes what a dead worker has left. */
  readonly reap: () => void
  /** Gives up the eventfd. */
  readonly release: () => void
}

const LONGEST_MESSAGE = 2_048
const STOP_MS = 2_000

// Beside this file as a source, and beside the chunk that has it in the bundle.
const program = new URL(import.meta.url.endsWith(".ts") ? "./thread.ts" : "./data-plane.js", import.meta.url)

const one = allocate(8)
one.words[0] = 1

export const make = (
  name: string,
  memory: ThreadMemory,
  controlFd: number,
  onGone: (error: Error | undefined) => void
): DataThread => {
  const view = open(memory)
  const wakeFd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
  let worker: Worker | undefined
  let writer = Ring.writer(memory.toThread)
  let outbox = Outbox.make(writer, LONGEST_MESSAGE)
  let inbox = Ring.reader(memory.toControl)
  const rouse = (): void => void write(wakeFd, one.address, 8)

  const start = (): void => {
    const workerData: ThreadStart = { memory, wakeFd, controlFd }
    let failure: Error | undefined
    const next = new Worker(program, { name, workerData, env: {}, execArgv: [] })
    worker = next
    next.on("error", (error) => (failure = error instanceof Error ? error : new Error(String(error))))
    next.on("exit", () => {
      worker = undefined
      onGone(failure)
    })
  }

  return {
    view,
    get outbox() {
      return outbox
    },
    get inbox() {
      return inbox
    },
    floats: new Float64Array(inbox.words.buffer, inbox.words.byteOffset),
    start,
    isAlive: () => worker !== undefined,
    unheardBytes: () => ({ to: Ring.unreadBytes(memory.toThread), from: Ring.unreadBytes(memory.toControl) }),
    wake: () => {
      if (writer.mustWake()) rouse()
    },
    rouse,
    stop: (gone) => {
      const running = worker
      if (running === undefined) return gone()
      const timer = setTimeout(() => void running.terminate(), STOP_MS)
      running.once("exit", () => {
        clearTimeout(timer)
        gone()
      })
      Atomics.store(view.header, header.stop, 1)
      rouse()
    },
    kill: () => void worker?.terminate(),
    reap: () => {
      for (let side = 0; side < view.fds.length; side++) {
        // Negative while the thread was giving it up.
        const fd = Math.abs(view.fds[side] ?? 0) - 1
        if (fd < 0) continue
        // Cut in the middle: it must not look like an end.
        resetOnClose(fd)
        close(fd)
      }
      for (const fd of view.pipeFds) if (fd > 0) close(fd - 1)
      const epollFd = (view.header[header.epollFd] ?? 0) - 1
      if (epollFd >= 0) close(epollFd)
      reset(memory)
      writer = Ring.writer(memory.toThread)
      outbox = Outbox.make(writer, LONGEST_MESSAGE)
      inbox = Ring.reader(memory.toControl)
    },
    release: () => void close(wakeFd)
  }
}
