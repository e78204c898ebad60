import type { AccessEntry } from "../../src/observe/AccessLog.ts"
import type { LogRecord } from "./encode.ts"

/** Fields that OpenTelemetry's conventions name, or that are not attributes of a record. */
const named: Readonly<Partial<Record<keyof AccessEntry, string | undefined>>> = {
  ts: undefined,
  trace_id: undefined,
  client: "client.address",
  client_port: "client.port"
}

/** A line of the access log as OTLP has it; within its trace when the connection was sampled. Attributes as those of its span. */
export const accessRecord = (entry: AccessEntry): LogRecord => ({
  atMs: Date.parse(entry.ts),
  level: "INFO",
  message: "connection ended",
  traceId: entry.trace_id,
  attributes: Object.fromEntries(
    // The keys of an entry are no others.
    (Object.entries(entry) as ReadonlyArray<[keyof AccessEntry, string | number | null]>).flatMap(([key, value]) => {
      const name = key in named ? named[key] : `edgeproxy.${key}`
      return name === undefined || value === null ? [] : [[name, value]]
    })
  )
})
