import { lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"

export interface Packed {
  /** Changes with any of the files. */
  readonly digest: string
  /** By their paths. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

const PRIVATE = 0o077

/** Ours alone, so that nobody else can have put anything into it. */
const isOwn = (directory: string, uid: number): boolean => {
  const stats = lstatSync(directory)
  return stats.isDirectory() && stats.uid === uid && (stats.mode & PRIVATE) === 0
}

const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined

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
      for (const [path, bytes] of files) {
        mkdirSync(dirname(join(made, path)), { recursive: true, mode: 0o700 })
        writeFileSync(join(made, path), bytes, { mode: 0o600 })
      }
      renameSync(made, directory)
    } catch (error) {
      rmSync(made, { recursive: true, force: true })
      if (!exists(directory)) throw error
    }
  }
  if (!isOwn(directory, uid)) throw new Error(`${directory} is not this user's alone: remove it`)
  return directory
}
