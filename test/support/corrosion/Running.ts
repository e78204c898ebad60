import { createServer, ServerResponse } from "node:http"
import type { IncomingMessage, Server } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { make as makeWatch } from "../Watch.ts"
import { empty, readBody, send, text } from "./answer.ts"
import type { Call, State } from "./call.ts"
import type { Endpoint } from "./Command.ts"
import { Database } from "./Database.ts"
import type { Touched } from "./Database.ts"
import { Faults } from "./Faults.ts"
import { Hub } from "./Hub.ts"
import type { Sending } from "./LineStream.ts"
import { merge } from "./merge.ts"
import { PEER_PATH, PeerLinks } from "./PeerLinks.ts"
import { answerOf, routeOf } from "./routes.ts"

export interface Options {
  /** The text of the schema files. */
  readonly schema: string
  /** Where the data is kept; in memory if not given. */
  readonly path?: string
  /** 0 for any. */
  readonly port?: number
  /** The bearer token that every request needs. */
  readonly token?: string
  /** `api.endpoint_name`: requests that name another are refused. */
  readonly endpointName?: string
  /** How long changes are batched for subscriptions: 10 ms, where Corrosion takes 600. Infinity waits for `tick`. */
  readonly tickMs?: number
  /** Changes that may wait for a slow client before it loses its stream: 10,240, as with Corrosion. */
  readonly ringLines?: number
  /** How late changes leave for the peers: 0 ms. */
  readonly delayMs?: number
}

/** A request that the agent got. */
export interface Seen {
  readonly endpoint: Endpoint | undefined
  readonly method: string
  readonly url: string
  readonly status: () => number
}

/** The server of an agent and all that it has. */
export class Running {
  readonly options: Options
  readonly database: Database
  readonly hub: Hub
  readonly faults = new Faults()
  readonly links: PeerLinks
  readonly sending: Sending
  readonly seen: Array<Seen> = []
  readonly watch = makeWatch()
  tickMs: number
  healthKnown = false
  port = 0
  readonly #state: State
  #server: Server | undefined

  constructor(options: Options) {
    this.options = options
    this.tickMs = options.tickMs ?? 10
    this.port = options.port ?? 0
    this.sending = { pieces: 0, held: false, ringLines: options.ringLines ?? 10_240 }
    this.database = new Database(options.schema, options.path)
    this.hub = new Hub(
      this.database,
      () => this.tickMs,
      () => this.watch.touch()
    )
    this.links = new PeerLinks(
      this.database,
      () => this.url,
      (rows) => this.changed(this.database.transact(() => merge(this.database, rows), false).touched)
    )
    this.links.delayMs = options.delayMs ?? 0
    this.hub.restore()
    this.#state = {
      database: this.database,
      hub: this.hub,
      sending: this.sending,
      changed: (touched) => this.changed(touched),
      healthKnown: () => this.healthKnown
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  changed(touched: Touched): void {
    if (touched.size === 0) return
    this.hub.changed(touched)
    this.links.wake()
    this.watch.touch()
  }

  start(): Promise<void> {
    const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
      // After the others that listen to this, who take the stream off.
      response.on("close", () => queueMicrotask(() => this.watch.touch()))
      response.on("error", () => undefined)
      this.#handle(request, response).catch(() => response.destroy())
    })
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once("error", reject)
      server.listen(this.port, "127.0.0.1", () => {
        const address = server.address()
        if (typeof address === "object" && address !== null) this.port = address.port
        this.links.start()
        resolve()
      })
    })
  }

  stop(): Promise<void> {
    this.links.stop()
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return Promise.resolve()
    return new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  }

  #refusal({ headers }: IncomingMessage): ReturnType<typeof empty> | undefined {
    const { token, endpointName } = this.options
    const { authorization } = headers
    if (authorization !== undefined && !/^bearer /i.test(authorization)) {
      return text(400, "invalid HTTP header (authorization)")
    }
    if (token !== undefined && authorization?.slice(7) !== token) return empty(401)
    const asked = headers["x-corrosion-requested-endpoint-name"]
    return endpointName !== undefined && asked !== undefined && asked !== endpointName ? empty(421) : undefined
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url)
    if (url.pathname === PEER_PATH) {
      const { status, text: body } = this.links.accept(await readBody(request))
      return send(response, { status, body })
    }
    const found = routeOf(url.pathname)
    this.seen.push({
      endpoint: found?.route.endpoint,
      method: request.method ?? "",
      url: request.url ?? "",
      status: () => (response.headersSent ? response.statusCode : 0)
    })
    this.watch.touch()
    const refusal = this.#refusal(request)
    if (refusal !== undefined) return send(response, refusal)
    if (found === undefined) return send(response, empty(404))
    if (request.method !== found.route.method) return send(response, empty(405))
    const { name, route } = found
    const fault = this.faults.take(route.endpoint)
    await this.#answer({ request, response, url, name, fault }, route)
  }

  async #answer(call: Call, route: NonNullable<ReturnType<typeof routeOf>>["route"]): Promise<void> {
    const { fault, request, response } = call
    switch (fault?.do) {
      case "hang":
        return
      case "lose-request":
        return void request.socket.resetAndDestroy()
      case "answer":
        return send(response, answerOf(fault.status, fault.body, route.endpoint))
      case "slow":
        await sleep(fault.ms)
        break
      case "lose-answer":
        // A response without a connection keeps what is written to it.
        await route.handler(this.#state, { ...call, response: new ServerResponse(request) })
        return void request.socket.resetAndDestroy()
    }
    await route.handler(this.#state, call)
    this.watch.touch()
  }

  /** In order: the subscriptions are taken up again by the next agent on the same file. */
  async shutdown(): Promise<void> {
    await this.stop()
    this.hub.save()
    this.hub.forgetAll()
    this.database.close()
  }
}
