/** A token of SQL; `depth` counts the parentheses around it. */
export interface Token {
  readonly kind: "word" | "quoted" | "string" | "number" | "parameter" | "other"
  readonly text: string
  readonly start: number
  readonly end: number
  readonly depth: number
}

const PATTERNS: ReadonlyArray<readonly [Token["kind"] | "blank", RegExp]> = [
  ["blank", /\s+|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y],
  ["string", /[xX]?'(?:[^']|'')*'/y],
  ["quoted", /"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]/y],
  ["parameter", /\?\d*|[:@$][A-Za-z_0-9$\u0080-\uffff]+/y],
  ["number", /0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/y],
  ["word", /[A-Za-z_\u0080-\uffff][A-Za-z_0-9$\u0080-\uffff]*/y],
  ["other", /[\s\S]/y]
]

const next = (sql: string, start: number): { readonly kind: Token["kind"] | "blank"; readonly text: string } => {
  for (const [kind, pattern] of PATTERNS) {
    pattern.lastIndex = start
    const found = pattern.exec(sql)
    if (found !== null) return { kind, text: found[0] }
  }
  return { kind: "other", text: sql.slice(start, start + 1) }
}

/** Without blanks and comments. */
export const tokens = (sql: string): ReadonlyArray<Token> => {
  const found: Array<Token> = []
  let depth = 0
  for (let start = 0; start < sql.length;) {
    const { kind, text } = next(sql, start)
    const end = start + text.length
    if (kind === "other" && text === ")") depth--
    if (kind !== "blank") found.push({ kind, text, start, end, depth })
    if (kind === "other" && text === "(") depth++
    start = end
  }
  return found
}

/** The parameters of a statement in the order of their numbers; one without a name is undefined. */
export const parameters = (sql: string): ReadonlyArray<string | undefined> => {
  const names: Array<string | undefined> = []
  for (const { kind, text } of tokens(sql)) {
    if (kind !== "parameter") continue
    if (text === "?") names.push(undefined)
    else if (text.startsWith("?")) {
      const index = Number(text.slice(1)) - 1
      while (names.length <= index) names.push(undefined)
      names[index] = text
    } else if (!names.includes(text)) names.push(text)
  }
  return names
}

export const quote = (identifier: string): string => `"${identifier.replaceAll('"', '""')}"`
