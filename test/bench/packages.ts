import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"

/** A program of others that the bench uses, and the packages of Debian that have it. */
interface Tool {
  readonly packages: ReadonlyArray<string>
  readonly there: () => boolean
}

// Debian has the module in a package of its own; elsewhere it is compiled in.
const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

const runs = (command: string): boolean => spawnSync(command, ["-v"], { stdio: "ignore" }).error === undefined

const streams = (): boolean =>
  / --with-stream(?: |$)/m.test(spawnSync("nginx", ["-V"], { encoding: "utf8" }).stderr ?? "")

/** The line that loads nginx's stream module where it is not compiled in. */
export const loadStreamModule = (): string => (existsSync(STREAM_MODULE) ? `load_module ${STREAM_MODULE};` : "")

const tools = {
  haproxy: { packages: ["haproxy"], there: () => runs("haproxy") },
  nginx: { packages: ["nginx-light"], there: () => runs("nginx") },
  "nginx stream": {
    packages: ["nginx-light", "libnginx-mod-stream"],
    there: () => runs("nginx") && (existsSync(STREAM_MODULE) || streams())
  },
  iperf3: { packages: ["iperf3"], there: () => runs("iperf3") },
  wrk: { packages: ["wrk"], there: () => runs("wrk") }
} satisfies Record<string, Tool>

export type ToolName = keyof typeof tools

/** Why the first of these that is not there can't be used; undefined when all can. */
export const lacking = (names: ReadonlyArray<ToolName>): string | undefined => {
  const name = names.find((each) => !tools[each].there())
  return name === undefined ? undefined : `no ${name} here (Debian: ${tools[name].packages.join(", ")})`
}

/** The packages of Debian that would complete this machine. */
export const missingPackages = (): ReadonlyArray<string> => [
  ...new Set(Object.values(tools).flatMap((tool) => (tool.there() ? [] : tool.packages)))
]

/** Installs packages of Debian; needs root. */
export const install = (packages: ReadonlyArray<string>): boolean => {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  const apt = (...args: ReadonlyArray<string>): boolean =>
    spawnSync("apt-get", ["-qq", ...args], { env, stdio: ["ignore", 2, 2] }).status === 0
  return apt("update") && apt("install", "--yes", "--no-install-recommends", ...packages)
}
