import { SqlError } from "effect/sql/SqlError"
import { StoreError } from "../../src/backends/BackendStore.ts"
import { SourceError } from "../../src/routing/BackendSource.ts"

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
export const sqlstateOf = (error: unknown): string | undefined => {
  const cause = error instanceof SqlError ? error.reason.cause : error
  return typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : undefined
}

/** The one word that says most: the server's own, the system's, or the driver's. None of them has the password. */
const detailOf = (error: unknown): string => {
  const cause = error instanceof SqlError ? error.reason.cause : error
  const text = cause instanceof Error ? cause.message : ""
  if (text !== "") return text
  return sqlstateOf(error) ?? (error instanceof Error ? error.message : String(error))
}

const isConnectionError = (error: unknown): boolean =>
  error instanceof SqlError && error.reason._tag === "ConnectionError"

/** The transaction lost against another one; made again, it may well win. */
export const isConflict = (error: unknown): boolean => ["40001", "40P01"].includes(sqlstateOf(error) ?? "")

/** The rights or the kind of server don't allow to write; another time won't be different. */
export const isForbidden = (error: unknown): boolean => ["42501", "25006"].includes(sqlstateOf(error) ?? "")

/** A table or a column is not, or not as it was. */
export const isSchemaError = (error: unknown): boolean => ["42P01", "42703"].includes(sqlstateOf(error) ?? "")

const sourceReasons: ReadonlyArray<readonly [RegExp, SourceError["reason"]]> = [
  [/^3D000$/, "missing"],
  [/^(28...|42501)$/, "unreadable"],
  [/^(42...|3F000)$/, "schema"],
  [/^XX00[12]$/, "corrupt"],
  [/^55P03$/, "locked"]
]

export const sourceError = (target: string, error: unknown): SourceError => {
  if (error instanceof SourceError) return error
  const state = isConnectionError(error) ? undefined : sqlstateOf(error)
  const [, reason] = sourceReasons.find(([states]) => states.test(state ?? "")) ?? [undefined, "unreachable"]
  return new SourceError({ source: "postgres", target, reason, detail: detailOf(error) })
}

const storeReasons: ReadonlyArray<readonly [RegExp, StoreError["reason"]]> = [
  [/^(57014|55P03|25P04)$/, "timeout"],
  [/^(08...|28...|57P..|53...|3D000)$/, "unavailable"],
  [/^(25006|42501)$/, "readonly"],
  [/^(42...|3F000)$/, "schema"]
]

export const storeError = (target: string, error: unknown): StoreError => {
  const state = sqlstateOf(error)
  const isTimeout = error instanceof SqlError && error.reason._tag === "StatementTimeoutError"
  const reason = isTimeout
    ? "timeout"
    : isConnectionError(error)
      ? "unavailable"
      : (storeReasons.find(([states]) => states.test(state ?? ""))?.[1] ?? "rejected")
  return new StoreError({ store: "postgres", target, reason, detail: detailOf(error) })
}
