import * as Result from "effect/Result"
import { loadFile } from "../../src/config/configFile.ts"
import { ConfigError } from "../../src/config/ConfigError.ts"
import type { Loaded } from "../../src/config/load.ts"
import { variables } from "../../src/config/variables.ts"
import { loadEnvironment, loadEnvironmentWith } from "./environment.ts"
import { readNow } from "./TomlFile.ts"

/** What a proxy that starts now would have: its environment, and the file that is watched, where one is. */
export const loadConfigured = (): Result.Result<Loaded, ConfigError> =>
  Result.flatMap(loadEnvironment(), (loaded) => {
    const { configPath, configWatchEnabled } = loaded.config
    if (!configWatchEnabled) return Result.succeed(loaded)
    return readNow(configPath).pipe(
      Result.mapError(({ detail, path }) => {
        const { name } = variables.configPath
        return new ConfigError({ problems: [{ name, value: path, allowed: `a file that can be used (${detail})` }] })
      }),
      Result.flatMap((decoded) => loadFile(decoded, loadEnvironmentWith))
    )
  })
