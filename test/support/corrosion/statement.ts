import { isObject, toCell, toCells } from "./json.ts"
import type { Cell, Json } from "./json.ts"

/** One SQL statement with what it binds. */
export interface Statement {
  readonly sql: string
  readonly params:
    | { readonly _tag: "None" }
    | { readonly _tag: "Positional"; readonly values: ReadonlyArray<Cell> }
    | { readonly _tag: "Named"; readonly values: ReadonlyMap<string, Cell> }
}

const plain = (sql: string): Statement => ({ sql, params: { _tag: "None" } })

const positional = (sql: string, params: ReadonlyArray<Json>): Statement | undefined => {
  const values = toCells(params)
  return values && { sql, params: { _tag: "Positional", values } }
}

const named = (sql: string, params: { readonly [key: string]: Json }): Statement | undefined => {
  const values = new Map<string, Cell>()
  for (const [key, json] of Object.entries(params)) {
    const cell = toCell(json)
    if (cell === undefined) return undefined
    values.set(key, cell)
  }
  return { sql, params: { _tag: "Named", values } }
}

/** Keys that it does not know are ignored, misspelt ones too: such a statement runs without parameters. */
const fromObject = (json: { readonly [key: string]: Json }): Statement | undefined => {
  const { named_params: byName = null, params = null, query } = json
  if (typeof query !== "string") return undefined
  if (params !== null && !Array.isArray(params)) return undefined
  if (byName !== null && !isObject(byName)) return undefined
  const names = byName === null ? undefined : named(query, byName)
  if (byName !== null && names === undefined) return undefined
  return params === null ? (names ?? plain(query)) : positional(query, params)
}

/**
 * A statement in one of the forms that the agent reads: text, `[text, values]`, `[text, names]`, or an object with
 * `query` and perhaps `params` or `named_params`. Undefined for all else.
 */
export const toStatement = (json: Json): Statement | undefined => {
  if (typeof json === "string") return plain(json)
  if (Array.isArray(json)) {
    const [sql, params] = json as ReadonlyArray<Json>
    if (json.length !== 2 || typeof sql !== "string" || params === undefined) return undefined
    if (Array.isArray(params)) return positional(sql, params)
    return isObject(params) ? named(sql, params) : undefined
  }
  return isObject(json) ? fromObject(json) : undefined
}

/** The body of a transaction: an array of statements, whose forms may differ. */
export const toStatements = (json: Json): ReadonlyArray<Statement> | undefined => {
  if (!Array.isArray(json)) return undefined
  const statements = json.map(toStatement)
  return statements.every((statement) => statement !== undefined) ? statements : undefined
}
