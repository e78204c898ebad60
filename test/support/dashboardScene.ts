import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import * as net from "node:net"
import { join } from "node:path"
import { type EdgeOptions, scratch, startEdge } from "./EdgeProcess.ts"
import { apiOf } from "./edgeApi.ts"
import { writeMmdb } from "./mmdb.ts"
import { createDatabase, type Row } from "./routingDb.ts"

/** Countries of the clients, and how many each has: their loopback addresses stand for them. */
const crowd: ReadonlyArray<readonly [country: string, clients: number]> = [
  ["BR", 26],
  ["AR", 9],
  ["CL", 5],
  ["CO", 6],
  ["PE", 4],
  ["US", 14],
  ["MX", 5],
  ["CA", 3],
  ["DE", 6],
  ["FR", 4],
  ["GB", 4],
  ["PT", 3],
  ["NG", 3],
  ["ZA", 3],
  ["JP", 5],
  ["IN", 6],
  ["AU", 3],
  ["SG", 2]
]

const sites: ReadonlyArray<readonly [id: string, region: string, country: string]> = [
  ["gru-a", "sa", "BR"],
  ["gru-b", "sa", "BR"],
  ["eze-a", "sa", "AR"],
  ["scl-a", "sa", "CL"],
  ["iad-a", "us", "US"],
  ["iad-b", "us", "US"],
  ["qro-a", "us", "MX"],
  ["fra-a", "eu", "DE"],
  ["lhr-a", "eu", "GB"],
  ["jnb-a", "eu", "ZA"],
  ["nrt-a", "ap", "JP"],
  ["bom-a", "ap", "IN"],
  ["syd-a", "ap", "AU"]
]

const addressOf = (country: number, client: number): string => `127.${20 + country}.0.${1 + client}`

/** A backend that talks: a burst now and then on each of its connections. */
const startBackend = (port = 0) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly port: number; readonly stop: () => void }>((resume) => {
      const sockets = new Set<net.Socket>()
      const server = net.createServer((socket) => {
        sockets.add(socket)
        socket.on("error", () => undefined)
        socket.on("close", () => sockets.delete(socket))
        socket.on("data", (chunk) => socket.write(Buffer.alloc(chunk.length * (3 + Math.floor(Math.random() * 9)))))
        socket.on("end", () => socket.end())
      })
      const stop = (): void => {
        for (const socket of sockets) socket.destroy()
        server.close()
      }
      server.listen(port, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed({ port: typeof address === "object" && address !== null ? address.port : 0, stop }))
      })
    }),
    ({ stop }) => Effect.sync(stop)
  )

/** Clients that come, stay for a while, and go; each says something several times a second. */
const startClients = (edgePort: number, lifetimeMs: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const timers = new Set<NodeJS.Timeout>()
      const sockets = new Set<net.Socket>()
      let stopped = false
      const visit = (localAddress: string): void => {
        if (stopped) return
        const socket = net.connect({ host: "127.0.0.1", port: edgePort, localAddress })
        sockets.add(socket)
        socket.on("error", () => undefined)
        socket.resume()
        const talk = setInterval(() => socket.write(Buffer.alloc(200 + Math.floor(Math.random() * 4_000))), 150)
        const leave = setTimeout(() => socket.end(), lifetimeMs * (0.3 + Math.random()))
        timers.add(talk)
        socket.on("close", () => {
          clearInterval(talk)
          clearTimeout(leave)
          timers.delete(talk)
          sockets.delete(socket)
          const again = setTimeout(() => visit(localAddress), 100 + Math.random() * 300)
          timers.add(again)
        })
      }
      crowd.forEach(([, clients], country) => {
        for (let client = 0; client < clients; client++) visit(addressOf(country, client))
      })
      return () => {
        stopped = true
        for (const timer of timers) clearTimeout(timer)
        for (const socket of sockets) socket.destroy()
      }
    }),
    (stop) => Effect.sync(stop)
  )

/** A POP in South America with backends and clients all over the world, for who wants to see the dashboard at work. */
export const dashboardScene = Effect.fnUntraced(function* ({
  env = {},
  lifetimeMs = 6_000
}: { readonly env?: EdgeOptions["env"]; readonly lifetimeMs?: number } = {}) {
  const cwd = yield* scratch
  const backends = new Map<string, { readonly port: number; readonly stop: () => void }>()
  const rows: Array<Row> = []
  for (const [id, region, country] of sites) {
    const backend = yield* startBackend()
    backends.set(id, backend)
    rows.push({
      id,
      app: "shop",
      region,
      country,
      wg_ip: "127.0.0.1",
      port: backend.port,
      weight: id.endsWith("-b") ? 1 : 2,
      soft_limit: 20,
      hard_limit: 60
    })
  }
  createDatabase(join(cwd, "routing.db"), [
    ...rows,
    { id: "ams-a", app: "shop", region: "europe", country: "NL", wg_ip: "127.0.0.1", port: 70_000 }
  ])
  const places = crowd.map(([country], index) => ({
    cidr: `127.${20 + index}.0.0/24`,
    value: { country: { iso_code: country } }
  }))
  const geo = writeMmdb({
    databaseType: "Scene-Country",
    records: places,
    buildEpoch: Math.floor(Date.now() / 1_000),
    ipVersion: 6
  })
  writeFileSync(join(cwd, "geo.mmdb"), geo)
  const edge = yield* startEdge({
    cwd,
    env: {
      REGION: "sa",
      POP_ID: "gru1",
      DB_PATH: join(cwd, "routing.db"),
      DB_RELOAD_SECS: "0.5",
      GEOIP_PATH: join(cwd, "geo.mmdb"),
      HEALTH_CHECK_ENABLED: "true",
      HEALTH_CHECK_INTERVAL_SECS: "0.5",
      HEALTH_CHECK_TIMEOUT_SECS: "0.4",
      HEALTH_UNHEALTHY_THRESHOLD: "1",
      CIRCUIT_BREAKER_ENABLED: "true",
      ...env
    }
  })
  const api = yield* apiOf(edge)
  yield* startClients(edge.address.port, lifetimeMs)
  return {
    edge,
    api,
    url: api.url,
    /** The backend's program ends, with all its connections. */
    kill: (id: string): void => backends.get(id)?.stop(),
    /** It is there again, at the same place. */
    revive: (id: string) =>
      Effect.map(startBackend(backends.get(id)?.port), (backend) => void backends.set(id, backend))
  }
})
