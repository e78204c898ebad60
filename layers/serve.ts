import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { setFlagsFromString } from "node:v8"
import { FiberCensus } from "../src/actor/FiberCensus.ts"
import { EdgeConfig } from "../src/config/EdgeConfig.ts"
import type { Loaded } from "../src/config/load.ts"
import { PassedSockets } from "../src/traffic/PassedSockets.ts"
import * as Shutdown from "../src/traffic/Shutdown.ts"
import { formatEndpoint } from "../src/traffic/Transport.ts"
import { loadEnvironment } from "./config/environment.ts"
import { handOverOnSignal } from "./handover/Handover.ts"
import { type Inheritance, inheritance } from "./handover/Inheritance.ts"
import type { ListeningSocket } from "./handover/ListeningSockets.ts"
import { notifyReady } from "./handover/notify.ts"
import { Parent } from "./handover/Parent.ts"
import { Host } from "./host/Host.ts"
import * as Logs from "./log/Logs.ts"
import { Main } from "./Main.ts"
import { GeoError } from "./maxmind/MaxMindGeo.ts"
import { NoSpliceError } from "./transport.ts"

/** The configuration is wrong (EX_USAGE of sysexits.h). */
export const EXIT_CONFIG = 64
/** The configuration is right and the machine does not allow it: a port in use, no permission. */
const EXIT_FAILED = 1

const SAME_INTERRUPT_MS = 300

/** Found out only when used: what a setting names can't be had. */
const configErrors = [GeoError, Logs.LogError, NoSpliceError]

const configTags = new Set(["CertificateError", "ConfigError", "ConfigFileError", "PostgresUrlError"])

const isConfigError = (error: unknown): boolean =>
  configErrors.some((type) => error instanceof type) ||
  // By its tag: whoever has no PostgreSQL need not load its driver.
  (error instanceof Error && "_tag" in error && configTags.has(String(error._tag)))

/** Runs the proxy until a signal ends it, and the process with it. `opened` are listening sockets of its own, open already. */
export const serve = (opened: ReadonlyArray<ListeningSocket> = []): void => {
  const loaded = loadEnvironment()
  if (Result.isFailure(loaded)) {
    process.stderr.write(`${loaded.failure.message}\n`)
    process.exitCode = EXIT_CONFIG
    return
  }
  const shutdown = Shutdown.make()
  process.on("SIGTERM", () => Shutdown.request(shutdown))
  // One Ctrl-C under npm comes twice: from the terminal, which signals the whole group, and passed on by npm.
  let lastInterrupt = -Infinity
  process.on("SIGINT", () => {
    const now = performance.now()
    if (now - lastInterrupt >= SAME_INTERRUPT_MS) Shutdown.request(shutdown)
    lastInterrupt = now
  })
  // Rotating the logs must not end a process whose logs are not open yet.
  process.on("SIGHUP", () => undefined)
  // Nor may asking for a successor.
  process.on("SIGUSR2", () => undefined)

  const parent = inheritance(process.env, opened)
  keepYoungGenerationSmall()
  Effect.runFork(program(loaded.success, shutdown, parent)).addObserver((exit) =>
    process.exit(Exit.isSuccess(exit) ? exit.value : EXIT_FAILED)
  )
}

/**
 * Freezes V8's young generation at the size that the start has given it, a few megabytes. A large table would have it grow
 * to 16 MB, and from then on each of its collections could stop the loop for 10 to 100 ms (T2); small, it is collected more
 * often, for a few milliseconds.
 */
const keepYoungGenerationSmall = (): void => setFlagsFromString("--semi-space-growth-factor=1")

/** The export to a collector, loaded only when there is one. It ends after everything that it tells of (S3). */
const telemetry = (config: Loaded["config"]): Layer.Layer<never> => {
  const { otelExporterOtlpEndpoint: endpoint } = config
  if (endpoint === undefined) return Layer.empty
  return Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("./telemetry.ts")),
      ({ telemetryTo }) => telemetryTo(endpoint, config)
    )
  )
}

/** Serves until the shutdown is asked for; gives the exit code. The log is the outermost layer, so the last word is its. */
const program = (
  { config, warnings }: Loaded,
  shutdown: Shutdown.Shutdown["Service"],
  { serving, sockets, successor }: Inheritance
) =>
  Effect.gen(function* () {
    for (const warning of warnings) yield* Effect.logWarning(warning)
    yield* handOverOnSignal(shutdown)
    const log = Effect.runForkWith(yield* Effect.context())
    const parent = Layer.succeed(Parent, {
      handsOver: successor,
      listening: () => {
        const rest = sockets.closeRest().map(formatEndpoint)
        if (rest.length > 0) log(Effect.logWarning("sockets were passed that no listener is configured for", { rest }))
        void notifyReady((detail) => log(Effect.logWarning("the service manager could not be told", { detail })))
      },
      serving
    })
    const environment = Layer.mergeAll(
      Layer.succeed(Shutdown.Shutdown, shutdown),
      Layer.succeed(PassedSockets, sockets),
      EdgeConfig.layer(config),
      Host.layer,
      FiberCensus.layer,
      parent
    )
    // Losing the race interrupts the proxy, and the race waits until that has ended: drained, closed, flushed.
    const exit = yield* Layer.launch(Main).pipe(
      Effect.provide(environment),
      Effect.raceFirst(Effect.raceFirst(Deferred.await(shutdown.requested), Deferred.await(shutdown.failed))),
      Effect.exit
    )
    if (Exit.isFailure(exit)) {
      const error = Cause.squash(exit.cause)
      yield* Effect.logFatal(error instanceof Error ? error.message : String(error))
      return isConfigError(error) ? EXIT_CONFIG : EXIT_FAILED
    }
    const { drained, forced } = shutdown.report ?? { drained: 0, forced: 0 }
    yield* Effect.logInfo(forced > 0 ? "forced" : "drained", { drained, forced })
    return 0
  }).pipe(
    Effect.scoped,
    Effect.provide(
      Layer.provideMerge(telemetry(config), Logs.diagnostics({ level: config.logLevel, format: config.logFormat }))
    )
  )
