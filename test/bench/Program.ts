import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process"
import * as net from "node:net"

const END_PATIENCE = "3 seconds"

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

export const awaitEnd = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const done = (): void => resume(Effect.void)
    if (ended(child)) return done()
    child.once("exit", done)
    return Effect.sync(() => void child.off("exit", done))
  })

/** Asks the process to end, and ends it by force if it takes too long. */
export const end = (child: ChildProcess): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (ended(child)) return Effect.void
    child.kill("SIGTERM")
    return awaitEnd(child).pipe(
      Effect.timeoutOption(END_PATIENCE),
      Effect.tap((done) => Effect.sync(() => (done._tag === "None" ? child.kill("SIGKILL") : false))),
      Effect.asVoid
    )
  })

/** A process for the rest of the scope. */
export const program = (
  command: string,
  args: ReadonlyArray<string>,
  options: SpawnOptions
): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(command, args, options)
      // A command that is not there ends at once; `awaitListening` tells.
      child.once("error", () => undefined)
      return child
    }),
    end
  )

const connects = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = net.connect(port, "127.0.0.1")
    const tell = (answer: boolean) => (): void => {
      socket.destroy()
      resume(Effect.succeed(answer))
    }
    socket.once("connect", tell(true)).once("error", tell(false))
  })

/**
 * Waits until the process takes connections on the port, asking every `everyMs`. Dies with the process's last words when it
 * ends instead.
 */
export const awaitListening = Effect.fnUntraced(function* (child: ChildProcess, port: number, everyMs: number) {
  let words = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (words = (words + text).slice(-1_000)))
  while (!(yield* connects(port))) {
    if (ended(child) || child.pid === undefined)
      return yield* Effect.die(new Error(`${child.spawnfile} has ended: ${words}`))
    yield* Effect.sleep(everyMs)
  }
})
