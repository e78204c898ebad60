// oxlint-disable unicorn/require-post-message-target-origin -- a thread's port has no origin
import { Worker } from "node:worker_threads"
import type { ThreadStart } from "./thread.ts"
import type { FromThread, ToThread } from "./threadMessages.ts"

/** A worker with the node engine in it, as the control side has it. */
export interface EngineThread {
  /** Begins, or begins anew when the last worker has died. */
  readonly start: (data: ThreadStart) => void
  readonly isAlive: () => boolean
  /** Said at the end of the turn; dropped when nobody lives to hear it. */
  readonly say: (message: ToThread) => void
  /** Asks it to end everything and itself. Calls back when it is gone, by force if need be. */
  readonly stop: (gone: () => void) => void
  /** Kills it, as a fault would. */
  readonly kill: () => void
}

export interface EngineThreadEvents {
  readonly heard: (batch: ReadonlyArray<FromThread>) => void
  readonly gone: (error: Error | undefined) => void
}

const STOP_MS = 2_000

// Beside this file as a source, and beside the chunk that has it in the bundle.
const program = new URL(import.meta.url.endsWith(".ts") ? "./thread.ts" : "./node-engine.js", import.meta.url)

export const make = (name: string, events: EngineThreadEvents): EngineThread => {
  let worker: Worker | undefined
  let batch: Array<ToThread> = []

  const flush = (): void => {
    const those = batch
    batch = []
    worker?.postMessage(those)
  }

  return {
    start: (workerData) => {
      let failure: Error | undefined
      const next = new Worker(program, { name, workerData, env: {}, execArgv: [] })
      worker = next
      batch = []
      next.on("message", events.heard)
      next.on("error", (error) => (failure = error instanceof Error ? error : new Error(String(error))))
      next.on("exit", () => {
        worker = undefined
        events.gone(failure)
      })
    },
    isAlive: () => worker !== undefined,
    say: (message) => {
      if (worker !== undefined && batch.push(message) === 1) queueMicrotask(flush)
    },
    stop: (gone) => {
      const running = worker
      if (running === undefined) return gone()
      const timer = setTimeout(() => void running.terminate(), STOP_MS)
      running.once("exit", () => {
        clearTimeout(timer)
        gone()
      })
      flush()
      running.postMessage([{ op: "stop" } satisfies ToThread])
    },
    // It is no message: hearing it fails.
    kill: () => worker?.postMessage(undefined)
  }
}
