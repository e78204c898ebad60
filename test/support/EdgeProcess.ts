import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process"
import { closeSync, constants, openSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import type { AccessEntry } from "../../src/observe/AccessLog.ts"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import * as Watch from "./Watch.ts"

const node = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url))
/** Where the bundle is that this run of tests has built. */
export const bundleDirectory = process.env["TEST_BUNDLE"] ?? fileURLToPath(new URL("../../dist", import.meta.url))
export const bundle = join(bundleDirectory, "edgeproxy.js")

/** One line of the diagnostic log. */
export interface LogLine {
  readonly level: string
  readonly message: string
  readonly [field: string]: unknown
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** The shipped program as a process of its own. */
export interface EdgeProcess {
  readonly pid: number
  /** Where its listeners listen, in the order they were configured. */
  readonly addresses: ReadonlyArray<Endpoint>
  readonly address: Endpoint
  /** Its diagnostic log so far, and what of its standard error was no log line. */
  readonly logs: ReadonlyArray<LogLine>
  readonly errorText: () => string
  /** Its access log so far, as far as it goes to standard output. */
  readonly entries: ReadonlyArray<AccessEntry>
  /** The first log line that fits, past or to come. `from` skips earlier lines; `ms` is the patience for what takes long. */
  readonly log: (fits: string | ((line: LogLine) => boolean), from?: number, ms?: number) => Effect.Effect<LogLine>
  readonly entry: (fits: (entry: AccessEntry) => boolean) => Effect.Effect<AccessEntry>
  /** Waits until so many connections have ended. */
  readonly entryCount: (count: number) => Effect.Effect<ReadonlyArray<AccessEntry>>
  readonly signal: (signal: NodeJS.Signals) => void
  readonly exit: Effect.Effect<Exit>
  /** SIGTERM, then its exit. */
  readonly stop: Effect.Effect<Exit>
  readonly stdout: Readable
}

export interface EdgeOptions {
  /** `EDGEPROXY_` may be left out of the names. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Another copy of the bundle. */
  readonly bundle?: string
  /** The single executable, in the place of Node and a bundle. */
  readonly executable?: string
  /** What its command is put behind, and is in the end: a mount namespace of its own, for one. */
  readonly through?: ReadonlyArray<string>
  /** The most file descriptors it may have. */
  readonly fdLimit?: number
  /** Listening sockets of this process, passed on as systemd does it. */
  readonly passed?: ReadonlyArray<number>
  /** A standard output that nobody reads, as that of a log collector which has stalled. */
  readonly stalledStdout?: "socket" | "pipe"
}

/** A directory of its own for the rest of the scope. */
export const scratch: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "edgeproxy-test-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/** Nobody waits for another's ports. */
const anyPorts = { LISTEN_ADDR: "127.0.0.1:0", API_LISTEN_ADDR: "127.0.0.1:0" }

const environment = (env: Readonly<Record<string, string>>): NodeJS.ProcessEnv => {
  const clean = Object.entries(process.env).filter(([name]) => !/^(EDGEPROXY_|OTEL_|DEBUG$|NODE_|VITEST)/.test(name))
  const given = Object.entries(env).map(([name, value]) => [
    /^(EDGEPROXY_|OTEL_|DEBUG$)/.test(name) ? name : `EDGEPROXY_${name}`,
    value
  ])
  return { ...Object.fromEntries(clean), EDGEPROXY_LOG_FORMAT: "json", ...Object.fromEntries(given) }
}

const onLines = (stream: Readable, onLine: (line: string) => void): void => {
  let rest = ""
  stream.setEncoding("utf8")
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) if (line !== "") onLine(line)
  })
}

const endpointOf = (text: string): Endpoint => {
  const colon = text.lastIndexOf(":")
  return { address: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) }
}

/** A named pipe with a reader that does not read. */
const unreadPipe = Effect.fnUntraced(function* (directory: string) {
  const path = join(directory, "stdout")
  execFileSync("mkfifo", [path])
  yield* Effect.acquireRelease(
    Effect.sync(() => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)),
    (fd) => Effect.sync(() => closeSync(fd))
  )
  return path
})

/** Starts the program; it is killed when the scope ends, whatever it does then. */
export const spawnEdge = (options: EdgeOptions = {}): Effect.Effect<EdgeProcess, never, Scope.Scope> =>
  Effect.gen(function* () {
    const cwd = options.cwd ?? (yield* scratch)
    const watch = Watch.make()
    const logs: Array<LogLine> = []
    const entries: Array<AccessEntry> = []
    const addresses: Array<Endpoint> = []
    let errorText = ""
    let exit: Exit | undefined

    const limit = options.fdLimit === undefined ? "" : `ulimit -n ${options.fdLimit}; `
    const output = options.stalledStdout === "pipe" ? ` > "${yield* unreadPipe(cwd)}"` : ""
    const passed = options.passed ?? []
    const activation = passed.length === 0 ? "" : `export LISTEN_FDS=${passed.length} LISTEN_PID=$$; `
    const program = options.executable === undefined ? [node, options.bundle ?? bundle] : [options.executable]
    const command = [...(options.through ?? []), ...program]
    const args = ["-c", `${limit}${activation}exec "$@"${output}`, "sh", ...command]
    const child = yield* Effect.acquireRelease(
      Effect.sync(
        () =>
          // Its type depends on the stdio, which is no tuple here.
          spawn("sh", args, {
            cwd,
            env: environment({ ...anyPorts, ...options.env }),
            stdio: ["ignore", "pipe", "pipe", ...passed]
          }) as ChildProcessByStdio<null, Readable, Readable>
      ),
      (child) =>
        Effect.callback<void>((resume) => {
          if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
          child.once("exit", () => resume(Effect.void))
          child.kill("SIGKILL")
        })
    )
    child.once("close", (code, signal) => {
      exit = { code, signal }
      watch.touch()
    })
    onLines(child.stderr, (line) => {
      if (line.startsWith("{")) {
        const parsed = JSON.parse(line) as LogLine
        logs.push(parsed)
        if (parsed.message === "listening") addresses.push(endpointOf(String(parsed["address"])))
      } else errorText += `${line}\n`
      watch.touch()
    })
    if (options.stalledStdout === undefined) {
      onLines(child.stdout, (line) => {
        entries.push(JSON.parse(line) as AccessEntry)
        watch.touch()
      })
    }

    const state = (): string => {
      const last = logs.slice(-5).map((line) => JSON.stringify(line))
      const ended = exit === undefined ? "running" : `ended with ${exit.code ?? exit.signal}`
      return `; the process is ${ended}, ${entries.length} access entries\n${errorText}${last.join("\n")}`
    }
    const until = <A>(what: string, look: () => A | undefined | false, ms?: number): Effect.Effect<A> =>
      watch.until(() => what + state(), look, ms)
    const awaitExit = until("exit", () => exit)

    return {
      pid: child.pid ?? 0,
      addresses,
      get address() {
        return addresses[0] ?? { address: "", port: 0 }
      },
      logs,
      errorText: () => errorText,
      entries,
      log: (fits, from = 0, ms) => {
        const test = typeof fits === "string" ? (line: LogLine) => line.message.includes(fits) : fits
        return until(`log line ${String(fits)}`, () => logs.slice(from).find(test), ms)
      },
      entry: (fits) => until(`access entry ${String(fits)}`, () => entries.find(fits)),
      entryCount: (count) => until(`${count} access entries`, () => entries.length >= count && entries),
      signal: (signal) => void child.kill(signal),
      exit: awaitExit,
      stop: Effect.suspend(() => {
        child.kill("SIGTERM")
        return awaitExit
      }),
      stdout: child.stdout
    }
  })

/**
 * Starts the program on a free port of 127.0.0.1 and waits until it listens and has a table, or has said that it goes
 * without.
 */
export const startEdge = (options: EdgeOptions = {}): Effect.Effect<EdgeProcess, never, Scope.Scope> =>
  Effect.gen(function* () {
    // A machine that runs several tests at once has its processes wait longer than an edge would.
    const patience = { OVERLOAD_LOOP_DELAY_MS: "5000" }
    const env: Readonly<Record<string, string>> = {
      ...anyPorts,
      ...patience,
      ...options.env
    }
    const edge = yield* spawnEdge({ ...options, env })
    const listeners = [env["LISTEN_ADDR"], env["TLS_LISTEN_ADDR"]].flatMap((text) => text?.split(",") ?? []).length
    yield* edge.log(() => edge.addresses.length === listeners)
    if (env["API_ENABLED"] !== "false") yield* edge.log("API endpoint")
    yield* edge.log(({ message }) => message === "routing table" || message.startsWith("no routing table yet"))
    return edge
  })
