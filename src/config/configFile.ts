import * as Result from "effect/Result"
import { ConfigError, type ConfigProblem } from "./ConfigError.ts"
import type { Loaded } from "./load.ts"
import { nearestName } from "./unknownNames.ts"
import { type ConfigValues, type Field, fields, variableOf } from "./variables.ts"

/** What the file sets, as the environment would have it: full name and text. */
export type FileSettings = Readonly<Record<string, string>>

const prefix = "EDGEPROXY_"
const byName = new Map(fields.map((field) => [variableOf(field).name, field]))

/** A text that cannot be taken for a decoded value; undefined for what no variable is made of. */
const textOf = (value: unknown): string | undefined => {
  if (typeof value === "string") return value
  if (typeof value === "boolean" || typeof value === "bigint") return String(value)
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : undefined
  if (!Array.isArray(value)) return undefined
  const parts = value.map(textOf)
  return parts.every((part) => part !== undefined) ? parts.join(",") : undefined
}

/** Lists and dates are none. */
const isTable = (value: unknown): value is object => {
  if (typeof value !== "object" || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** More than any name has parts; what lies deeper has no name that is known. */
const MAX_DEPTH = 10

/** Tables are parts of names: `burst` in `[rate_limit]` is `rate_limit_burst`. */
const flatten = (table: object, path: ReadonlyArray<string>): ReadonlyArray<readonly [name: string, value: unknown]> =>
  Object.entries(table).flatMap(([key, value]) => {
    const at = [...path, key]
    return isTable(value) && at.length < MAX_DEPTH ? flatten(value, at) : [[at.join("_"), value] as const]
  })

// The text may be a secret under a wrong name.
const masked = "..."

/** A file that is no configuration at all has thousands of names; these many are looked into. */
const MAX_PROBLEMS = 20
const MAX_SHOWN = 100

const describe = (key: string, given: unknown): ConfigProblem | readonly [name: string, text: string] => {
  const name = prefix + key.toUpperCase()
  const field = byName.get(name)
  if (field === undefined || key !== key.toLowerCase()) {
    const near = nearestName(name)
    const hint = near === undefined ? "" : `; ${near.slice(prefix.length).toLowerCase()}, for one`
    return { name: key, value: masked, allowed: `the name of a setting, without its prefix and in lower case${hint}` }
  }
  if (!variableOf(field).reloadable) {
    return {
      name: key,
      value: masked,
      allowed: `in the environment only (${name}): it can't change while the process runs`
    }
  }
  const text = textOf(given)
  return text === undefined
    ? { name: key, value: masked, allowed: "a text, a number, true or false, or a list of them" }
    : [name, text]
}

const shown = (key: string): string => (key.length > MAX_SHOWN ? `${key.slice(0, MAX_SHOWN)}...` : key)

/**
 * The settings of a decoded file, and what is wrong in it: unknown names, settings that can't change live, values of no known
 * kind, two values of one setting. It is not read on when so much is wrong that it must be another file.
 */
const fileSettings = (decoded: object) => {
  const problems: Array<ConfigProblem> = []
  const settings: Record<string, string> = {}
  for (const [key, value] of flatten(decoded, [])) {
    if (problems.length > MAX_PROBLEMS) break
    const found = describe(key, value)
    if ("name" in found) problems.push({ ...found, name: shown(found.name) })
    else if (found[0] in settings) problems.push({ name: shown(key), value: masked, allowed: "once" })
    else settings[found[0]] = found[1]
  }
  return { settings, problems }
}

/**
 * The configuration with the settings of a decoded file in it. All of them or none: whatever is wrong with any of them fails
 * the file as a whole, each one named.
 */
export const loadFile = (
  decoded: object,
  loadWith: (settings: FileSettings) => Result.Result<Loaded, ConfigError>
): Result.Result<Loaded, ConfigError> => {
  const { problems, settings } = fileSettings(decoded)
  if (problems.length === 0) return loadWith(settings)
  const loaded = loadWith(settings)
  const more = Result.isFailure(loaded) ? loaded.failure.problems : []
  return Result.fail(new ConfigError({ problems: [...problems, ...more] }))
}

/** One setting that has another value than before, as texts. */
export interface Change {
  readonly name: string
  readonly from: string
  readonly to: string
}

/** What is different; secrets are masked by their codec, and never change live. */
export const changesBetween = (before: ConfigValues, after: ConfigValues): ReadonlyArray<Change> =>
  fields.flatMap((field: Field) => {
    const variable = variableOf(field)
    const [from, to] = [variable.encode(before[field]), variable.encode(after[field])]
    return from === to ? [] : [{ name: variable.name, from, to }]
  })
