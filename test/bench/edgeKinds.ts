import { existsSync } from "node:fs"
import { join } from "node:path"
import { createDatabase } from "../support/routingDb.ts"
import type { BenchOptions } from "./Measure.ts"
import type { Place, ProxyKind } from "./Proxy.ts"

export const EDGE = "edgeProxy"

const BACKENDS = 10

/** Ten backends that all lead to the same port: to choose costs what it costs, and no proxy has more ports than another. */
const rows = (port: number) =>
  Array.from({ length: BACKENDS }, (_, i) => ({
    id: `sa-node-${i}`,
    app: "web",
    region: "sa",
    country: "BR",
    wg_ip: "127.0.0.1",
    port,
    soft_limit: 1_000,
    hard_limit: 0
  }))

type Settings = Readonly<Record<string, string>>

/** The program itself with its whole job: geo, affinity, choice, limits, metrics, access log to a file. */
export const edge = (name: string, file: string, settings: Settings | ((place: Place) => Settings)): ProxyKind => ({
  name,
  missing: () => (existsSync(file) ? undefined : `no ${file}`),
  command: ({ directory, target }) => {
    createDatabase(join(directory, "routing.db"), rows(target))
    return [process.execPath, file]
  },
  env: (place) => ({
    EDGEPROXY_LISTEN_ADDR: `127.0.0.1:${place.port}`,
    EDGEPROXY_API_LISTEN_ADDR: "127.0.0.1:0",
    EDGEPROXY_GEO_OVERRIDES: "127.0.0.0/8=BR",
    EDGEPROXY_ACCESS_LOG: join(place.directory, "access.log"),
    EDGEPROXY_LOG_FORMAT: "json",
    EDGEPROXY_METRICS_ENABLED: "true",
    EDGEPROXY_METRICS_LISTEN_ADDR: `127.0.0.1:${place.metrics}`,
    EDGEPROXY_SHUTDOWN_TIMEOUT_SECS: "1",
    ...(typeof settings === "function" ? settings(place) : settings)
  }),
  scraped: true,
  engine: /"message":"listening".*"engine":"([^"]+)"/
})

const threaded = (file: string): ReadonlyArray<ProxyKind> => [
  edge(`${EDGE}, 1 thread`, file, { EDGEPROXY_TRANSPORT_THREADS: "1" }),
  edge(`${EDGE}, 2 threads`, file, { EDGEPROXY_TRANSPORT_THREADS: "2" })
]

/** As it comes, and with the portable engine; on request with fixed numbers of threads. */
export const edgeKinds = ({ program, threads }: BenchOptions): ReadonlyArray<ProxyKind> => [
  edge(EDGE, program, {}),
  ...(threads ? threaded(program) : []),
  { ...edge(`${EDGE}, node`, program, { EDGEPROXY_TRANSPORT: "node" }), slow: true }
]
