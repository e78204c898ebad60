/** A metric that an expression asks for, with the labels it selects by. */
export interface Selector {
  readonly metric: string
  readonly matchers: ReadonlyArray<{ readonly label: string; readonly operator: string; readonly value: string }>
}

export interface Asked {
  readonly selectors: ReadonlyArray<Selector>
  /** Labels that `by`, `on` and the like name. */
  readonly labels: ReadonlyArray<string>
}

const words = new Set([
  "and",
  "or",
  "unless",
  "bool",
  "offset",
  "by",
  "without",
  "on",
  "ignoring",
  "group_left",
  "group_right"
])

/** What a PromQL expression asks for: enough of the language for rules and dashboards. */
export const askedBy = (expression: string): Asked => {
  const labels: Array<string> = []
  const named = expression.replaceAll(
    /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g,
    (_, list: string) => {
      labels.push(
        ...list
          .split(",")
          .map((label) => label.trim())
          .filter((label) => label !== "")
      )
      return " "
    }
  )
  const selectors: Array<Selector> = []
  for (const [, metric = "", inner] of named.matchAll(
    /\b([a-zA-Z_:][a-zA-Z0-9_:]*)\b(?!\s*\()(?:\{([^}]*)\})?(?:\[[^\]]*\])?/g
  )) {
    if (words.has(metric) || /^(Inf|NaN|\d)/.test(metric)) continue
    const matchers = Array.from(
      (inner ?? "").matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"([^"]*)"/g),
      ([, label = "", operator = "", value = ""]) => ({ label, operator, value })
    )
    selectors.push({ metric, matchers })
  }
  return { selectors, labels }
}
