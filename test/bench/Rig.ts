import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { type BenchOptions, type Row, skipped } from "./Measure.ts"
import * as procfs from "./procfs.ts"
import { end } from "./Program.ts"
import { kinds, type Proxy, type ProxyKind } from "./proxies.ts"
import type { Answer, Task } from "./Task.ts"

/** What a task has cost the proxy that it went through, in milliseconds. */
export interface Cost {
  /** Processor time. */
  readonly cpuMs: number
  /** What of it was not spent in the kernel; coarse. */
  readonly userMs: number
  /** How long it took. */
  readonly ms: number
}

/** Load generator and backend, each a process of its own, and the proxies that can stand between them. */
export interface Rig {
  readonly kinds: ReadonlyArray<ProxyKind>
  /** A row for each proxy that this machine does not have. */
  readonly missing: ReadonlyArray<Row>
  /** A port of the backend for each kind, so that no kind uses up the ports of another. */
  readonly target: (kind: ProxyKind) => number
  readonly perform: (task: Task) => Effect.Effect<number>
  readonly cost: (proxy: Proxy, task: Task) => Effect.Effect<Cost>
}

// Closing and logging go on for a moment after the last byte; the log gathers lines for some time.
const SETTLE_MS = 100

const forked = (file: string, args: ReadonlyArray<string>): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => fork(fileURLToPath(new URL(file, import.meta.url)), [...args], { execArgv: [] })),
    end
  )

const nextMessage = (child: ChildProcess): Effect.Effect<unknown> =>
  Effect.callback((resume) => {
    const onExit = (code: number | null): void => resume(Effect.die(new Error(`${child.spawnfile} ended with ${code}`)))
    child.once("exit", onExit)
    child.once("message", (message) => {
      child.off("exit", onExit)
      resume(Effect.succeed(message))
    })
  })

export const makeRig = Effect.fnUntraced(function* (options: BenchOptions) {
  const all = kinds(options.program)
  const reasons = new Map(all.map((kind) => [kind, procfs.available ? kind.missing() : "no /proc on this system"]))
  const present = all.filter((kind) => reasons.get(kind) === undefined)

  const sink = yield* forked("./sink.ts", [String(present.length)])
  const ports = (yield* nextMessage(sink)) as ReadonlyArray<number>
  const load = yield* forked("./load.ts", [])
  yield* nextMessage(load)

  const perform = Effect.fnUntraced(function* (task: Task) {
    load.send(task)
    const answer = (yield* nextMessage(load)) as Answer
    if ("error" in answer) return yield* Effect.die(new Error(`${task.kind}: ${answer.error}`))
    return answer.ms
  })

  const rig: Rig = {
    kinds: present,
    missing: all.filter((kind) => !present.includes(kind)).map((kind) => skipped(kind.name, reasons.get(kind) ?? "")),
    target: (kind) => ports[present.indexOf(kind)] ?? 0,
    perform,
    cost: Effect.fnUntraced(function* (proxy: Proxy, task: Task) {
      const before = { cpu: procfs.cpuMs(proxy.pid), user: procfs.userMs(proxy.pid) }
      const ms = yield* perform(task)
      yield* Effect.sleep(SETTLE_MS)
      return { cpuMs: procfs.cpuMs(proxy.pid) - before.cpu, userMs: procfs.userMs(proxy.pid) - before.user, ms }
    })
  }
  return rig
})
