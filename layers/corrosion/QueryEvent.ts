import type { Line, OversizedLine } from "./Lines.ts"

/** A value as an agent sends it, not yet looked at. */
export type Cells = ReadonlyArray<unknown>

/** Of a row that is too large to be one: what its line begins with. */
export interface Unreadable {
  readonly _tag: "Unreadable"
  /** The first column, where it could be read. */
  readonly first: string | undefined
}

/** One line of an answer to a query or a subscription. */
export type QueryEvent =
  | { readonly _tag: "Columns"; readonly columns: ReadonlyArray<string> }
  | { readonly _tag: "Row"; readonly rowid: number; readonly cells: Cells | Unreadable }
  /** End of the rows; only a subscription has a change id. */
  | { readonly _tag: "Eoq"; readonly changeId: number | undefined }
  | {
      readonly _tag: "Change"
      readonly kind: "put" | "delete"
      readonly rowid: number
      readonly cells: Cells | Unreadable
      readonly changeId: number
    }
  | { readonly _tag: "Error"; readonly error: string }
  /** Of a later version: to be passed over. */
  | { readonly _tag: "Other" }

// A change id beyond 2^53 could no longer be told from the next.
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

const kindOf = (type: unknown): "put" | "delete" | undefined =>
  type === "insert" || type === "update" ? "put" : type === "delete" ? "delete" : undefined

/** Undefined for what is none. */
export const parse = (line: Line): QueryEvent | undefined => {
  if (typeof line !== "string") return parseOversized(line)
  if (line === "") return { _tag: "Other" }
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  if (typeof value !== "object" || value === null) return undefined
  // Of an object every property may be asked for.
  const { change, columns, eoq, error, row } = value as Readonly<Record<string, unknown>>
  if (Array.isArray(change)) {
    const [type, rowid, cells, changeId] = change as ReadonlyArray<unknown>
    const kind = kindOf(type)
    if (kind === undefined || !isCount(rowid) || !Array.isArray(cells) || !isCount(changeId)) return undefined
    return { _tag: "Change", kind, rowid, cells, changeId }
  }
  if (Array.isArray(row)) {
    const [rowid, cells] = row as ReadonlyArray<unknown>
    return isCount(rowid) && Array.isArray(cells) ? { _tag: "Row", rowid, cells } : undefined
  }
  if (Array.isArray(columns)) {
    return columns.every((name) => typeof name === "string") ? { _tag: "Columns", columns } : undefined
  }
  if (typeof eoq === "object" && eoq !== null) {
    const changeId = "change_id" in eoq ? (eoq.change_id ?? undefined) : undefined
    return changeId === undefined || isCount(changeId) ? { _tag: "Eoq", changeId } : undefined
  }
  if (typeof error === "string") return { _tag: "Error", error }
  const known = [change, columns, eoq, error, row].some((part) => part !== undefined)
  return known || Array.isArray(value) ? undefined : { _tag: "Other" }
}

const ROW = /^\{"row":\[(\d{1,15}),\[/
const CHANGE = /^\{"change":\["(insert|update|delete)",(\d{1,15}),\[/
const CHANGE_END = /\],(\d{1,15})\]\}$/
const TEXT = /^"(?:[^"\\]|\\.)*"(?=,)/

/**
 * A line that is too long still says which row it is of. So a row that somebody has filled with megabytes costs itself only, and
 * not the subscription of everybody.
 */
const parseOversized = ({ head, tail }: OversizedLine): QueryEvent | undefined => {
  const row = ROW.exec(head)
  if (row !== null) return { _tag: "Row", rowid: Number(row[1]), cells: unreadable(head.slice(row[0].length)) }
  const change = CHANGE.exec(head)
  const end = CHANGE_END.exec(tail)
  const kind = kindOf(change?.[1])
  if (change !== null && end !== null && kind !== undefined) {
    const cells = unreadable(head.slice(change[0].length))
    return { _tag: "Change", kind, rowid: Number(change[2]), cells, changeId: Number(end[1]) }
  }
  return head.startsWith('{"error":') ? { _tag: "Error", error: head } : undefined
}

const unreadable = (cells: string): Unreadable => {
  const [text] = TEXT.exec(cells) ?? []
  let first: unknown
  try {
    first = text === undefined ? undefined : JSON.parse(text)
  } catch {
    // A row without a name, then.
  }
  return { _tag: "Unreadable", first: typeof first === "string" ? first : undefined }
}
