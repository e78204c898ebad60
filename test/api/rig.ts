import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as http from "node:http"
import { networkInterfaces } from "node:os"
import { ApiServer, type ApiOptions, layer } from "../../layers/http/ApiServer.ts"
import { type ActorStatus, Supervisor } from "../../src/actor/Supervisor.ts"
import * as client from "../../src/api/client.ts"
import { BackendEvents } from "../../src/backends/BackendEvents.ts"
import { Registry } from "../../src/backends/Registry.ts"
import { Conditions } from "../../src/observe/Conditions.ts"
import { AccessLog } from "../../src/observe/AccessLog.ts"
import { LoopDelay } from "../../src/observe/LoopDelay.ts"
import { Explain } from "../../src/routing/Explain.ts"
import { GeoResolver } from "../../src/routing/GeoResolver.ts"
import { RoutingTable, type TableSnapshot, type TableStatus } from "../../src/routing/RoutingTable.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { Certificates } from "../../src/tls/Certificates.ts"
import { Admission } from "../../src/traffic/Admission.ts"
import { type ConnectionRecord, Connections } from "../../src/traffic/Connections.ts"
import * as ListenerCounters from "../../src/traffic/ListenerCounters.ts"
import { RecentConnections } from "../../src/traffic/RecentConnections.ts"
import * as Shutdown from "../../src/traffic/Shutdown.ts"
import { TrafficCounters } from "../../src/traffic/TrafficCounters.ts"
import { type AbortHow, type Endpoint, type LiveCounts, Transport } from "../../src/traffic/Transport.ts"
import { client as clientOf, geoOf } from "../support/fixtures.ts"
import { routing } from "../support/routing.ts"
import * as ScriptedTransport from "../support/ScriptedTransport.ts"
import * as MemoryRegistry from "./MemoryRegistry.ts"
import { hostless } from "../support/hostless.ts"

export const TOKEN = "the-token-that-writes"
export const READ_TOKEN = "the-token-that-reads"

/** An address of this machine that is not loopback; undefined when it has none. */
export const elsewhere: string | undefined = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address

export interface RigOptions extends Partial<Omit<ApiOptions, "token" | "readToken">> {
  readonly tokens?: boolean
}

export interface Abort {
  readonly id: number
  readonly how: AbortHow
  readonly why: { readonly by: string; readonly phase: string; readonly cause: string }
}

const quiet: TableStatus = {
  version: 3,
  origin: "source",
  backends: 0,
  quarantined: 0,
  ageMs: 1_500,
  lost: undefined,
  held: undefined
}

/** The API over services in the hands of a test, on a free port until the scope ends or `close` is run. */
export const make = Effect.fnUntraced(function* ({ tokens = true, ...options }: RigOptions = {}) {
  const registry = MemoryRegistry.make()
  const shutdown = Shutdown.make()
  const aborts: Array<Abort> = []
  const counts = new Map<number, LiveCounts>()
  const lines: Array<string> = []
  const state = {
    table: quiet,
    held: false,
    listeners: 1,
    actors: [] as ReadonlyArray<ActorStatus>
  }
  const script = ScriptedTransport.make(() => 0)
  const transport = Transport.of({
    ...script.service,
    counts: (id, out) => {
      const known = counts.get(id)
      if (known !== undefined) Object.assign(out, known)
      return known !== undefined
    },
    abort: (id, how, why) => void aborts.push({ id, how, why }),
    census: () => ({ ...script.service.census(), listeners: state.listeners })
  })
  const table = RoutingTable.of({
    ...hostless,
    snapshot: yield* SubscriptionRef.make<TableSnapshot>({
      version: 0,
      origin: "none",
      backends: new Map(),
      quarantined: new Map(),
      badIds: new Set(),
      states: new Map()
    }),
    firstTable: Effect.void,
    status: () => state.table,
    confirm: Effect.sync(() => {
      const held = state.held
      state.held = false
      return held
    }),
    reconsider: Effect.void,
    apply: () => Effect.void
  })
  const services = Layer.mergeAll(
    BackendEvents.layer({ apps: [undefined] }),
    TrafficCounters.layer,
    LoopDelay.layer,
    Explain.layer({ region: "sa", spillAt: "hard" }).pipe(
      Layer.provideMerge(GeoResolver.layerFixed(new Map([["198.51.100.1", geoOf("BR")]])))
    ),
    Connections.layer,
    RecentConnections.layer,
    Certificates.layerOff,
    Admission.layer(2),
    AccessLog.layerOff
  ).pipe(
    Layer.provideMerge(Layer.mergeAll(routing(), Conditions.layer)),
    Layer.provideMerge(
      Layer.mergeAll(
        Layer.succeed(Registry, registry.service),
        Layer.succeed(RoutingTable, table),
        Layer.succeed(Transport, transport),
        Layer.succeed(Shutdown.Shutdown, shutdown)
      )
    )
  )
  const logger = Logger.make(({ cause, message }) => void lines.push(`${JSON.stringify(message)} ${String(cause)}`))
  const scope = yield* Scope.fork(yield* Effect.scope)
  const context = yield* Layer.buildWithScope(
    layer({
      address: { address: "127.0.0.1", port: 0 },
      token: tokens ? Redacted.make(TOKEN) : undefined,
      readToken: tokens ? Redacted.make(READ_TOKEN) : undefined,
      publicReads: false,
      version: "1.2.3",
      pop: "gru1",
      region: "sa",
      listeners: 1,
      page: undefined,
      vitals: Effect.succeed({ cpuSeconds: 1, rss: 2, heap: 3, heapLimit: 4, fds: 5, fdLimit: 6 }),
      ...options
    }).pipe(
      Layer.provide(
        Layer.effect(
          Supervisor,
          Effect.map(Supervisor, ({ supervise }) => ({ supervise, list: () => state.actors }))
        )
      ),
      Layer.provideMerge(services),
      Layer.provide(Logger.layer([logger]))
    ),
    scope
  )
  return yield* Effect.gen(function* () {
    const { address } = yield* ApiServer
    const connections = yield* Connections
    return {
      address,
      registry,
      shutdown,
      aborts,
      /** What was logged. */
      lines,
      /** What the routing table, the transport and the supervisor say of themselves. */
      state,
      upstreams: yield* Upstreams,
      traffic: yield* TrafficCounters,
      admission: yield* Admission,
      connections,
      /** A connection that is there. */
      connect: (id: number, fields: Partial<ConnectionRecord> = {}, live: Partial<LiveCounts> = {}) => {
        counts.set(id, { bytesIn: 0, bytesOut: 0, idleMs: 0, waiting: 0, ...live })
        connections.add(recordOf(id, fields))
      },
      /** A typed client at the server. */
      client: (token?: string) =>
        client
          .make({
            baseUrl: `http://127.0.0.1:${address.port}`,
            token: token === undefined ? undefined : Redacted.make(token)
          })
          .pipe(Effect.provide(FetchHttpClient.layer)),
      close: Scope.close(scope, Exit.void)
    }
  }).pipe(Effect.provideContext(context))
})

const listener = ListenerCounters.make("0.0.0.0:8080", undefined)

const recordOf = (id: number, fields: Partial<ConnectionRecord>): ConnectionRecord => ({
  id,
  client: clientOf("203.0.113.7"),
  clientPort: 50_000,
  geo: geoOf("BR"),
  app: undefined,
  sni: undefined,
  secured: undefined,
  local: undefined,
  announced: undefined,
  admitted: true,
  refusal: undefined,
  listener,
  acceptedAt: 0,
  route: undefined,
  attempts: 0,
  connectUs: undefined,
  countedIn: undefined,
  countedOut: undefined,
  tried: [],
  ended: false,
  failures: [],
  trace: undefined,
  ...fields
})

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  /** The body read as JSON. */
  readonly json: unknown
}

export interface Question {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array
  /** Source address. */
  readonly from?: string
  readonly agent?: http.Agent
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** One request on a connection of its own, as it is: no header is added but Host and the length of a body. */
export const ask = (
  { address, port }: Endpoint,
  path: string,
  { agent, body, from, headers = {}, method = "GET" }: Question = {}
): Effect.Effect<Answer, NodeJS.ErrnoException> =>
  Effect.callback((resume) => {
    const request = http.request(
      {
        host: address,
        port,
        path,
        method,
        headers: body === undefined ? headers : { "content-length": Buffer.byteLength(body), ...headers },
        agent: agent ?? false,
        ...(from === undefined ? {} : { localAddress: from })
      },
      (response) => {
        const parts: Array<Buffer> = []
        response.on("data", (part: Buffer) => parts.push(part))
        response.on("error", (error) => resume(Effect.fail(error)))
        response.on("end", () => {
          const text = Buffer.concat(parts).toString()
          resume(
            Effect.succeed({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: text,
              json: parse(text)
            })
          )
        })
      }
    )
    request.on("error", (error) => resume(Effect.fail(error)))
    request.end(body)
  })

export const json = { "content-type": "application/json" }
export const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

export const registration = (fields: Record<string, unknown> = {}): Record<string, unknown> => ({
  id: "sa-node-1",
  app: "myapp",
  region: "sa",
  ip: "10.50.1.1",
  port: 9_000,
  ...fields
})

/** Registers with the writer's token or from loopback. */
export const post = (address: Endpoint, path: string, body: unknown, question: Question = {}) =>
  ask(address, path, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...question,
    headers: { ...json, ...question.headers }
  })
