import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { AccessEntry } from "../observe/AccessLog.ts"
import type { Decision } from "../routing/Router.ts"
import { connectionName } from "./accessEntry.ts"
import type { ConnectionId } from "./Transport.ts"

/** A dial that came to nothing. */
export interface FailedDial {
  readonly backend: string
  readonly address: string
  readonly reason: string
}

/** What is kept of a connection that has ended: its log line, and what decided its way. */
export interface PastConnection {
  readonly entry: AccessEntry
  readonly decision: Decision | undefined
  readonly failures: ReadonlyArray<FailedDial>
}

/** Connections of each kind that are remembered, in a megabyte or two. */
const KEPT = 4_096

/**
 * The connections that have ended last, for who asks why one went where it went (D4). Those that failed have places of their
 * own, so that a busy minute of good ones does not push them out.
 */
export class RecentConnections extends Context.Service<
  RecentConnections,
  {
    /** Makes connection numbers unique over restarts. */
    readonly bootId: string
    /** The number of a connection named as in the log or in short; undefined when it can't be one of this process. */
    readonly idOf: (name: string) => ConnectionId | undefined
    readonly add: (past: PastConnection) => void
    readonly find: (id: ConnectionId) => PastConnection | undefined
  }
>()("edgeproxy/traffic/RecentConnections") {
  static readonly layer: Layer.Layer<RecentConnections> = Layer.effect(
    RecentConnections,
    Effect.map(Clock.currentTimeMillis, (now) => make(now.toString(36)))
  )
}

interface Ring {
  readonly add: (past: PastConnection) => void
  readonly find: (conn: string) => PastConnection | undefined
}

const makeRing = (size: number): Ring => {
  const kept: Array<PastConnection> = []
  let next = 0
  return {
    add: (past) => {
      kept[next] = past
      next = (next + 1) % size
    },
    find: (conn) => kept.find(({ entry }) => entry.conn === conn)
  }
}

const isGood = ({ end_by: by, end_cause: cause }: AccessEntry): boolean => by === "client" || cause === "fin"

export const make = (bootId: string, kept = KEPT): RecentConnections["Service"] => {
  const good = makeRing(kept)
  const failed = makeRing(kept)
  return {
    bootId,
    idOf: (name) => {
      const text = name.startsWith(`${bootId}-`) ? name.slice(bootId.length + 1) : name
      const id = Number.parseInt(text, 36)
      return Number.isSafeInteger(id) && id >= 0 && id.toString(36) === text ? id : undefined
    },
    add: (past) => (isGood(past.entry) ? good : failed).add(past),
    find: (id) => {
      const conn = connectionName(bootId, id)
      return good.find(conn) ?? failed.find(conn)
    }
  }
}
