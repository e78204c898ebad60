import { spawnSync } from "node:child_process"

/** Where the nodes of docker/compose.yaml have their addresses here. */
export interface Island {
  /** What takes the place of 10.10 in their addresses. */
  readonly prefix: string
  readonly kind: string
}

const INSIDE = "POPS_INSIDE"
/** Set to do without a network namespace. */
const LOOPBACK = "POPS_LOOPBACK"

const runs = (command: string, ...args: ReadonlyArray<string>): boolean =>
  spawnSync(command, args, { stdio: "ignore" }).status === 0

/**
 * In a network namespace of its own, where this is allowed, the nodes have the very addresses of docker/compose.yaml: the
 * program runs itself there and ends with what that one ends with. Elsewhere they are loopback addresses.
 */
export const enterIsland = (addresses: ReadonlyArray<string>): Island => {
  const loopback: Island = { prefix: "127.10", kind: "loopback addresses" }
  if (process.env[INSIDE] === undefined) {
    // Root as it is where that is the user: servers that refuse to run as root change to another one, who must be there.
    const own = process.getuid?.() === 0 ? ["--net"] : ["--map-root-user", "--net"]
    const allowed = process.env[LOOPBACK] === undefined && runs("unshare", ...own, "ip", "link", "show", "lo")
    if (!allowed) return loopback
    const args = [...own, process.execPath, ...process.argv.slice(1)]
    const { status } = spawnSync("unshare", args, { stdio: "inherit", env: { ...process.env, [INSIDE]: "1" } })
    process.exit(status ?? 1)
  }
  const island: Island = { prefix: "10.10", kind: "a network namespace" }
  const all = [
    ["link", "set", "lo", "up"],
    ...addresses.map((address) => ["address", "add", `${island.prefix}${address}/32`, "dev", "lo"])
  ]
  if (!all.every((args) => runs("ip", ...args))) throw new Error("the network namespace can't be set up")
  return island
}
