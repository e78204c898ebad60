import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { parseArgs } from "node:util"
import { type MockBackendOptions, startMockBackend } from "./MockBackend.ts"

const usage = `Usage: mock-backend --port <port> --region <region> --id <id> [--host <address>]

An HTTP server that says which backend answered: /, /health, /api/info, /api/latency.

  --port <port>      port to listen on, 0 for any free one (or PORT)
  --region <region>  region it reports, such as sa, us, eu, ap (or REGION)
  --id <id>          name it reports (or ID)
  --host <address>   address to listen on, 127.0.0.1 when not given
  --help             this text`

/** The command line or the environment is wrong; exit code 64 (EX_USAGE of sysexits.h). */
class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {
  override readonly [Runtime.errorExitCode] = 64
}

const parse = Effect.try({
  try: () =>
    parseArgs({
      options: {
        port: { type: "string", default: process.env["PORT"] ?? "" },
        region: { type: "string", default: process.env["REGION"] ?? "" },
        id: { type: "string", default: process.env["ID"] ?? "" },
        host: { type: "string", default: "127.0.0.1" },
        help: { type: "boolean", default: false }
      }
    }).values,
  catch: (cause) => new UsageError({ message: cause instanceof Error ? cause.message : String(cause) })
})

const options = Effect.fnUntraced(function* (
  flags: Effect.Success<typeof parse>
): Effect.fn.Return<MockBackendOptions, UsageError> {
  const { host, id, region } = flags
  const missing = (["port", "region", "id", "host"] as const).filter((name) => flags[name] === "")
  if (missing.length > 0) {
    return yield* new UsageError({ message: `missing ${missing.map((name) => `--${name}`).join(", ")}` })
  }
  const port = Number(flags.port)
  if (!/^\d{1,5}$/.test(flags.port) || port > 65_535) {
    return yield* new UsageError({ message: `--port: expected 0 to 65535, got ${JSON.stringify(flags.port)}` })
  }
  return { host, id, port, region }
})

const program = Effect.gen(function* () {
  const flags = yield* parse
  if (flags.help) return yield* Console.log(usage)
  const backend = yield* Effect.flatMap(options(flags), startMockBackend)
  yield* Console.log(JSON.stringify({ listening: backend.address, id: flags.id }))
  return yield* Effect.never
}).pipe(
  Effect.scoped,
  Effect.tapErrorTag("UsageError", ({ message }) => Console.error(`mock-backend: ${message}\n\n${usage}`)),
  Effect.tapErrorTag("MockBackendError", ({ message }) => Console.error(message)),
  Effect.tapDefect((defect) => Console.error(defect))
)

/** A signal is how a mock backend is meant to end, so it is a success. */
const teardown: Runtime.Teardown = (exit, onExit) =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? onExit(0) : Runtime.defaultTeardown(exit, onExit)

NodeRuntime.runMain(program, { disableErrorReporting: true, teardown })
