import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readFile, stat } from "node:fs/promises"
import { parse, TomlError } from "smol-toml"
import { ConfigFile, ConfigFileError } from "../../src/config/LiveConfig.ts"

/** Larger is no configuration file. */
const MAX_BYTES = 262_144

const detailOf = (error: unknown): string => {
  const [first = ""] = (error instanceof Error ? error.message : String(error)).split("\n", 1)
  return error instanceof TomlError ? `line ${error.line}: ${first}` : first
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
      const now = info === undefined ? "none" : [info.dev, info.ino, info.size, info.mtimeMs].join(":")
      if (now === identity) return undefined
      if (info !== undefined && !info.isFile()) throw new Error("it is not a regular file")
      if (info !== undefined && info.size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`)
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
