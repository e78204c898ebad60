import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { end } from "./Program.ts"
import type { Answer, Task } from "./Task.ts"

/** Load generator and backend of our own, each a process of its own: for what wrk and iperf3 can't do. */
export interface Generator {
  /** Ports of the backend. */
  readonly targets: ReadonlyArray<number>
  /** Milliseconds that the task took; dies when it fails. */
  readonly perform: (task: Task) => Effect.Effect<number>
}

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

export const makeGenerator = (ports: number): Effect.Effect<Generator, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sink = yield* forked("./sink.ts", [String(ports)])
    const targets = (yield* nextMessage(sink)) as ReadonlyArray<number>
    const load = yield* forked("./load.ts", [])
    yield* nextMessage(load)
    const perform = Effect.fnUntraced(function* (task: Task) {
      load.send(task)
      const answer = (yield* nextMessage(load)) as Answer
      if ("error" in answer) return yield* Effect.die(new Error(`${task.kind}: ${answer.error}`))
      return answer.ms
    })
    return { targets, perform }
  })
