import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import manifest from "../package.json" with { type: "json" }
import { Supervisor } from "../src/actor/Supervisor.ts"
import * as Cli from "../src/cli/Cli.ts"
import { CheckFailed, CommandError } from "../src/cli/CommandError.ts"
import type { EdgeApi as EdgeApiPort } from "../src/cli/EdgeApi.ts"
import { RouteAnnouncer } from "../src/anycast/RouteAnnouncer.ts"
import * as ConfiguredStore from "../src/cli/ConfiguredStore.ts"
import { printableLines } from "../src/cli/printable.ts"
import { ConfigError } from "../src/config/ConfigError.ts"
import { effectiveLines } from "../src/config/describe.ts"
import { type ConfigValues, variables } from "../src/config/variables.ts"
import { Conditions } from "../src/observe/Conditions.ts"
import { TableSnapshotStore } from "../src/routing/TableSnapshotStore.ts"
import { TopologyError } from "../src/wireguard/TopologyError.ts"
import { addressPolicies } from "./addresses.ts"
import * as BirdAnnouncer from "./bird/BirdAnnouncer.ts"
import { check } from "./cli/Check.ts"
import * as EdgeApi from "./cli/EdgeApi.ts"
import { loadConfigured } from "./config/configured.ts"
import { demo } from "./demo/Demo.ts"
import { Host } from "./host/Host.ts"
import * as MaxMindGeo from "./maxmind/MaxMindGeo.ts"
import { EXIT_CONFIG, serve } from "./serve.ts"
import { checkCertificates } from "./checkCertificates.ts"
import { chooseDatabase, probeDatabase } from "./sources.ts"
import * as Curve25519 from "./wireguard/Curve25519.ts"
import * as NodeMeshFiles from "./wireguard/NodeMeshFiles.ts"

/** The command failed. */
const EXIT_FAILED = 1
/** The command line is wrong. */
const EXIT_USAGE = 2

const loaded = Effect.suspend(() => Effect.fromResult(loadConfigured()))

const config = Effect.gen(function* () {
  const all = yield* loaded
  for (const warning of all.warnings) yield* Console.error(`warning: ${warning}`)
  for (const line of effectiveLines(all)) yield* Console.log(line)
})

/** What the database is, without the secrets of how it is reached. */
const nameOf = (config: ConfigValues): string => {
  if (config.corrosionEnabled) return `corrosion ${variables.corrosionApiUrl.encode(config.corrosionApiUrl)}`
  if (!config.postgresEnabled) return `sqlite ${config.dbPath}`
  const url = config.postgresUrl === undefined ? null : URL.parse(Redacted.value(config.postgresUrl))
  return url === null ? "postgres" : `postgres ${url.host}${url.pathname}`
}

// A table that was there once: what is missing is told, and not made.
const neverCreates = Layer.succeed(TableSnapshotStore, {
  load: Effect.succeed({ savedAt: 0, rows: [] }),
  save: () => Effect.void
})

const store = Layer.succeed(ConfiguredStore.ConfiguredStore, {
  open: Effect.fnUntraced(function* (sqlite?: string) {
    const { config: configured } = yield* loaded
    const file = { corrosionEnabled: false, postgresEnabled: false }
    const config = sqlite === undefined ? configured : { ...configured, ...file, dbPath: sqlite }
    const { addresses } = yield* Host
    const { shared } = addressPolicies(config, addresses)
    // Others write to it as well, and every POP judges what it reads there.
    const isShared = config.corrosionEnabled || config.postgresEnabled
    // One look wants no subscription, which would show what was written a moment later.
    const chosen = chooseDatabase({ ...config, corrosionMode: "poll" }, false)
    const database = yield* Layer.build(Layer.provide(chosen, neverCreates)).pipe(
      Effect.mapError(({ message }) => new CommandError({ message }))
    )
    return yield* ConfiguredStore.make({
      name: nameOf(config),
      refuses: (backend) => (isShared ? shared(backend) : undefined)
    }).pipe(Effect.provide(database))
  }, Effect.provide(Host.layer)),
  routing: Effect.map(loaded, ({ config }) => ({
    router: { region: config.region, bindingMaxConnections: config.bindingMaxConnections },
    upstreams: { spillAt: config.spillAt, panicThreshold: config.healthPanicThreshold },
    bindings: { ttlMs: config.bindingTtlMs, gcIntervalMs: config.bindingGcIntervalMs, max: config.bindingMax }
  }))
})

const geo = (config: ConfigValues) =>
  Layer.build(MaxMindGeo.layer({ path: config.geoipPath, overrides: config.geoOverrides })).pipe(
    Effect.as(config.geoipPath ?? "the one that comes with the program"),
    Effect.provide([Supervisor.layer, Conditions.layer])
  )

const anycast = ({ anycastBirdSocket: socket, anycastProtocol: protocol }: ConfigValues) =>
  RouteAnnouncer.use(({ current, target }) => Effect.map(current, (level) => `${target}: ${level}`)).pipe(
    Effect.provide(BirdAnnouncer.layer({ socket, protocol }))
  )

const exitCodeOf = (error: unknown): number => {
  if (CliError.isCliError(error)) return EXIT_USAGE
  const isConfig = [ConfigError, CheckFailed, TopologyError].some((kind) => error instanceof kind)
  return isConfig ? EXIT_CONFIG : EXIT_FAILED
}

/** Everything but serving: parses the command line and runs the command. */
export const runCommand = (): void => {
  const cli = Cli.make<Error, ConfiguredStore.ConfiguredStore | EdgeApiPort>({
    // Serving owns the process: its signals, its exit.
    serve: Effect.andThen(Effect.sync(serve), Effect.never),
    config,
    check: check({ load: loadConfigured, geo, probe: probeDatabase, certificates: checkCertificates, anycast }),
    demo
  })
  cli.pipe(
    Command.run({ version: manifest.version }),
    // The parser of the command line has told its own errors already.
    Effect.tapError((error) =>
      CliError.isCliError(error) ? Effect.void : Console.error(printableLines(error.message))
    ),
    Effect.provide([NodeServices.layer, EdgeApi.layer, store, Curve25519.layer, NodeMeshFiles.layer, Logger.layer([])]),
    NodeRuntime.runMain({
      disableErrorReporting: true,
      teardown: (exit, onExit) => {
        if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return onExit(0)
        return onExit(exitCodeOf(Cause.squash(exit.cause)))
      }
    })
  )
}
