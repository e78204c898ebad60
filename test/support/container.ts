import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { canHaveIslands, island } from "../chaos/island.ts"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { bundleDirectory, type EdgeProcess, scratch, spawnEdge } from "./EdgeProcess.ts"
import { pathOf } from "./tools.ts"
import { eventually } from "./Watch.ts"

/** What docker/Dockerfile says of the image. */
const dockerfile = readFileSync(new URL("../../docker/Dockerfile", import.meta.url), "utf8")
const found = (pattern: RegExp): string => {
  const text = pattern.exec(dockerfile)?.[1]
  if (text === undefined) throw new Error(`nothing in docker/Dockerfile is ${pattern}`)
  return text
}
const listed = (pattern: RegExp): ReadonlyArray<string> => JSON.parse(found(pattern)) as ReadonlyArray<string>

/** The last target's, which is that of the proxy. */
export const image = {
  entrypoint: listed(/^ENTRYPOINT (\[.*edgeproxy\.js.*\])$/m),
  mockBackend: listed(/^ENTRYPOINT (\[.*mock-backend\.js.*\])$/m),
  healthcheck: listed(/^HEALTHCHECK .*CMD (\[.*\])$/m),
  user: found(/^USER (\d+):\d+$/m),
  workdir: found(/^WORKDIR (\/data)$/m),
  env: Object.fromEntries(
    [...dockerfile.matchAll(/^ENV ((?:NODE|EDGEPROXY)_\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value])
  )
}

/** The files of a built image, mounted somewhere; without it they are put together from the bundle and this very Node. */
export const imageRoot = process.env["IMAGE_ROOT"]

const PATH = "/usr/local/bin:/usr/bin:/bin"

/** As a container engine drops privileges: no capability is left, and none can be gained. */
const unprivileged = (
  `setpriv --reuid ${image.user} --regid ${image.user} --clear-groups --no-new-privs ` +
  "--bounding-set -all --inh-caps -all --ambient-caps -all --"
).split(" ")

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
const commandLine = (words: ReadonlyArray<string>): string => words.map(quoted).join(" ")

const librariesOf = (program: string): ReadonlyArray<string> => {
  const { stdout } = spawnSync("ldd", [program], { encoding: "utf8" })
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].flatMap(([, path]) => (path === undefined ? [] : [path]))
}

type Mount = readonly [from: string, to: string]

/** What is in the root directory, and where it comes from. There is no shell in it, and no other program. */
const contents = (): ReadonlyArray<Mount> => {
  const setpriv = pathOf("setpriv") ?? ""
  const addons = join(bundleDirectory, "node_modules/@koromix")
  const natives = existsSync(addons)
    ? readdirSync(addons, { recursive: true, encoding: "utf8" }).filter(
        (path) => path.endsWith(".node") && !path.includes("musl")
      )
    : []
  const programs = [process.execPath, setpriv, ...natives.map((path) => join(addons, path))]
  return [
    [bundleDirectory, "/app"],
    [process.execPath, "/usr/local/bin/node"],
    [setpriv, "/usr/bin/setpriv"],
    ...[...new Set(programs.flatMap(librariesOf))].map((path) => [path, path] as const)
  ]
}

const SHELLS = ["sh", "bash", "dash"]

/** Everything is read-only but /data, which is small, and nothing there can be executed. */
const assemble = (root: string, more: ReadonlyArray<Mount> = []): ReadonlyArray<string> => [
  `bind() { if [ -d "$1" ]; then mkdir -p "$2"; elif [ ! -e "$2" ]; then mkdir -p "$(dirname "$2")"; : > "$2"; fi`,
  `mount --bind "$1" "$2"; mount -o remount,bind,ro "$2"; }`,
  ...(imageRoot === undefined
    ? [
        `mount -t tmpfs -o mode=755 tmpfs ${root}`,
        `mkdir ${root}/data ${root}/proc ${root}/dev`,
        ...[...contents(), ...more].map(([from, to]) => `bind ${quoted(from)} ${quoted(root + to)}`)
      ]
    : [
        `mount --bind ${quoted(imageRoot)} ${root}`,
        `: > ${root}.empty`,
        // Without a shell, whatever the base image has.
        ...SHELLS.map((name) => `[ ! -x ${root}/bin/${name} ] || bind ${root}.empty ${root}/bin/${name}`)
      ]),
  `mount -t proc -o nosuid,nodev,noexec proc ${root}/proc`,
  `mount -t tmpfs -o mode=755 tmpfs ${root}/dev`,
  ...["null", "zero", "urandom"].map((name) => `bind /dev/${name} ${root}/dev/${name}`),
  `mount -o remount,bind,ro ${root}/dev`,
  `mount -t tmpfs -o nosuid,nodev,noexec,size=32m,mode=700,uid=${image.user},gid=${image.user} tmpfs ${root}/data`,
  `mount -o remount,bind,ro ${root}`,
  `ip link set lo up`
]

/** Making one needs root, and a kernel that lets it; the reason why there can be none here. */
export const noContainers = ((): string | undefined => {
  if (process.platform !== "linux") return "no Linux"
  if (process.getuid?.() !== 0) return "not root"
  for (const name of ["setpriv", "unshare", "nsenter", "ldd", "ip"]) {
    if (pathOf(name) === undefined) return `no ${name}`
  }
  if (!canHaveIslands) return "no network namespaces"
  const root = mkdtempSync(join(tmpdir(), "edgeproxy-root-"))
  try {
    const script = [...assemble(root), `exec unshare -R ${root} ${commandLine([...unprivileged, "node", "-e", "0"])}`]
    const args = ["-m", "-n", "-p", "-i", "-u", "--fork", "sh", "-ec", script.join("\n")]
    execFileSync("unshare", args, { env: { PATH: `${PATH}:/usr/sbin:/sbin` }, stdio: "pipe" })
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.trim() : String(error)
  } finally {
    rmSync(root, { recursive: true, force: true })
    rmSync(`${root}.empty`, { force: true })
  }
})()

/** What starts the program in the place of the engine, put there by it as `docker run --init` does. */
export interface Init {
  readonly place: string
  readonly from: string
  /** Before the program. */
  readonly args: ReadonlyArray<string>
}

/** What a command in the container came to. */
export interface Executed {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A running container, its first process being the program. */
export interface Container {
  readonly edge: EdgeProcess
  /** Of its first process, as seen from here. */
  readonly pid: number
  readonly traffic: Endpoint
  /** Where a server of the test listens for it. */
  readonly outside: string
  readonly signal: (signal: NodeJS.Signals) => void
  /** Runs a command in it, as `docker exec` does. */
  readonly exec: (...command: ReadonlyArray<string>) => Executed
  /** The living and dead children of its first process. */
  readonly children: () => ReadonlyArray<string>
  readonly url: string
}

const childrenOf = (pid: number): ReadonlyArray<string> => {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean)
    )
  } catch {
    // It has ended.
    return []
  }
}

type Environment = Readonly<Record<string, string>>

/**
 * Runs a program as an engine runs the image: with namespaces of its own, as first process, as the image's user, without
 * capabilities, on a read-only file system without a shell. It goes with the scope.
 */
const start = Effect.fnUntraced(function* (
  entrypoint: ReadonlyArray<string>,
  env: Environment,
  begun: (edge: EdgeProcess) => Effect.Effect<unknown>,
  init?: Init
): Effect.fn.Return<Container, never, Scope.Scope> {
  const root = `${yield* scratch}/root`
  const { address, outside, through } = yield* island
  const entries = Object.entries({ PATH, ...image.env, ...env })
  const environment = ["env", "-i", ...entries.map(([name, value]) => `${name}=${value}`)]
  const started = init === undefined ? entrypoint : [init.place, ...init.args, ...entrypoint]
  const enter = ["unshare", "-R", root, "-w", image.workdir, ...unprivileged, ...started]
  const script = [
    `mkdir ${root}`,
    ...assemble(root, init === undefined ? [] : [[init.from, init.place]]),
    `exec ${commandLine([...environment, ...enter])}`
  ].join("\n")
  const namespaces = ["unshare", "-m", "-p", "-i", "-u", "--fork"]
  // What is started is in the script, and nothing follows it.
  const edge = yield* spawnEdge({ through: [...through, ...namespaces, "sh", "-ec", script], bundle: "" })
  // unshare's own `--kill-child` is forgotten by a process that becomes another user's.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => childrenOf(edge.pid).forEach((child) => process.kill(Number(child), "SIGKILL")))
  )
  yield* begun(edge)
  const pid = yield* eventually("the first process", () => Number(childrenOf(edge.pid)[0]) || undefined)
  return {
    edge,
    pid,
    traffic: { address, port: 8080 },
    outside,
    url: `http://${address}:8081`,
    signal: (signal) => void process.kill(pid, signal),
    exec: (...command) => {
      const entered = ["nsenter", "-t", String(pid), "-m", "-n", "-p", "-i", "-u", "-r", "-w"]
      const [program = "", ...args] = [...environment, ...entered, ...unprivileged, ...command]
      const { status: code, stderr, stdout } = spawnSync(program, args, { encoding: "utf8", timeout: 20_000 })
      return { code, stdout, stderr }
    },
    children: () => childrenOf(pid)
  }
})

/** The proxy, when it has begun. `EDGEPROXY_` is left out of the names. */
export const container = (env: Environment = {}, init?: Init) => {
  const settings = Object.entries(env).map(([name, value]) => [`EDGEPROXY_${name}`, value])
  const all = { EDGEPROXY_LOG_FORMAT: "json", ...Object.fromEntries(settings) }
  return start(image.entrypoint, all, (edge) => edge.log("API endpoint"), init)
}

/** The mock backend, when it listens. */
export const mockBackend = (env: Environment) =>
  // The first line that it prints says so.
  start(image.mockBackend, { PORT: "8080", ...env }, (edge) => edge.entryCount(1))
