import * as Logger from "effect/Logger"
import type { AttributeValue } from "../../src/observe/Span.ts"
import type { LogRecord } from "./encode.ts"

const MAX_VALUE_CHARS = 8_192

type Fields = Readonly<Record<string, unknown>>

const isFields = (part: unknown): part is Fields =>
  typeof part === "object" && part !== null && !Array.isArray(part) && !(part instanceof Error)

const plain = (value: unknown): AttributeValue | undefined => {
  if (value === undefined || value === null) return undefined
  if (typeof value === "number" || typeof value === "boolean") return value
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value))
  return text.slice(0, MAX_VALUE_CHARS)
}

/** The diagnostic log as OTLP has it: the message is the body, what was given with it are attributes. */
export const make = (push: (record: LogRecord) => void): Logger.Logger<unknown, void> =>
  Logger.map(Logger.formatStructured, ({ annotations, cause, level, message, timestamp }) => {
    const parts: ReadonlyArray<unknown> = Array.isArray(message) ? message : [message]
    const fields: Fields = { ...Object.assign({}, ...parts.filter(isFields)), ...annotations }
    push({
      atMs: Date.parse(timestamp),
      level,
      message: parts
        .filter((part) => !isFields(part))
        .map(String)
        .join(": "),
      attributes: {
        ...Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, plain(value)])),
        "exception.stacktrace": plain(cause)
      }
    })
  })
