import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { monotonicMs } from "../actor/Monotonic.ts"
import { type ActorStatus, Supervisor } from "../actor/Supervisor.ts"
import { Live } from "../dashboard/Live.ts"
import { Explain } from "../routing/Explain.ts"
import { RoutingTable, type TableStatus } from "../routing/RoutingTable.ts"
import { connectionName } from "../traffic/accessEntry.ts"
import { endedConnection, openConnection } from "../traffic/ConnectionExplanation.ts"
import { RecentConnections } from "../traffic/RecentConnections.ts"
import { type ConnectionRecord, Connections } from "../traffic/Connections.ts"
import { type LiveCounts, Transport } from "../traffic/Transport.ts"
import { Api } from "./Api.ts"
import { connectionId, connectionJson, phaseOf, readConnectionId } from "./connectionJson.ts"
import { BadRequest, NotFound, Unavailable } from "./errors.ts"
import { pageOf } from "./page.ts"
import type { Actor, ConnectionList, Table } from "./schemas.ts"

const PAGE = 100

// Silent for so long, a connection is between messages: an orderly end can't look like an answer cut short.
const QUIET_MS = 1_000

const noCounts = (): LiveCounts => ({ bytesIn: 0, bytesOut: 0, idleMs: 0, waiting: 0 })

const actorJson = ({ lastFailure, name, restarts, startedAt, state }: ActorStatus, now: number): typeof Actor.Type => {
  const since = (at: number): number => Math.max(0, Math.floor((now - at) / 1_000))
  return {
    name,
    state,
    restarts,
    started_secs: since(startedAt),
    last_failure: lastFailure === undefined ? null : { secs: since(lastFailure.at), message: lastFailure.message }
  }
}

const tableJson = ({ ageMs, backends, held, lost, origin, quarantined, version }: TableStatus): typeof Table.Type => ({
  version,
  origin,
  backends,
  quarantined,
  age_secs: ageMs === undefined ? null : Math.max(0, ageMs) / 1_000,
  lost:
    lost === undefined ? null : { source: lost.source, target: lost.target, reason: lost.reason, detail: lost.detail },
  held: held === undefined ? null : { eligible: held.eligible, lost: held.lost }
})

export const layer = HttpApiBuilder.group(
  Api,
  "operations",
  Effect.fnUntraced(function* (handlers) {
    const connections = yield* Connections
    const transport = yield* Transport
    const supervisor = yield* Supervisor
    const table = yield* RoutingTable
    const explain = yield* Explain
    const recent = yield* RecentConnections
    const live = yield* Live
    const now = yield* monotonicMs

    const show = (record: ConnectionRecord) => {
      const counts = noCounts()
      transport.counts(record.id, counts)
      return connectionJson(record, counts, now())
    }

    const kill = (record: ConnectionRecord): void => {
      const counts = noCounts()
      transport.counts(record.id, counts)
      const quiet = counts.waiting === 0 && counts.idleMs >= QUIET_MS
      transport.abort(record.id, quiet ? "fin" : "rst", { by: "proxy", phase: phaseOf(record), cause: "killed" })
    }

    return handlers.handleAll({
      connections: Effect.fnUntraced(function* ({ query: { after, limit = PAGE } }) {
        const start = after === undefined ? undefined : readConnectionId(after)
        if (after !== undefined && start === undefined) {
          const issue = { path: "after", message: "Expected `next` of the page before" }
          return yield* new BadRequest({ error: "bad request", issues: [issue] })
        }
        const { items, next, total } = yield* pageOf(connections.all(), ({ id }) => id, { after: start, limit })
        const list: typeof ConnectionList.Type = {
          connections: items.map(show),
          total,
          ...(next === undefined ? {} : { next: connectionId(next) })
        }
        return list
      }),
      kill: Effect.fnUntraced(function* ({ params: { id } }) {
        const number = recent.idOf(id)
        const record = number === undefined ? undefined : connections.get(number)
        if (record === undefined) return yield* new NotFound({ error: "no such connection", id })
        kill(record)
        yield* Effect.logInfo("connection killed by an operator", { conn: id, client: record.client.address })
        return { killed: true as const, id }
      }),
      actors: () =>
        Effect.map(Clock.currentTimeMillis, (now) => ({
          actors: supervisor.list().map((status) => actorJson(status, now))
        })),
      explain: ({ query: { app, ip, shown, sni } }) =>
        explain.explain(ip, app, shown, sni).pipe(
          Effect.mapError(({ message, reason }) => {
            const path = reason === "address" ? "ip" : "sni"
            return new BadRequest({ error: "bad request", issues: [{ path, message }] })
          })
        ),
      explainConnection: Effect.fnUntraced(function* ({ params: { id }, query: { shown } }) {
        const number = recent.idOf(id)
        const record = number === undefined ? undefined : connections.get(number)
        const past = number === undefined || record !== undefined ? undefined : recent.find(number)
        const recorded =
          record !== undefined
            ? openConnection(record, connectionName(recent.bootId, record.id))
            : past === undefined
              ? undefined
              : endedConnection(past)
        if (recorded === undefined) return yield* new NotFound({ error: "no such connection, or it is forgotten", id })
        // The address is one that has connected.
        const now = yield* Effect.orDie(explain.explain(recorded.client, recorded.app ?? undefined, shown))
        return { recorded, now }
      }),
      live: () => Effect.mapError(live.join, ({ message }) => new Unavailable({ error: message })),
      table: () => Effect.sync(() => tableJson(table.status())),
      confirmTable: Effect.fnUntraced(function* () {
        const confirmed = yield* table.confirm
        if (confirmed) yield* Effect.logWarning("held update taken: an operator has confirmed it")
        return { confirmed }
      })
    })
  })
)
