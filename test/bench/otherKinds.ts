import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { lacking, loadStreamModule } from "./packages.ts"
import * as procfs from "./procfs.ts"
import type { ProxyKind } from "./Proxy.ts"

export const HAPROXY = "HAProxy"

// What fits in the descriptors that an ordinary user has, two for each connection.
const MOST_CONNECTIONS = 7_000
const MOST_PIPES = 512

export const SPLICE = ["splice-request", "splice-response"]

/** How many connections each proxy can have here. */
export const connectionLimit = (): number =>
  Math.min(MOST_CONNECTIONS, Math.floor((procfs.fdLimit() - 2 * MOST_PIPES) / 2) - 200)

const barePipe: ProxyKind = {
  name: "bare pipe",
  slow: true,
  missing: () => undefined,
  command: ({ port, target }) => [
    process.execPath,
    fileURLToPath(new URL("./bare-pipe.ts", import.meta.url)),
    String(port),
    String(target)
  ]
}

/** What is not said of it is as it comes. */
interface HaproxySettings {
  readonly options?: ReadonlyArray<string>
  /** Further words of `bind` and `server`. */
  readonly bind?: string
  readonly server?: string
  readonly lines?: ReadonlyArray<string>
}

export const haproxy = (
  name: string,
  { bind = "", lines: more = [], options = [], server = "" }: HaproxySettings = {}
): ProxyKind => ({
  name,
  missing: () => lacking(["haproxy"]),
  command: ({ directory, port, target }) => {
    const path = join(directory, "haproxy.cfg")
    const lines = [
      "global",
      "  nbthread 1",
      `  maxconn ${connectionLimit()}`,
      `  maxpipes ${MOST_PIPES}`,
      "defaults",
      "  mode tcp",
      "  timeout connect 5s",
      "  timeout client 1h",
      "  timeout server 1h",
      ...options.map((option) => `  option ${option}`),
      "listen bench",
      `  bind 127.0.0.1:${port} ${bind}`,
      ...more.map((line) => `  ${line}`),
      `  server backend 127.0.0.1:${target} ${server}`
    ]
    writeFileSync(path, `${lines.join("\n")}\n`)
    return ["haproxy", "-db", "-f", path]
  }
})

const nginx: ProxyKind = {
  name: "nginx stream",
  slow: true,
  missing: () => lacking(["nginx stream"]),
  command: ({ directory, port, target }) => {
    const path = join(directory, "nginx.conf")
    writeFileSync(
      path,
      `${loadStreamModule()}
daemon off; master_process off; worker_processes 1; pid ${directory}/nginx.pid; error_log ${directory}/error.log;
events { worker_connections ${2 * connectionLimit()}; }
stream { server { listen 127.0.0.1:${port}; proxy_pass 127.0.0.1:${target}; proxy_timeout 1h; proxy_half_close on; } }
`
    )
    return ["nginx", "-p", directory, "-c", path]
  }
}

/** What edgeProxy is measured beside: as they come, each with one thread, without choice and log. */
export const otherKinds: ReadonlyArray<ProxyKind> = [
  barePipe,
  haproxy(HAPROXY),
  haproxy(`${HAPROXY}, splice`, { options: SPLICE }),
  nginx
]
