import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { existsSync } from "node:fs"
import { CheckFailed } from "../../src/cli/CommandError.ts"
import { ConfiguredStore } from "../../src/cli/ConfiguredStore.ts"
import { EdgeApi } from "../../src/cli/EdgeApi.ts"
import { type Finding, findingText } from "../../src/cli/Findings.ts"
import { printableJson } from "../../src/cli/printable.ts"
import type { ConfigError } from "../../src/config/ConfigError.ts"
import { trafficListeners } from "../../src/config/listeners.ts"
import type { Loaded } from "../../src/config/load.ts"
import { endpoint, type Endpoint } from "../../src/config/networks.ts"
import type { ConfigValues } from "../../src/config/variables.ts"
import { isInRotation } from "../../src/domain/Backend.ts"
import type { Sighting } from "../../src/routing/BackendSource.ts"
import { bindError } from "./listeners.ts"

/** What a check needs of the other technologies. */
export interface CheckParts {
  readonly load: () => Result.Result<Loaded, ConfigError>
  /** Opens the geo database as the proxy does; gives its name. */
  readonly geo: (config: ConfigValues) => Effect.Effect<string, Error, Scope.Scope>
  /** Looks at the configured database as far as there is more to it than its rows; fails when the proxy could not run with it. */
  readonly probe: (config: ConfigValues) => Effect.Effect<ReadonlyArray<Sighting>, Error>
  /** How the anycast route stands, in words. */
  readonly anycast: (config: ConfigValues) => Effect.Effect<string, Error>
  /** Reads every certificate, key and authority as the proxy does. */
  readonly certificates: (config: ConfigValues) => Effect.Effect<ReadonlyArray<Finding>, Error>
}

const ok = (about: string, detail: string): Finding => ({ level: "ok", about, detail })
const warn = (about: string, detail: string): Finding => ({ level: "warn", about, detail })
const error = (about: string, detail: string): Finding => ({ level: "error", about, detail })

/** Bad rows that are told one by one. */
const MAX_ROWS = 20

/** What was logged, as words. */
const wordOf = (part: unknown): string => {
  if (typeof part !== "object" || part === null) return String(part)
  return Object.entries(part)
    .map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ")
}

/** Runs one part; a failure is its finding, and so is each warning that it logs. */
const part = <R>(about: string, run: Effect.Effect<ReadonlyArray<Finding>, Error, R>) =>
  Effect.suspend(() => {
    const logged: Array<Finding> = []
    const collect = Logger.make(({ message }) => {
      logged.push(warn(about, (Array.isArray(message) ? message : [message]).map(wordOf).join(", ")))
    })
    return run.pipe(
      Effect.catch((failure) => Effect.succeed([error(about, failure.message)])),
      Effect.map((found) => [...found, ...logged]),
      Effect.provide(Logger.layer([collect])),
      Effect.provideService(References.MinimumLogLevel, "Warn")
    )
  })

const configuration = ({ sources, warnings }: Loaded): ReadonlyArray<Finding> => {
  const set = Object.values(sources).filter((source) => source !== "default").length
  return [ok("configuration", `${set} settings given`), ...warnings.map((text) => warn("configuration", text))]
}

const table = Effect.fnUntraced(function* (config: ConfigValues, probe: CheckParts["probe"]) {
  const about = "table"
  if (!config.corrosionEnabled && !config.postgresEnabled && !existsSync(config.dbPath)) {
    return [warn(about, `${config.dbPath} is not there; the first start makes one without backends`)]
  }
  const probed = yield* probe(config)
  const store = yield* ConfiguredStore.use(({ open }) => open())
  const { backends, quarantined } = yield* store.read
  const rotating = Array.from(backends.values()).filter(isInRotation).length
  const summary = `${store.name}: ${backends.size} backends, ${rotating} in rotation`
  const bad = Array.from(quarantined).map(([id, reason]) => warn(about, `row ${id} is not used: ${reason}`))
  const more = bad.length - MAX_ROWS
  return [
    ...probed.map(({ level, text }) => ({ level, about, detail: text })),
    rotating > 0 ? ok(about, summary) : warn(about, summary),
    ...bad.slice(0, MAX_ROWS),
    ...(more > 0 ? [warn(about, `${more} more rows are not used`)] : [])
  ]
}, Effect.scoped)

const listeners = Effect.fnUntraced(function* (config: ConfigValues) {
  const about = "listeners"
  const running = yield* EdgeApi.use(({ connect }) => connect({ url: undefined, tokenFile: undefined })).pipe(
    Effect.flatMap(({ health }) => health),
    Effect.option,
    Effect.scoped
  )
  if (running._tag === "Some") {
    return [ok(about, `not tried: edgeproxy ${running.value.version} runs here as ${running.value.pop}`)]
  }
  const wanted: ReadonlyArray<Endpoint> = [
    ...trafficListeners(config).map(({ address }) => address),
    ...(config.apiEnabled ? [config.apiListenAddr] : []),
    ...(config.metricsEnabled ? [config.metricsListenAddr] : []),
    ...(config.dnsEnabled ? [config.dnsListenAddr] : [])
  ]
  return yield* Effect.forEach(wanted, (place) =>
    Effect.map(bindError(place), (why) =>
      why === undefined ? ok(about, endpoint.encode(place)) : error(about, `${endpoint.encode(place)}: ${why}`)
    )
  )
})

/** `edgeproxy check` (X1): looks at everything that a start needs and at what it would complain of, and changes nothing. */
export const check = (parts: CheckParts) =>
  Effect.fnUntraced(function* ({ json }: { readonly json: boolean }) {
    const findings: Array<Finding> = []
    const tell = Effect.fnUntraced(function* (found: ReadonlyArray<Finding>) {
      findings.push(...found)
      if (!json) for (const finding of found) yield* Console.log(findingText(finding))
    })

    const loaded = parts.load()
    if (Result.isFailure(loaded)) {
      yield* tell(loaded.failure.message.split("\n").map((line) => error("configuration", line)))
    } else {
      const { config } = loaded.success
      yield* tell(configuration(loaded.success))
      yield* tell(yield* part("table", table(config, parts.probe)))
      if (config.anycastEnabled) {
        const about = "anycast"
        yield* tell(
          yield* part(
            about,
            Effect.map(parts.anycast(config), (words) => [ok(about, words)])
          )
        )
      }
      const geo = Effect.map(Effect.scoped(parts.geo(config)), (name) => [ok("geo database", name)])
      yield* tell(yield* part("geo database", geo))
      yield* tell(yield* part("certificates", parts.certificates(config)))
      yield* tell(yield* part("listeners", listeners(config)))
    }

    const errors = findings.filter(({ level }) => level === "error").length
    const warnings = findings.filter(({ level }) => level === "warn").length
    if (json) yield* Console.log(printableJson({ findings, errors, warnings }))
    if (errors > 0) return yield* new CheckFailed({ errors })
  })
