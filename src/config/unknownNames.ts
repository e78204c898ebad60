import { fields, variableOf } from "./variables.ts"

const prefix = "EDGEPROXY_"
const replaced = "EDGEPROXY_REPLICATION_"

const known: ReadonlySet<string> = new Set(
  fields.flatMap((field) => {
    const { name, secret } = variableOf(field)
    return secret ? [name, `${name}_FILE`] : [name]
  })
)

/** Levenshtein distance: insertions, deletions and replacements of one character. */
const editDistance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

const withoutUnit = (name: string): string => name.replace(/_(SECS|MS)$/, "")

/** How many slips lie between two names; a forgotten or a wrong unit is little more than one. */
const slips = (a: string, b: string): number =>
  Math.min(editDistance(a, b), editDistance(withoutUnit(a), withoutUnit(b)) + 1.5)

/** Longer than any name with its slips: to compare it would take its time. */
const MAX_WORD = 100

/** The known name that a slip would most likely have come from; undefined when none is near. */
export const nearestName = (unknown: string): string | undefined => {
  const word = unknown.slice(prefix.length)
  if (word.length > MAX_WORD) return undefined
  let best: string | undefined
  let distance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const name of known) {
    if (!name.startsWith(prefix)) continue
    const between = slips(word, name.slice(prefix.length))
    if (between < distance) [best, distance] = [name, between]
  }
  return best
}

/** A warning for every variable that carries our prefix and is none of ours. Empty ones count as absent. */
export const unknownNames = (env: Readonly<Record<string, string | undefined>>): ReadonlyArray<string> =>
  Object.keys(env)
    .filter((name) => name.startsWith(prefix) && env[name] && !known.has(name))
    .sort()
    .map((name) => {
      if (name.startsWith(replaced)) {
        return `${name} is ignored: replaced by Corrosion, see EDGEPROXY_CORROSION_ENABLED`
      }
      const near = nearestName(name)
      return `${name} is not known and is ignored${near === undefined ? "" : `; did you mean ${near}?`}`
    })
