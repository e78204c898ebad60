import type { Statement } from "../../src/backends/statements.ts"

// `?`, or a number that stands by itself.
const placeholder = /\?|(?<![\w."$'])\d+(?![\w."'])/g

/**
 * The statement for PostgreSQL. Parameters and numbers become text without a type, which takes that of the column beside it:
 * a flag may be an integer or a boolean, an address a text or an `inet`.
 */
export const toPostgres = ({
  params,
  sql
}: Statement): { readonly sql: string; readonly params: ReadonlyArray<string> } => {
  let count = 0
  return {
    sql: sql.replace(placeholder, (found) => (found === "?" ? `$${++count}` : `'${found}'`)),
    params: params.map(String)
  }
}
