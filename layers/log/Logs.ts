import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import type { LogLevel } from "effect/LogLevel"
import type * as Scope from "effect/Scope"
import { type AccessEntry, AccessLog } from "../../src/observe/AccessLog.ts"
import type { AccessLogTarget } from "../../src/config/groups/Core.ts"
import { Telemetry } from "../../src/observe/Telemetry.ts"
import { DiagnosticLog } from "../../src/observe/DiagnosticLog.ts"
import { type LineTarget, type LineWriter, openLineWriter } from "./LineWriter.ts"

export class LogError extends Data.TaggedError("LogError")<{ readonly path: string; readonly detail: string }> {
  override get message(): string {
    return `EDGEPROXY_ACCESS_LOG: can't write ${this.path}: ${this.detail}`
  }
}

// A reader that stalls must not keep the process from ending.
const CLOSE_MS = 1_000

/** A writer for the life of the scope. SIGHUP opens its file again, so that logs can be rotated. */
const scopedWriter = (target: LineTarget): Effect.Effect<LineWriter, LogError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const writer = openLineWriter(target)
        process.on("SIGHUP", writer.reopen)
        return writer
      },
      catch: (error) => new LogError({ path: "path" in target ? target.path : "", detail: String(error) })
    }),
    (writer) =>
      Effect.promise(() => {
        process.off("SIGHUP", writer.reopen)
        return writer.close(CLOSE_MS)
      })
  )

const TELL_MS = 10_000

/** Says now and then how many lines were lost. It can't fail, and ends with the log. */
const tellOfDropped = Effect.fnUntraced(function* (log: AccessLog["Service"]) {
  let told = 0
  const look = Effect.suspend(() => {
    const dropped = log.dropped()
    if (dropped === told) return Effect.void
    told = dropped
    return Effect.logWarning("access-log lines lost: the reader or the disk does not keep up", { dropped })
  })
  yield* Effect.forkScoped(look.pipe(Effect.delay(TELL_MS), Effect.forever))
  yield* Effect.addFinalizer(() => look)
})

/** Goes where telemetry goes, and is bounded and lost as that is. */
const exportedLog = Layer.effect(
  AccessLog,
  Effect.map(Telemetry, (telemetry) => ({
    write: (entry: AccessEntry) => telemetry?.logAccess(entry),
    // Of all log records: they share a queue.
    dropped: () => Object.values(telemetry?.counts("logs").dropped ?? {}).reduce((sum, count) => sum + count, 0)
  })).pipe(Effect.tap(tellOfDropped))
)

/** The access log (C6): `off`, JSON lines to `stdout`, `stderr` or a file, or log records to the collector. */
export const accessLog = (target: AccessLogTarget): Layer.Layer<AccessLog, LogError> =>
  target === "off"
    ? AccessLog.layerOff
    : target === "otlp"
      ? exportedLog
      : Layer.effect(
          AccessLog,
          Effect.map(
            scopedWriter(target === "stdout" ? { fd: 1 } : target === "stderr" ? { fd: 2 } : target),
            (writer) => ({
              write: (entry: AccessEntry) => void writer.write(JSON.stringify(entry)),
              dropped: writer.dropped
            })
          ).pipe(Effect.tap(tellOfDropped))
        )

export interface LogOptions {
  readonly level: LogLevel
  readonly format: "json" | "logfmt" | "pretty"
}

type Fields = Readonly<Record<string, unknown>>

const isFields = (part: unknown): part is Fields =>
  typeof part === "object" && part !== null && !Array.isArray(part) && !(part instanceof Error)

/** One flat record a line: `ts`, `level`, `message`, then what was given with it, then where it comes from. */
const record = Logger.map(Logger.formatStructured, ({ annotations, cause, level, message, timestamp }) => {
  const parts: ReadonlyArray<unknown> = Array.isArray(message) ? message : [message]
  const text = parts.filter((part) => !isFields(part)).map(String)
  const fields: Fields = Object.assign({}, ...parts.filter(isFields))
  const why = cause === undefined ? {} : { cause }
  return { ts: timestamp, level: level.toLowerCase(), message: text.join(": "), ...fields, ...annotations, ...why }
})

const logfmtValue = (value: unknown): string => {
  const text = typeof value === "string" ? value : JSON.stringify(value)
  return text === "" || /[\s"=]/.test(text) ? JSON.stringify(text) : text
}

const colours: Readonly<Record<string, number>> = { trace: 90, debug: 90, info: 32, warn: 33, error: 31, fatal: 31 }

/** For people: `12:30:01.123 INFO  listening address=0.0.0.0:8080`. */
const pretty = ({ level, message, ts, ...fields }: Fields): string => {
  const name = String(level).toUpperCase().padEnd(5)
  const colour = process.stderr.isTTY ? colours[String(level)] : undefined
  const shown = colour === undefined ? name : `\u001b[${colour}m${name}\u001b[0m`
  return `${String(ts).slice(11, 23)} ${shown} ${String(message)} ${formats.logfmt(fields)}`.trimEnd()
}

const formats = {
  json: (fields: Fields): string => JSON.stringify(fields),
  logfmt: (fields: Fields): string =>
    Object.entries(fields)
      .map(([key, value]) => `${key}=${logfmtValue(value)}`)
      .join(" "),
  pretty
}

/** What the program has to say, on standard error: standard output belongs to the access log. */
export const diagnostics = ({ format, level }: LogOptions): Layer.Layer<never, LogError> => {
  const log = Effect.map(scopedWriter({ fd: 2 }), (writer) => {
    const logger = Logger.map(record, (fields) => void writer.write(formats[format](fields)))
    return Layer.merge(Logger.layer([logger]), Layer.succeed(DiagnosticLog, { dropped: writer.dropped }))
  })
  return Layer.mergeAll(
    Layer.unwrap(log),
    Layer.succeed(References.MinimumLogLevel, level),
    Layer.succeed(Logger.LogToStderr, true)
  )
}
