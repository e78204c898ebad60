import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Endpoint } from "../../src/traffic/Transport.ts"

export type Errand =
  /** Connections that stay. */
  | { readonly do: "connect"; readonly to: Endpoint; readonly count: number }
  /** Of the first of those that stay, every so many says a word and has it answered. */
  | { readonly do: "ping"; readonly first: number; readonly every: number }
  /** Those that stay reset. */
  | { readonly do: "leave" }
  /** Connections of every fate from beginning to end. */
  | { readonly do: "live"; readonly to: Endpoint; readonly count: number }

/** How often something came of an errand. */
export type Report = Readonly<Record<string, number>>

/** Clients and an echoing backend in a process of their own: they have its descriptors and the other processor. */
export interface FarEnd {
  readonly backend: Endpoint
  readonly send: (errand: Errand) => Effect.Effect<Report>
}

const program = fileURLToPath(new URL("./farEndProcess.ts", import.meta.url))

/** What it says next; its messages are its own program's. */
const hear = <A>(child: ChildProcess): Effect.Effect<A> =>
  Effect.callback((resume) => {
    const done = (result: Effect.Effect<A>): void => {
      child.off("message", onMessage).off("exit", onExit)
      resume(result)
    }
    const onMessage = (message: unknown): void => done(Effect.succeed(message as A))
    const onExit = (code: number | null): void => done(Effect.die(new Error(`the far end exited with ${code}`)))
    child.on("message", onMessage).on("exit", onExit)
    return Effect.sync(() => child.off("message", onMessage).off("exit", onExit))
  })

export const farEnd: Effect.Effect<FarEnd, never, Scope.Scope> = Effect.gen(function* () {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(program, { execArgv: [] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const backend = yield* hear<Endpoint>(child)
  return {
    backend,
    send: (errand) =>
      Effect.suspend(() => {
        child.send(errand)
        return hear<Report>(child)
      })
  }
})
