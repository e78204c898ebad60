import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { readFileSync, writeFileSync } from "node:fs"
import type { ChildProcess } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { bundle, bundleDirectory, scratch } from "../support/EdgeProcess.ts"
import { canHaveMachines, machine, type Machine } from "../support/machine.ts"
import { createDatabase } from "../support/routingDb.ts"
import { eventually } from "../support/Watch.ts"
import { has } from "../wireguard/rig.ts"

export const missingForAnycast = (): string | undefined => {
  if (!canHaveMachines) return "needs root and a kernel that gives network namespaces"
  const programs = ["bird", "birdc", "curl", "iptables"].filter((program) => !has(program))
  return programs.length === 0 ? undefined : `needs ${programs.join(" and ")}`
}

export const SERVICE = "198.51.100.1"
export const SERVICE6 = "2001:db8:51::1"

const path = (name: string): string => fileURLToPath(new URL(`../../docker/bird/${name}`, import.meta.url))
const node = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url))

/** One visit of the client. */
export interface Visit {
  readonly at: number
  readonly took: number
  readonly connected: boolean
  readonly id: string | null
  readonly error: string | null
}

export interface Pop {
  readonly machine: Machine
  /** Its edgeProxy, started anew; killed with the machine. */
  readonly startEdge: (env?: Readonly<Record<string, string>>) => ChildProcess
  readonly signalEdge: (signal: string) => void
  readonly startBird: Effect.Effect<void>
  readonly birdc: (command: string) => string
  /** The degraded reasons of `/ready`, and whether it is ready. */
  readonly ready: () => { readonly ready: boolean; readonly degraded: ReadonlyArray<string> } | undefined
  /** All that edgeProxy has logged. */
  readonly log: () => string
  readonly database: string
}

export interface Bed {
  readonly a: Pop
  readonly b: Pop
  readonly router: Machine
  /** What the client came to so far. */
  readonly visits: () => ReadonlyArray<Visit>
  /** Whom the last visits were served by. */
  readonly servedBy: (id: string, ms?: number) => Effect.Effect<void>
  /** The POP that the router sends packets to now. */
  readonly via: () => string
}

const lines = (file: string): ReadonlyArray<string> => {
  try {
    return readFileSync(file, "utf8").split("\n").slice(0, -1)
  } catch {
    return []
  }
}

const startDaemon = (host: Machine, directory: string, text: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    const file = join(directory, `${host.name}.conf`)
    writeFileSync(file, text)
    host.run("mkdir -p /run/bird")
    host.start("bird", ["-f", "-c", file, "-s", "/run/bird/bird.ctl"])
    yield* host.retry("birdc show status")
  })

const routerConfig = (pops: ReadonlyArray<{ readonly net: string; readonly far: boolean }>): string => `
log stderr all;
router id 192.0.2.1;
protocol device { scan time 1; }
protocol bfd { interface "*" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }
protocol kernel { ipv4 { export all; import none; }; }
protocol kernel { ipv6 { export all; import none; }; }
# The path of the far one is a step longer.
filter far { bgp_path.prepend(64999); accept; }
${pops
  .map(
    ({ far, net }, index) => `
protocol bgp pop${index}v4 {
  local ${net}.1 as 64496; neighbor ${net}.2 as 64512; bfd on; hold time 9; connect retry time 1; error wait time 1, 2;
  ipv4 { import ${far ? "filter far" : "all"}; export none; };
}
protocol bgp pop${index}v6 {
  local 2001:db8:${index}::1 as 64496; neighbor 2001:db8:${index}::2 as 64512; bfd on; hold time 9; connect retry time 1; error wait time 1, 2;
  ipv6 { import ${far ? "filter far" : "all"}; export none; };
}`
  )
  .join("\n")}
`

const popConfig = (net: string, index: number): string =>
  Object.entries({
    POP_ID: `${net}.2`,
    ROUTER4: `${net}.1`,
    ROUTER6: `2001:db8:${index}::1`
  }).reduce(
    (text, [name, value]) => text.replace(new RegExp(`^(define ${name} +=) [^;]+;`, "m"), `$1 ${value};`),
    readFileSync(path("bird.conf"), "utf8")
  )

/** A POP with the BIRD configuration that is shipped, its watchdog, and one backend that tells which POP it belongs to. */
const pop = Effect.fnUntraced(function* (
  name: string,
  index: number,
  router: Machine
): Effect.fn.Return<Pop, never, Scope.Scope> {
  const directory = yield* scratch
  const net = `10.20.${index + 10}`
  const host = yield* machine(name)
  const [cable, plug] = host.connect(router, `${net}.2/30`, `${net}.1/30`)
  host.run(`ip route add default via ${net}.1; ip addr add ${SERVICE}/32 dev lo; ip addr add ${SERVICE6}/128 dev lo
    ip addr add 2001:db8:${index}::2/64 dev ${cable} nodad; ip -6 route add default via 2001:db8:${index}::1`)
  router.run(`ip addr add 2001:db8:${index}::1/64 dev ${plug} nodad`)
  const backend = ["--port", "9000", "--id", name, "--region", "sa", "--host", "127.0.0.1"]
  host.start(node, [join(bundleDirectory, "mock-backend.js"), ...backend])
  yield* host.retry("curl -sf http://127.0.0.1:9000/health")
  const database = join(directory, "routing.db")
  createDatabase(database, [{ id: name, region: "sa", wg_ip: "127.0.0.1", port: 9000 }])
  const log = join(directory, "edge.log")
  const startBird = startDaemon(host, directory, popConfig(net, index))
  yield* startBird
  host.start(path("anycast-watchdog"), [])
  return {
    machine: host,
    startBird,
    database,
    birdc: (command) => host.run(`birdc '${command}'`),
    log: () => lines(log).join("\n"),
    ready: () => {
      const text = host.run("curl -s -m 1 http://127.0.0.1:8081/ready || true")
      return text === "" ? undefined : (JSON.parse(text) as { ready: boolean; degraded: ReadonlyArray<string> })
    },
    signalEdge: (signal) => void host.run(`kill -${signal} $(cat /run/edge.pid)`),
    startEdge: (env = {}) =>
      // Below a shell, as below an init: one whose parent is outside of its process namespace hands nothing over.
      host.start("sh", ["-c", `cd ${directory}; ${node} ${bundle} >>${log} 2>&1 & echo $! >/run/edge.pid; wait $!`], {
        ...process.env,
        EDGEPROXY_LISTEN_ADDR: `0.0.0.0:8080,[::]:8080`,
        EDGEPROXY_REGION: "sa",
        EDGEPROXY_POP_ID: name,
        EDGEPROXY_DB_RELOAD_SECS: "0.2",
        EDGEPROXY_ACCESS_LOG: "off",
        EDGEPROXY_LOG_FORMAT: "json",
        EDGEPROXY_MAX_CONNECTIONS: "30",
        EDGEPROXY_METRICS_ENABLED: "true",
        // A client that the route has taken away in the middle of something is never heard of again.
        EDGEPROXY_SHUTDOWN_TIMEOUT_SECS: "4",
        EDGEPROXY_ANYCAST_ENABLED: "true",
        EDGEPROXY_ANYCAST_HOLD_SECS: "0.5",
        EDGEPROXY_ANYCAST_WITHDRAW_SECS: "1.5",
        ...env
      })
  }
})

/** Two POPs that announce one address, a router to which the first is nearer, and a client that comes all the time. */
export const anycastBed: Effect.Effect<Bed, never, Scope.Scope> = Effect.gen(function* () {
  const directory = yield* scratch
  const router = yield* machine("router")
  router.run("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
  const a = yield* pop("pop-a", 0, router)
  const b = yield* pop("pop-b", 1, router)
  const client = yield* machine("client")
  client.connect(router, "10.20.30.2/30", "10.20.30.1/30")
  client.run("ip route add default via 10.20.30.1")
  yield* startDaemon(
    router,
    directory,
    routerConfig([
      { net: "10.20.10", far: false },
      { net: "10.20.11", far: true }
    ])
  )
  const file = join(directory, "visits")
  client.start(node, [fileURLToPath(new URL("../support/anycastClient.ts", import.meta.url)), SERVICE, "8080", file])
  const visits = (): ReadonlyArray<Visit> => lines(file).map((line) => JSON.parse(line) as Visit)
  return {
    a,
    b,
    router,
    visits,
    servedBy: (id, ms) =>
      Effect.asVoid(
        eventually(
          () => `visit served by ${id}: ${JSON.stringify(visits().slice(-3))}`,
          () => {
            const last = visits().slice(-5)
            return last.length === 5 && last.every((visit) => visit.id === id)
          },
          ms
        )
      ),
    via: () => router.run(`ip route get ${SERVICE}`)
  }
})
