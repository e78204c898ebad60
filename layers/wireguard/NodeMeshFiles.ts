import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { constants } from "node:fs"
import { lstat, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { parse, TomlError } from "smol-toml"
import { MeshFileError, MeshFiles, type SecretFolder } from "../../src/wireguard/MeshFiles.ts"

/** Larger is neither a topology nor a wg-quick file. */
const MAX_BYTES = 8_388_608
const OTHERS = 0o077

const isMissing = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "ENOENT"

/** A reason of our own making. */
class Reason extends Error {}

/** What the system says, in words where it is common. Never what a file holds. */
const detailOf = (error: unknown): string => {
  if (error instanceof Reason) return error.message
  if (error instanceof TomlError) return `line ${error.line}: ${error.message.split("\n", 1)[0] ?? ""}`
  const code = error instanceof Error && "code" in error ? error.code : undefined
  switch (code) {
    case "ENOENT":
      return "no such file or folder"
    case "EACCES":
      return "permission denied"
    case "EEXIST":
      return "it is there already"
    case "ELOOP":
      return "it is a symbolic link"
    default:
      return error instanceof Error ? error.message : String(error)
  }
}

const attempt = <A>(path: string, work: () => Promise<A>): Effect.Effect<A, MeshFileError> =>
  Effect.tryPromise({ try: work, catch: (error) => new MeshFileError({ path, detail: detailOf(error) }) })

const modeText = (mode: number): string => (mode & 0o777).toString(8).padStart(4, "0")

/** The file's text, seen through one descriptor: what is judged is what is read. */
const readSecret = async (path: string, follow: boolean): Promise<string> => {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | (follow ? 0 : constants.O_NOFOLLOW))
  try {
    const info = await file.stat()
    if (!info.isFile()) throw new Reason("it is not a regular file")
    if ((info.mode & OTHERS) !== 0) throw new Reason(`others may use it (${modeText(info.mode)}): chmod 600`)
    if (info.size > MAX_BYTES) throw new Reason(`it is larger than ${MAX_BYTES} bytes`)
    return await file.readFile("utf8")
  } finally {
    await file.close()
  }
}

/** Never through a link, never over another file; whole on disk or not there. */
const createFile = async (path: string, text: string, mode: number): Promise<void> => {
  const file = await open(path, "wx", mode)
  try {
    await file.writeFile(text)
    await file.sync()
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

const replaceFile = async (path: string, text: string, mode: number): Promise<void> => {
  const beside = `${path}.${process.pid}.new`
  await createFile(beside, text, mode)
  try {
    await rename(beside, path)
  } catch (error) {
    await rm(beside, { force: true })
    throw error
  }
}

/** Whether it is there; fails when it is anything but a folder that nobody else may enter. */
const isOwnFolder = async (path: string, look: typeof stat): Promise<boolean> => {
  try {
    const info = await look(path)
    if (!info.isDirectory()) throw new Reason("it is not a folder")
    if ((info.mode & OTHERS) !== 0) {
      throw new Reason(
        `others may enter it (${modeText(info.mode)}): chmod 700, or name a folder that is not there yet`
      )
    }
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

const ensureFolder = async (path: string, look: typeof stat): Promise<void> => {
  if (!(await isOwnFolder(path, look))) await mkdir(path, { mode: 0o700 })
}

const folderAt = (root: string): SecretFolder => {
  const at = (name: string): string => join(root, name)
  return {
    read: (name) =>
      attempt(at(name), async () => {
        try {
          return Redacted.make(await readSecret(at(name), false))
        } catch (error) {
          if (isMissing(error)) return undefined
          throw error
        }
      }),
    create: (name, text) =>
      attempt(at(name), async () => {
        await ensureFolder(root, stat)
        if (dirname(at(name)) !== root) await ensureFolder(dirname(at(name)), lstat)
        await createFile(at(name), Redacted.value(text), 0o600)
      }),
    replace: (name, text) => attempt(at(name), () => replaceFile(at(name), Redacted.value(text), 0o600)),
    folders: attempt(root, async () => {
      const entries = await readdir(root, { withFileTypes: true })
      return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort()
    })
  }
}

/** {@link MeshFiles} on this host's disk. */
export const layer: Layer.Layer<MeshFiles> = Layer.succeed(MeshFiles, {
  topology: (path) =>
    attempt(path, async () => {
      const info = await stat(path)
      if (!info.isFile()) throw new Reason("it is not a regular file")
      if (info.size > MAX_BYTES) throw new Reason(`it is larger than ${MAX_BYTES} bytes`)
      return parse(await readFile(path, "utf8"))
    }),
  keyFile: (topology, path) => {
    const at = resolve(dirname(topology), path)
    return attempt(at, async () => Redacted.make(await readSecret(at, true)))
  },
  secretFolder: (path) => {
    const root = resolve(path)
    return Effect.as(
      attempt(path, () => isOwnFolder(root, stat)),
      folderAt(root)
    )
  },
  drawing: (path, svg, overwrite) =>
    attempt(path, async () => {
      if (overwrite) return await replaceFile(path, svg, 0o644)
      try {
        await createFile(path, svg, 0o644)
      } catch (error) {
        const isThere = error instanceof Error && "code" in error && error.code === "EEXIST"
        if (!isThere) throw error
        if ((await readFile(path, "utf8")) !== svg) throw new Reason("it is there and shows something else: --force")
      }
    })
})
