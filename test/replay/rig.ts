import type { AccessEntry } from "../../src/observe/AccessLog.ts"
import * as RecordedLog from "../../src/replay/RecordedLog.ts"

const startOfDay = Date.parse("2026-11-21T00:00:00Z")

/** A connection that began so many seconds into the day and lasted so many. */
export const line = (fromSecs: number, forSecs: number, fields: Partial<AccessEntry> = {}): string =>
  JSON.stringify({
    ts: new Date(startOfDay + (fromSecs + forSecs) * 1_000).toISOString(),
    conn: "boot-1",
    pop: "p",
    client: "203.0.113.7",
    client_port: 50_000,
    country: "BR",
    region: "sa",
    app: "",
    backend: "b1",
    tier: 1,
    affinity: "new",
    attempts: 1,
    duration_ms: forSecs * 1_000,
    bytes_in: 1,
    bytes_out: 2,
    end_by: "client",
    end_phase: "relay",
    end_cause: "fin",
    ...fields
  } satisfies Partial<AccessEntry>)

export const logOf = (lines: ReadonlyArray<string>): RecordedLog.RecordedLog => {
  const log = RecordedLog.make()
  lines.forEach(log.add)
  return log
}
