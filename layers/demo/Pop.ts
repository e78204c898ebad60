import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { isSea } from "node:sea"
import type { AccessEntry } from "../../src/observe/AccessLog.ts"

export class PopError extends Data.TaggedError("PopError")<{ readonly pop: string; readonly detail: string }> {
  override get message(): string {
    return `POP ${this.pop}: ${this.detail}`
  }
}

/** A running edgeProxy of the demo. */
export interface Pop {
  readonly name: string
  readonly port: number
  /** The log lines of the connections that have ended, in order. */
  readonly entries: ReadonlyArray<AccessEntry>
}

export interface PopOptions {
  readonly name: string
  /** Environment on top of the process's own. */
  readonly env: Readonly<Record<string, string>>
}

const STOP_MS = 10_000

/** The environment without settings that are meant for another edgeProxy. */
const ambient = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("EDGEPROXY_") && name !== "DEBUG"))

/** Runs this very program as a POP on a free port of 127.0.0.1, until the scope ends. */
export const startPop = Effect.fnUntraced(function* (
  options: PopOptions
): Effect.fn.Return<Pop, PopError, Scope.Scope> {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [...(isSea() ? [] : process.argv.slice(1, 2)), "serve"], {
        env: {
          ...ambient(),
          EDGEPROXY_LOG_LEVEL: "info",
          EDGEPROXY_LISTEN_ADDR: "127.0.0.1:0",
          EDGEPROXY_API_LISTEN_ADDR: "127.0.0.1:0",
          EDGEPROXY_LOG_FORMAT: "json",
          EDGEPROXY_ACCESS_LOG: "stdout",
          ...options.env
        },
        stdio: ["ignore", "pipe", "pipe"]
      })
    ),
    stop
  )
  const entries: Array<AccessEntry> = []
  createInterface({ input: child.stdout }).on("line", (line) => entries.push(JSON.parse(line) as AccessEntry))
  const port = yield* listeningPort(child, options.name)
  return { name: options.name, port, entries }
})

const listeningPort = (child: ChildProcess, pop: string): Effect.Effect<number, PopError> =>
  Effect.callback<number, PopError>((resume) => {
    let last = ""
    if (child.stderr === null) return
    createInterface({ input: child.stderr }).on("line", (line) => {
      last = line
      const address = /"message":"listening","address":"[^"]*:(\d+)"/.exec(line)?.[1]
      if (address !== undefined) resume(Effect.succeed(Number(address)))
    })
    child.once("exit", () => resume(Effect.fail(new PopError({ pop, detail: `ended at start: ${last}` }))))
  }).pipe(
    Effect.timeoutOrElse({
      duration: "10 seconds",
      orElse: () => Effect.fail(new PopError({ pop, detail: "does not listen after 10 seconds" }))
    })
  )

const stop = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGTERM")
  }).pipe(Effect.timeoutOrElse({ duration: STOP_MS, orElse: () => Effect.sync(() => void child.kill("SIGKILL")) }))
