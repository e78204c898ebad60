import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { isSea } from "node:sea"
import { FIRST_FD, HANDOVER_FROM } from "./Inheritance.ts"
import type { ListeningSocket } from "./ListeningSockets.ts"

/** How long the successor may take until it serves. */
const READY_MS = 60_000

/** There is no successor, and nothing has changed. */
export class HandoverError extends Data.TaggedError("HandoverError")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

/** Starts this program anew, as it was started, with these sockets; completes with its process id when it serves. */
export const startSuccessor = (sockets: ReadonlyArray<ListeningSocket>): Effect.Effect<number, HandoverError> =>
  Effect.callback<number, HandoverError>((resume) => {
    const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(isSea() ? 2 : 1)], {
      env: { ...process.env, LISTEN_FDS: String(sockets.length), [HANDOVER_FROM]: String(process.pid) },
      stdio: ["inherit", "inherit", "inherit", ...sockets.map(({ fd }) => fd), "pipe"],
      // What ends this process's group, such as Ctrl-C, is meant for this process.
      detached: true
    })
    const pipe = child.stdio[FIRST_FD + sockets.length]
    const fail = (detail: string): void => {
      child.kill("SIGKILL")
      resume(Effect.fail(new HandoverError({ detail })))
    }
    child.once("error", (error) => fail(error.message))
    child.once("exit", (code, signal) => fail(`the successor has ended with ${code ?? signal ?? "nothing"}`))
    pipe?.on("error", () => undefined)
    pipe?.once("data", () => {
      child.removeAllListeners("exit")
      child.unref()
      resume(Effect.succeed(child.pid ?? 0))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  }).pipe(
    Effect.timeoutOrElse({
      duration: READY_MS,
      orElse: () => Effect.fail(new HandoverError({ detail: `the successor did not serve within ${READY_MS} ms` }))
    })
  )
