import * as Effect from "effect/Effect"
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { BenchOptions, Measured } from "./Measure.ts"

const LIMIT = "6 minutes"

const entry = fileURLToPath(new URL("./worker.ts", import.meta.url))

const outcome = (name: string, child: ChildProcess): Effect.Effect<Measured, Error> =>
  Effect.callback((resume) => {
    child.once("message", (measured) => resume(Effect.succeed(measured as Measured)))
    child.once("exit", (code, signal) => resume(Effect.fail(new Error(`${name} ended with ${code ?? signal}`))))
  })

/** Runs one measure in a process of its own, which ends with its result, with the limit, or with this process. */
export const isolated = (name: string, options: BenchOptions): Effect.Effect<Measured, Error> =>
  Effect.acquireUseRelease(
    Effect.sync(() => fork(entry, [name, JSON.stringify(options)], { execArgv: ["--expose-gc"] })),
    (child) =>
      outcome(name, child).pipe(
        Effect.timeoutOrElse({ duration: LIMIT, orElse: () => Effect.fail(new Error(`${name} took over ${LIMIT}`)) })
      ),
    // A signal, not an end by force: it has processes of its own to end.
    (child) => Effect.sync(() => void child.kill("SIGTERM"))
  )
