import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import { monotonicMs } from "../actor/Monotonic.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { Conditions } from "../observe/Conditions.ts"
import { changesBetween, type FileSettings, loadFile } from "./configFile.ts"
import type { ConfigError } from "./ConfigError.ts"
import { EdgeConfig } from "./EdgeConfig.ts"
import type { Loaded } from "./load.ts"
import type { ConfigValues } from "./variables.ts"

/** The file can't be used: it can't be read, or is no TOML. */
export class ConfigFileError extends Data.TaggedError("ConfigFileError")<{
  readonly path: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.path}: ${this.detail}`
  }
}

/** The configuration file, as whoever reads files has it. */
export class ConfigFile extends Context.Service<
  ConfigFile,
  {
    readonly path: string
    /** Decoded; undefined when it is as it was when last asked. A file that is not there is an empty one. */
    readonly read: Effect.Effect<object | undefined, ConfigFileError>
  }
>()("edgeproxy/config/ConfigFile") {}

export interface LiveConfigOptions {
  /** The configuration with these settings in the place of the environment's. */
  readonly loadWith: (settings: FileSettings) => Result.Result<Loaded, ConfigError>
}

/**
 * The configuration as it is now. What may change live is read anew whenever it is used; a file that is changed is taken as
 * a whole or not at all.
 */
export class LiveConfig extends Context.Service<
  LiveConfig,
  {
    readonly current: () => ConfigValues
    /** Looks at the file now, and not only at the next interval. */
    readonly look: Effect.Effect<void>
    /** Runs after each change, one after the other, before the next change is looked for. */
    readonly onChange: (changed: (config: ConfigValues) => Effect.Effect<void>) => void
  }
>()("edgeproxy/config/LiveConfig") {
  /** Without a file nothing changes. */
  static readonly layerFixed: Layer.Layer<LiveConfig, never, EdgeConfig> = Layer.effect(
    LiveConfig,
    Effect.map(EdgeConfig, (config) => ({ current: () => config, look: Effect.void, onChange: () => undefined }))
  )

  static readonly layer = (
    options: LiveConfigOptions
  ): Layer.Layer<LiveConfig, ConfigError | ConfigFileError, ConfigFile | Conditions | EdgeConfig | Supervisor> =>
    Layer.effect(LiveConfig, make(options))
}

const LONGEST_WAIT_MS = 1_000

const LONGEST_SHOWN = 500
const shown = (text: string): string => (text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}...` : text)

export const make = Effect.fnUntraced(
  function* ({ loadWith }: LiveConfigOptions) {
    const file = yield* ConfigFile
    const supervisor = yield* Supervisor
    const conditions = yield* Conditions
    const one = yield* Semaphore.make(1)
    const listeners: Array<(config: ConfigValues) => Effect.Effect<void>> = []
    const now = yield* monotonicMs
    let config = yield* EdgeConfig
    let failure: string | undefined

    const take = Effect.fnUntraced(function* (decoded: object) {
      const { config: next } = yield* Effect.fromResult(loadFile(decoded, loadWith))
      const changes = changesBetween(config, next)
      config = next
      for (const changed of listeners) yield* changed(next)
      for (const { from, name, to } of changes) {
        yield* Effect.logInfo("setting changed", { name, from: shown(from), to: shown(to) })
      }
    })

    const takeFile = Effect.gen(function* () {
      const decoded = yield* file.read
      if (decoded === undefined) return false
      yield* take(decoded)
      return true
    })

    const look = Effect.gen(function* () {
      if (!(yield* takeFile)) return
      if (failure !== undefined) yield* Effect.logInfo("the configuration file is right again", { path: file.path })
      failure = undefined
    }).pipe(
      Effect.catch((error) => {
        if (failure === error.message) return Effect.void
        failure = error.message
        return Effect.logError("the configuration file is left aside; the settings stay as they are", error.message)
      }),
      // One change after the other, whoever asks.
      one.withPermit
    )

    // Before anything uses it. There are no settings yet that could stay as they are: half a configuration is none.
    yield* takeFile
    yield* conditions.watch("config-file", () => failure !== undefined)

    let lookedAt = now()
    const lookWhenDue = Effect.gen(function* () {
      const waitMs = lookedAt + config.configWatchIntervalMs - now()
      // The interval itself may have become shorter.
      if (waitMs > 0) return yield* Effect.sleep(Math.min(LONGEST_WAIT_MS, waitMs))
      yield* look
      lookedAt = now()
    })
    yield* supervisor.supervise("config-file", Effect.forever(lookWhenDue))
    return LiveConfig.of({ current: () => config, look, onChange: (changed) => void listeners.push(changed) })
  },
  Effect.annotateLogs({ service: "config" })
)
