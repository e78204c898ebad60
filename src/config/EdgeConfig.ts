import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { load } from "./load.ts"
import { type ConfigValues, variables } from "./variables.ts"

/** The configuration the process runs with: one field per variable, durations in milliseconds. */
export class EdgeConfig extends Context.Service<EdgeConfig, ConfigValues>()("edgeproxy/config/EdgeConfig") {
  static readonly layer = (config: ConfigValues): Layer.Layer<EdgeConfig> => Layer.succeed(EdgeConfig, config)

  /** The defaults with some fields replaced, for tests. The snapshot stays next to the database. */
  static readonly layerFrom = (partial: Partial<ConfigValues> = {}): Layer.Layer<EdgeConfig> =>
    Layer.effect(
      EdgeConfig,
      Effect.map(
        Effect.fromResult(load({ env: { [variables.dbPath.name]: partial.dbPath }, hostname: "localhost" })),
        ({ config }) => ({ ...config, ...partial })
      )
    ).pipe(Layer.orDie)
}
