import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { chownSync } from "node:fs"
import { tempDirectory } from "../support/tempDirectory.ts"
import { eventually } from "../support/Watch.ts"
import { freePort } from "./freePort.ts"
import { awaitListening, program } from "./Program.ts"
import { userIds } from "./users.ts"

/** A proxy under measurement: a process of its own that carries connections from its port to one backend. */
export interface Proxy {
  readonly name: string
  readonly pid: number
  readonly port: number
  /** Where it tells of its metrics. */
  readonly metrics?: string
  /** What carries its bytes, as far as it has said. */
  readonly engine: () => string | undefined
}

export interface ProxyKind {
  readonly name: string
  /** Why it can't be measured here; undefined when it can. */
  readonly missing: () => string | undefined
  readonly command: (place: Place) => ReadonlyArray<string>
  readonly env?: (place: Place) => Readonly<Record<string, string>>
  /** Left out of a quick run. */
  readonly slow?: boolean
  /** It has metrics, which are read meanwhile. */
  readonly scraped?: boolean
  /** Finds its engine in what it prints. */
  readonly engine?: RegExp
}

/** Where it stands. */
export interface Place {
  readonly directory: string
  readonly port: number
  readonly metrics: number
  readonly target: number
}

const LISTEN_POLL_MS = 20

/** What the pattern finds first in the errors and messages of a process. */
const finder = (child: ChildProcess, pattern: RegExp): (() => string | undefined) => {
  let text = ""
  let found: string | undefined
  child.stderr?.on("data", (chunk: Buffer | string) => {
    if (found !== undefined) return
    text = (text + String(chunk)).slice(-10_000)
    found = pattern.exec(text)?.[1]
  })
  return () => found
}

/** Runs a proxy in front of the backend until the scope ends; returns once it takes connections. */
export const startProxy = (
  kind: ProxyKind,
  target: number,
  user: string | undefined
): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const directory = yield* tempDirectory
    const [port, metrics] = yield* Effect.all([Effect.promise(freePort), Effect.promise(freePort)])
    const place: Place = { directory, port, metrics, target }
    const [command = "", ...args] = kind.command(place)
    const ids = user === undefined ? undefined : userIds(user)
    if (ids !== undefined) chownSync(directory, ids.uid, ids.gid)
    const env = { ...process.env, ...kind.env?.(place) }
    const child = yield* program(command, args, { cwd: directory, env, stdio: ["ignore", "ignore", "pipe"], ...ids })
    const engine = kind.engine === undefined ? () => undefined : finder(child, kind.engine)
    yield* awaitListening(child, port, LISTEN_POLL_MS)
    // It says so when its engine accepts; its port is open long before that.
    if (kind.engine !== undefined) yield* eventually("its engine", engine)
    const proxy = { name: kind.name, pid: child.pid ?? 0, port, engine }
    return kind.scraped === true ? { ...proxy, metrics: `http://127.0.0.1:${metrics}/metrics` } : proxy
  })
