import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"

/** Work that went through a proxy. */
export interface Done {
  /** Connections, requests or bytes. */
  readonly pieces: number
  readonly ms: number
  /** Of a request, in microseconds. */
  readonly latency?: { readonly p50: number; readonly p99: number }
}

// What a tool may take beyond the time it was given.
const PATIENCE_MS = 10_000
const MOST_OUTPUT = 64 * 2 ** 20

/** What a command prints that is to take so many seconds; dies when it fails. */
export const output = (command: string, args: ReadonlyArray<string>, seconds: number): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const options = { timeout: seconds * 1_000 + PATIENCE_MS, killSignal: "SIGKILL", maxBuffer: MOST_OUTPUT } as const
    const child = execFile(command, args, options, (error, stdout, stderr) =>
      resume(
        error === null
          ? Effect.succeed(stdout)
          : Effect.die(
              new Error(error.killed === true ? `${command} did not come to its end` : `${error.message} ${stderr}`)
            )
      )
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })
