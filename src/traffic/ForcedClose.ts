import type { Termination } from "../domain/Termination.ts"
import type { ConnectionRecord } from "./Connections.ts"
import type { LiveCounts, Transport } from "./Transport.ts"

// A connection silent for this long is between messages: an orderly end can't look like a complete answer cut short.
const QUIET_MS = 1_000

/** Closes connections that would go on by themselves. */
export interface ForcedClose {
  /** FIN when it is quiet, else RST: a cut in the middle of an answer must never look like its end (S1). False: it has ended. */
  readonly close: (record: ConnectionRecord, why: Termination) => boolean
  /** Longest idle first. */
  readonly inOrder: (records: Iterable<ConnectionRecord>) => ReadonlyArray<ConnectionRecord>
}

export const make = (transport: Transport["Service"]): ForcedClose => {
  const counts: LiveCounts = { bytesIn: 0, bytesOut: 0, idleMs: 0, waiting: 0 }
  const idleMs = ({ id }: ConnectionRecord): number => (transport.counts(id, counts) ? counts.idleMs : 0)
  return {
    close: ({ id }, why) => {
      if (!transport.counts(id, counts)) return false
      const quiet = counts.waiting === 0 && counts.idleMs >= QUIET_MS
      transport.abort(id, quiet ? "fin" : "rst", why)
      return true
    },
    inOrder: (records) =>
      Array.from(records, (record) => ({ record, idle: idleMs(record) }))
        .sort((a, b) => b.idle - a.idle)
        .map(({ record }) => record)
  }
}
