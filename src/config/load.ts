import * as Result from "effect/Result"
import { mask, maskUserInfo } from "./Codec.ts"
import { ConfigError, type ConfigProblem } from "./ConfigError.ts"
import { conflicts } from "./crossChecks.ts"
import { idleSettings } from "./idleSettings.ts"
import { unknownNames } from "./unknownNames.ts"
import { type Ambient, defaultText, type Variable } from "./Variable.ts"
import { type ConfigValues, type Field, fields, variableOf } from "./variables.ts"

/** Where a value comes from; `file` is the one `<name>_FILE` names. */
export type Source = "default" | "environment" | "file" | "configuration file"

interface LoadInput {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Of the configuration file; they win. */
  readonly settings?: Readonly<Record<string, string>>
  /** Default of EDGEPROXY_POP_ID. */
  readonly hostname: string
  /** Standard output is a terminal: the default of EDGEPROXY_LOG_FORMAT. */
  readonly terminal?: boolean
  /** Content of a secret's file, or why it can't be read. Without it `<name>_FILE` is an error. */
  readonly readFile?: (path: string) => Result.Result<string, string>
}

export interface Loaded {
  readonly config: ConfigValues
  readonly sources: Readonly<Record<Field, Source>>
  readonly warnings: ReadonlyArray<string>
}

interface Given {
  /** The variable that gave it: the name, or `<name>_FILE`. */
  readonly name: string
  readonly text: string
  readonly source: Source
}

const longestShown = 200

/** A value as an error may show it: secrets and the user info of URLs masked. */
const shown = (variable: Variable<unknown>, text: string): string => {
  if (variable.secret) return mask
  const safe = maskUserInfo(text)
  return safe.length > longestShown ? `${safe.slice(0, longestShown)}...` : safe
}

/** What the operator has set; undefined for nothing. */
const given = (variable: Variable<unknown>, input: LoadInput): Result.Result<Given | undefined, ConfigProblem> => {
  const { name } = variable
  const setting = input.settings?.[name]
  if (setting !== undefined) {
    const isSet = setting !== "" || variable.emptyIsValue
    return Result.succeed(isSet ? { name, text: setting, source: "configuration file" } : undefined)
  }
  const text = input.env[name]
  const isSet = text !== undefined && (text !== "" || variable.emptyIsValue)
  const fileName = `${name}_FILE`
  const path = variable.secret ? input.env[fileName] : undefined
  if (path) {
    if (isSet) return Result.fail({ name: fileName, value: path, allowed: `one of ${name} and ${fileName}, not both` })
    const content = input.readFile?.(path) ?? Result.fail("no file is read here")
    if (Result.isFailure(content)) {
      return Result.fail({ name: fileName, value: path, allowed: `a file that can be read (${content.failure})` })
    }
    const line = content.success.replace(/\r?\n$/, "")
    if (line === "") return Result.fail({ name: fileName, value: path, allowed: "a file that is not empty" })
    return Result.succeed({ name: fileName, text: line, source: "file" })
  }
  return Result.succeed(isSet ? { name, text, source: "environment" } : undefined)
}

/**
 * Reads the configuration from the environment. Pure: files are read through `input.readFile`. Fails with every bad
 * variable at once.
 */
export const load = (input: LoadInput): Result.Result<Loaded, ConfigError> => {
  const ambient: Ambient = { env: input.env, hostname: input.hostname, terminal: input.terminal ?? false }
  const values: Partial<Record<Field, unknown>> = {}
  const sources: Partial<Record<Field, Source>> = {}
  const texts: Partial<Record<Field, Given>> = {}
  const problems: Array<ConfigProblem> = []

  const blame = (field: Field, allowed: string): void => {
    const variable = variableOf(field)
    const found = texts[field]
    const value = found === undefined ? {} : { value: shown(variable, found.text) }
    problems.push({ name: found?.name ?? variable.name, ...value, allowed })
  }

  for (const field of fields) {
    const variable = variableOf(field)
    const found = given(variable, input)
    if (Result.isFailure(found)) {
      problems.push(found.failure)
      continue
    }
    if (found.success !== undefined) texts[field] = found.success
    sources[field] = found.success?.source ?? "default"
    const value = variable.decode(found.success?.text ?? defaultText(variable, ambient), ambient)
    if (Result.isFailure(value)) {
      blame(field, value.failure)
      continue
    }
    values[field] = value.success
  }

  // Each value was decoded by the variable of its own field, which is what gives ConfigValues its types.
  const decoded = values as Partial<ConfigValues>
  for (const { allowed, field } of conflicts(decoded)) blame(field, allowed)
  if (problems.length > 0) return Result.fail(new ConfigError({ problems }))

  // Without a problem every field has a value and a source.
  const config = decoded as ConfigValues
  const complete = sources as Record<Field, Source>
  return Result.succeed({
    config,
    sources: complete,
    warnings: [...unknownNames(input.env), ...idleSettings(config, complete)]
  })
}
