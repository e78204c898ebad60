import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { createDatabase } from "../support/routingDb.ts"
import { tempDirectory } from "../support/tempDirectory.ts"
import { freePort } from "./freePort.ts"
import { awaitListening, program } from "./Program.ts"

/** A proxy under measurement: a process of its own that carries connections from its port to one backend. */
export interface Proxy {
  readonly name: string
  readonly pid: number
  readonly port: number
}

export interface ProxyKind {
  readonly name: string
  /** Why it can't be measured here; undefined when it can. */
  readonly missing: () => string | undefined
  readonly command: (place: Place) => ReadonlyArray<string>
  readonly env?: (place: Place) => Readonly<Record<string, string>>
}

interface Place {
  readonly directory: string
  readonly port: number
  readonly target: number
}

export const EDGE = "edgeProxy"
export const PIPE = "bare pipe"
export const HAPROXY = "HAProxy"

const LISTEN_POLL_MS = 20

const lacks = (command: string, args: ReadonlyArray<string>): string | undefined =>
  spawnSync(command, args, { stdio: "ignore" }).error === undefined ? undefined : `no ${command} on this machine`

/** The program itself with its whole job: geo, affinity, choice among ten backends, limits, access log. */
const edge = (file: string): ProxyKind => ({
  name: EDGE,
  missing: () => (existsSync(file) ? undefined : `no ${file}`),
  command: ({ directory, target }) => {
    const rows = Array.from({ length: 10 }, (_, i) => ({
      id: `sa-node-${i}`,
      app: "web",
      region: "sa",
      country: "BR",
      wg_ip: "127.0.0.1",
      port: target,
      soft_limit: 1_000,
      hard_limit: 0
    }))
    createDatabase(join(directory, "routing.db"), rows)
    return [process.execPath, file]
  },
  env: ({ directory, port }) => ({
    EDGEPROXY_LISTEN_ADDR: `127.0.0.1:${port}`,
    EDGEPROXY_ACCESS_LOG: join(directory, "access.log"),
    EDGEPROXY_LOG_LEVEL: "warn",
    EDGEPROXY_SHUTDOWN_TIMEOUT_SECS: "1"
  })
})

const barePipe: ProxyKind = {
  name: PIPE,
  missing: () => undefined,
  command: ({ port, target }) => [
    process.execPath,
    fileURLToPath(new URL("./bare-pipe.ts", import.meta.url)),
    String(port),
    String(target)
  ]
}

const haproxy = (name: string, options: ReadonlyArray<string>): ProxyKind => ({
  name,
  missing: () => lacks("haproxy", ["-v"]),
  command: ({ directory, port, target }) => {
    const path = join(directory, "haproxy.cfg")
    const lines = [
      "global",
      "  nbthread 1",
      "  maxconn 4000",
      "defaults",
      "  mode tcp",
      "  timeout connect 5s",
      "  timeout client 1h",
      "  timeout server 1h",
      ...options.map((option) => `  option ${option}`),
      "listen bench",
      `  bind 127.0.0.1:${port}`,
      `  server sink 127.0.0.1:${target}`
    ]
    writeFileSync(path, `${lines.join("\n")}\n`)
    return ["haproxy", "-db", "-f", path]
  }
})

const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

const nginx: ProxyKind = {
  name: "nginx stream",
  missing: () => lacks("nginx", ["-v"]),
  command: ({ directory, port, target }) => {
    const path = join(directory, "nginx.conf")
    // Debian has the module in a package of its own; elsewhere it is compiled in.
    const module = existsSync(STREAM_MODULE) ? `load_module ${STREAM_MODULE};\n` : ""
    writeFileSync(
      path,
      `${module}daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 16384;
pid ${directory}/nginx.pid; error_log ${directory}/error.log;
events { worker_connections 16384; }
stream { server { listen 127.0.0.1:${port}; proxy_pass 127.0.0.1:${target}; proxy_timeout 1h; proxy_half_close on; } }
`
    )
    return ["nginx", "-p", directory, "-c", path]
  }
}

export const kinds = (file: string): ReadonlyArray<ProxyKind> => [
  edge(file),
  barePipe,
  haproxy(HAPROXY, []),
  haproxy(`${HAPROXY}, splice`, ["splice-request", "splice-response"]),
  nginx
]

/** Runs a proxy in front of the backend until the scope ends; returns once it takes connections. */
export const startProxy = (kind: ProxyKind, target: number): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const place: Place = { directory: yield* tempDirectory, port: yield* Effect.promise(freePort), target }
    const [command = "", ...args] = kind.command(place)
    const env = { ...process.env, ...kind.env?.(place) }
    const child = yield* program(command, args, { cwd: place.directory, env, stdio: ["ignore", "ignore", "pipe"] })
    yield* awaitListening(child, place.port, LISTEN_POLL_MS)
    return { name: kind.name, pid: child.pid ?? 0, port: place.port }
  })
