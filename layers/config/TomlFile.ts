import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { readFileSync, type Stats, statSync } from "node:fs"
import { readFile, stat } from "node:fs/promises"
import { parse, TomlError } from "smol-toml"
import { ConfigFile, ConfigFileError } from "../../src/config/LiveConfig.ts"

/** Larger is no configuration file. */
const MAX_BYTES = 262_144

const detailOf = (error: unknown): string => {
  const [first = ""] = (error instanceof Error ? error.message : String(error)).split("\n", 1)
  return error instanceof TomlError ? `line ${error.line}: ${first}` : first
}

/** The file as it is at the moment, decoded; one that is not there is an empty one. */
export const readNow = (path: string): Result.Result<object, ConfigFileError> =>
  Result.try({
    try: () => {
      const info = statSync(path, { throwIfNoEntry: false })
      if (info === undefined) return {}
      mustBeUsable(info)
      return parse(readFileSync(path, "utf8"))
    },
    catch: (error) => new ConfigFileError({ path, detail: detailOf(error) })
  })

const mustBeUsable = (info: Stats): void => {
  if (!info.isFile()) throw new Error("it is not a regular file")
  if (info.size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`)
}

/** The configuration file in TOML, read when it has changed. */
export const layer = (path: string): Layer.Layer<ConfigFile> =>
  Layer.sync(ConfigFile, () => {
    let identity: string | undefined
    const load = async (): Promise<object | undefined> => {
      const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined
        throw error
      })
      const now = info === undefined ? "none" : [info.dev, info.ino, info.size, info.mtimeMs, info.ctimeMs].join(":")
      if (now === identity) return undefined
      if (info !== undefined) mustBeUsable(info)
      const text = info === undefined ? "" : await readFile(path, "utf8")
      // Also of a file that is wrong: it is wrong until it changes.
      identity = now
      return parse(text)
    }
    return {
      path,
      read: Effect.tryPromise({
        try: load,
        catch: (error) => new ConfigFileError({ path, detail: detailOf(error) })
      })
    }
  })
