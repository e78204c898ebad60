import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { hostname } from "node:os"
import type { ConfigError } from "../../src/config/ConfigError.ts"
import { load, type Loaded } from "../../src/config/load.ts"

/** The configuration of this process with some settings in the place of its environment's. */
export const loadEnvironmentWith = (settings: Readonly<Record<string, string>>): Result.Result<Loaded, ConfigError> =>
  load({
    settings,
    env: process.env,
    hostname: hostname(),
    terminal: process.stderr.isTTY,
    readFile: (path) =>
      Result.try({
        try: () => readFileSync(path, "utf8"),
        catch: (error) => (error instanceof Error ? error.message : String(error))
      })
  })

/** The configuration of this process: its environment, and the files that hold its secrets. */
export const loadEnvironment = (): Result.Result<Loaded, ConfigError> => loadEnvironmentWith({})
