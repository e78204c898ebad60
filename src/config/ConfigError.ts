import * as Schema from "effect/Schema"

const Problem = Schema.Struct({
  name: Schema.String,
  /** As it was given, secrets masked; absent when the variable is not set. */
  value: Schema.optionalKey(Schema.String),
  allowed: Schema.String
})

/** One bad variable. */
export type ConfigProblem = typeof Problem.Type

const formatProblem = ({ allowed, name, value }: ConfigProblem): string =>
  `${name}${value === undefined ? " is not set" : `=${JSON.stringify(value)}`}; allowed: ${allowed}`

/** The configuration can't be used. Holds every bad variable; the message has one line for each. */
export class ConfigError extends Schema.TaggedError<ConfigError>()("ConfigError", {
  problems: Schema.Array(Problem)
}) {
  override get message(): string {
    return this.problems.map(formatProblem).join("\n")
  }
}
