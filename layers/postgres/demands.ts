import { requiredColumns } from "../../src/domain/Backend.ts"
import { SourceError } from "../../src/routing/BackendSource.ts"
import type { Shape } from "./Shape.ts"

/** Each change of either table is announced to whoever listens. */
export const announces = ({ backends, standby, states }: Shape): boolean =>
  !standby && backends?.notifies === true && (states === undefined || !states.readable || states.notifies)

/** Why a database of this shape can't be a source (T4); `lacks` says why there is no table. */
export const requireTable = (
  target: string,
  { backends }: Shape,
  lacks: string | undefined
): SourceError | undefined => {
  const error = (reason: SourceError["reason"], detail: string): SourceError =>
    new SourceError({ source: "postgres", target, reason, detail })
  if (backends === undefined) {
    return error("schema", `it has no table named backends${lacks === undefined ? "" : `, and none is made: ${lacks}`}`)
  }
  const missing = requiredColumns.filter((column) => !backends.columns.has(column))
  if (missing.length > 0) return error("schema", `its table backends lacks ${missing.join(", ")}`)
  return backends.readable ? undefined : error("unreadable", "permission denied for table backends")
}
