import { lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { isOwn } from "./isOwn.ts"

export interface Packed {
  /** Changes with any of the files. */
  readonly digest: string
  /** By their paths. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined

const put = (directory: string, path: string, bytes: Uint8Array): void => {
  mkdirSync(dirname(join(directory, path)), { recursive: true, mode: 0o700 })
  writeFileSync(join(directory, path), bytes, { mode: 0o600 })
}

/**
 * Files that are gone, as after a cleaning of old ones, or cut short, as after a power failure, are put in again: each as a
 * whole, under the eyes of others that use it.
 */
const mend = (directory: string, files: Packed["files"]): void => {
  for (const [path, bytes] of files) {
    if (lstatSync(join(directory, path), { throwIfNoEntry: false })?.size === bytes.length) continue
    const made = mkdtempSync(join(directory, "made."))
    try {
      put(made, path, bytes)
      mkdirSync(dirname(join(directory, path)), { recursive: true, mode: 0o700 })
      renameSync(join(made, path), join(directory, path))
    } finally {
      rmSync(made, { recursive: true })
    }
  }
}

/**
 * Puts the files into a directory of this user's own below `place`, unless another start of the same program has done so; gives
 * that directory. Throws when it is somebody else's, or can't be made.
 */
export const unpack = ({ digest, files }: Packed, place: string, uid: number): string => {
  const directory = join(place, `edgeproxy-${uid}-${digest}`)
  if (!exists(directory)) {
    mkdirSync(place, { recursive: true, mode: 0o700 })
    // Made elsewhere and renamed: it is there as a whole or not at all, whoever starts at the same time.
    const made = mkdtempSync(`${directory}.`)
    try {
      for (const [path, bytes] of files) put(made, path, bytes)
      renameSync(made, directory)
    } catch (error) {
      rmSync(made, { recursive: true, force: true })
      if (!exists(directory)) throw error
    }
  }
  if (!isOwn(lstatSync(directory), uid)) throw new Error(`${directory} is not this user's alone: remove it`)
  mend(directory, files)
  return directory
}
