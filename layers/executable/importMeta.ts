import { tmpdir } from "node:os"
import { join } from "node:path"
import { getAssetKeys, getRawAsset } from "node:sea"
import { pathToFileURL } from "node:url"
import { unpack } from "./unpack.ts"

/** Of all files in it; put in when it is built. */
declare const EDGEPROXY_DIGEST: string

/**
 * What stands for `import.meta` in the single executable: files that the program looks for beside itself, and that Node takes
 * from a file system only (the addon, the threads' code), are unpacked first; the place is that of a cache (XDG Base Directory
 * Specification, CacheDirectory= of systemd.exec(5)).
 */
const unpacked = (): string => {
  const { CACHE_DIRECTORY, HOME, XDG_CACHE_HOME } = process.env
  const home = HOME === undefined || HOME === "/" ? undefined : join(HOME, ".cache")
  const files = new Map(getAssetKeys().map((path) => [path, new Uint8Array(getRawAsset(path))]))
  const uid = process.getuid?.() ?? 0
  const failures: Array<string> = []
  for (const place of [CACHE_DIRECTORY, XDG_CACHE_HOME, home, tmpdir()]) {
    if (place === undefined || place === "") continue
    try {
      return unpack({ digest: EDGEPROXY_DIGEST, files }, place, uid)
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error))
    }
  }
  process.stderr.write(`edgeproxy finds no place to unpack to; name one in CACHE_DIRECTORY:\n${failures.join("\n")}\n`)
  process.exit(1)
}

export const importMetaDirname = join(unpacked(), "chunks")
export const importMetaUrl = pathToFileURL(join(importMetaDirname, "edgeproxy.js")).href
