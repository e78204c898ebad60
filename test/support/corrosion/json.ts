/** A value of SQLite. INTEGER is a bigint, so that it is told from REAL. */
export type Cell = null | bigint | number | string | Uint8Array

/** JSON as it was sent: an integer of 64 bits is a bigint, any other number a number. */
export type Json = null | boolean | bigint | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

const I64_MAX = 2n ** 63n - 1n

const toNumber = (source: string): bigint | number => {
  if (!/^-?\d+$/.test(source)) return Number(source)
  const integer = BigInt(source)
  return integer > I64_MAX || integer < -I64_MAX - 1n ? Number(source) : integer
}

/** Throws a SyntaxError. */
export const parseJson = (text: string): Json =>
  // A reviver may give anything, so its result is not typed: this one gives no more than `Json` admits.
  JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) =>
    typeof value === "number" ? toNumber(context?.source ?? String(value)) : value
  ) as Json

const encodeReal = (real: number): string => {
  if (!Number.isFinite(real)) return "null"
  const text = String(real)
  return /^-?\d+$/.test(text) ? `${text}.0` : text
}

/** What the agent prints for a value: no booleans, a blob as the array of its bytes, NaN and the infinities as null. */
const encodeCell = (cell: Cell): string => {
  if (cell === null) return "null"
  if (typeof cell === "string") return JSON.stringify(cell)
  if (typeof cell === "bigint") return cell.toString()
  if (typeof cell === "number") return encodeReal(cell)
  return `[${cell.join(",")}]`
}

export const encodeCells = (cells: ReadonlyArray<Cell>): string => `[${cells.map(encodeCell).join(",")}]`

export const isObject = (json: Json): json is { readonly [key: string]: Json } =>
  typeof json === "object" && json !== null && !Array.isArray(json)

const isByte = (json: Json): json is bigint => typeof json === "bigint" && json >= 0n && json <= 255n

/**
 * The value that a parameter binds: booleans are 1 and 0, an array of bytes (an empty one too) is a blob. Undefined for
 * what the agent does not read: any other array, and objects.
 */
export const toCell = (json: Json): Cell | undefined => {
  if (typeof json === "boolean") return json ? 1n : 0n
  if (json === null || typeof json !== "object") return json
  return Array.isArray(json) && json.every(isByte) ? Uint8Array.from(json, Number) : undefined
}

/** All of them, or undefined when one is not a value. */
export const toCells = (json: ReadonlyArray<Json>): ReadonlyArray<Cell> | undefined => {
  const cells = json.map(toCell)
  return cells.every((cell) => cell !== undefined) ? cells : undefined
}
