import type { SqlError } from "effect/sql/SqlError"
import { StoreError } from "../../src/backends/BackendStore.ts"
import { SourceError } from "../../src/routing/BackendSource.ts"

// Primary result codes, https://www.sqlite.org/rescode.html
const reasons: Readonly<Record<number, readonly [SourceError["reason"], string]>> = {
  8: ["unreadable", "a writer has died in the middle of a change: open the database once with sqlite3 to undo it"],
  3: ["unreadable", "no permission"],
  5: ["locked", "another process has the database locked"],
  6: ["locked", "a table is locked"],
  10: ["unreadable", "disk I/O error"],
  11: ["corrupt", "the database is damaged"],
  14: ["unreadable", "the file can't be opened"],
  23: ["unreadable", "no permission"],
  26: ["corrupt", "not an SQLite database"]
}

const errcodeOf = (error: unknown): number | undefined =>
  typeof error === "object" && error !== null && "errcode" in error && typeof error.errcode === "number"
    ? error.errcode & 0xff
    : undefined

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** What `node:sqlite` threw, wherever it came out: as a typed error of the client or, on opening, as a defect. */
const thrownBy = (error: SqlError | unknown): unknown =>
  error instanceof Error && "reason" in error ? (error as SqlError).reason.cause : error

const storeReasons: Readonly<Record<number, StoreError["reason"]>> = {
  1: "schema",
  5: "timeout",
  6: "timeout",
  8: "readonly",
  18: "rejected",
  19: "rejected",
  20: "rejected",
  25: "rejected"
}

export const storeError = (path: string, error: SqlError | unknown): StoreError => {
  const thrown = thrownBy(error)
  const reason = storeReasons[errcodeOf(thrown) ?? -1] ?? "unavailable"
  return new StoreError({ store: "sqlite", target: path, reason, detail: textOf(thrown) })
}

/**
 * A writer has died in the middle of a change, and what it has begun must be undone before anything can be read, which a
 * reader may not (SQLITE_READONLY_ROLLBACK, SQLITE_READONLY_RECOVERY).
 */
export const isHalfWritten = (error: SqlError | unknown): boolean => {
  const thrown = thrownBy(error)
  const code = typeof thrown === "object" && thrown !== null && "errcode" in thrown ? thrown.errcode : undefined
  return code === 776 || code === 264
}

export const sourceError = (path: string, error: SqlError | unknown): SourceError => {
  const thrown = thrownBy(error)
  const [usual, detail] = reasons[errcodeOf(thrown) ?? -1] ?? ["unreadable", textOf(thrown)]
  // Mended by whoever finds it, if that may write: worth another try at once.
  const reason = isHalfWritten(error) ? "locked" : usual
  return new SourceError({ source: "sqlite", target: path, reason, detail })
}
