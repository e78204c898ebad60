import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createHash } from "node:crypto"
import { open, readdir, readFile, rename, rm } from "node:fs/promises"
import { basename, dirname } from "node:path"
import { forEachSliced } from "../../src/actor/Sliced.ts"
import type { BackendRow } from "../../src/domain/Backend.ts"
import { SnapshotError, type StoredTable, TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"

/**
 * The last good table in a file of JSON lines: a header, the rows, and the SHA-256 of all before it. It is written beside
 * and renamed, so a crash or a full disk leaves the former one; a damaged file is an error, never half a table.
 */
export const layer = (path: string): Layer.Layer<TableSnapshotStore> =>
  Layer.succeed(TableSnapshotStore, {
    load: Effect.andThen(removeLeftovers(path), load(path)),
    save: (table) => save(path, table)
  })

const FORMAT = "edgeproxy-table-1"

interface Header {
  readonly format: string
  readonly savedAt: number
  readonly rows: number
}

const failure = (path: string, detail: string): SnapshotError => new SnapshotError({ path, detail })

const attempt = <A>(path: string, work: () => Promise<A>): Effect.Effect<A, SnapshotError> =>
  Effect.tryPromise({
    try: work,
    catch: (error) => failure(path, error instanceof Error ? error.message : String(error))
  })

/** Its own name, should two processes be told to keep one file. */
const besideOf = (path: string, pid: number): string => `${path}.${pid}.new`

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH"
  }
}

/** Of a process that was killed while it wrote, what it had written would lie there for ever. */
const removeLeftovers = (path: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    try {
      const names = await readdir(dirname(path))
      const pids = names.flatMap((name) => {
        const pid = Number(/\.(\d+)\.new$/.exec(name)?.[1])
        return name === basename(besideOf(path, pid)) && pid !== process.pid && !isAlive(pid) ? [pid] : []
      })
      for (const pid of pids) await rm(besideOf(path, pid), { force: true })
    } catch {
      // Whoever can't look or remove there has worse to tell when he saves.
    }
  })

const save = Effect.fnUntraced(function* (path: string, table: StoredTable) {
  const header: Header = { format: FORMAT, savedAt: table.savedAt, rows: table.rows.length }
  const hash = createHash("sha256")
  const parts: Array<string> = []
  const add = (line: string): void => {
    hash.update(line)
    parts.push(line)
  }
  add(`${JSON.stringify(header)}\n`)
  yield* forEachSliced(table.rows, (row) => add(`${JSON.stringify(row)}\n`))
  parts.push(`${JSON.stringify({ sha256: hash.digest("hex") })}\n`)

  const beside = besideOf(path, process.pid)
  yield* attempt(path, async () => {
    const file = await open(beside, "w", 0o600)
    try {
      // `write` would be content with what still fits on the disk.
      for (let from = 0; from < parts.length; from += 1_000)
        await file.writeFile(parts.slice(from, from + 1_000).join(""))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, path)
  }).pipe(Effect.onError(() => Effect.promise(() => rm(beside, { force: true }).catch(() => undefined))))
})

const load = Effect.fnUntraced(function* (path: string): Effect.fn.Return<StoredTable | undefined, SnapshotError> {
  const text = yield* attempt(path, () =>
    readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined
      throw error
    })
  )
  if (text === undefined) return undefined

  const end = text.lastIndexOf("\n", text.length - 2) + 1
  const sum = parse(text.slice(end)) as { readonly sha256?: unknown } | undefined
  if (sum?.sha256 !== createHash("sha256").update(text.slice(0, end)).digest("hex")) {
    return yield* failure(path, "damaged: its checksum does not match")
  }
  const lines = text.slice(0, end - 1).split("\n")
  const header = parse(lines[0] ?? "") as Header | undefined
  if (header?.format !== FORMAT) return yield* failure(path, `not in the format ${FORMAT}`)
  const rows: Array<BackendRow> = []
  yield* forEachSliced(lines.slice(1), (line) => {
    const row = parse(line)
    if (typeof row === "object" && row !== null) rows.push(row as BackendRow)
  })
  return { savedAt: header.savedAt, rows } satisfies StoredTable
})

const parse = (line: string): unknown => {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
