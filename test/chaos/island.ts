import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn, spawnSync } from "node:child_process"
import { readlinkSync } from "node:fs"
import { eventually } from "../support/Watch.ts"

/** A network namespace at the other end of a cable: what is there can be lost without anybody being told. */
export interface Island {
  /** What runs a command there, to be put before it. */
  readonly through: ReadonlyArray<string>
  /** Where a program there listens. */
  readonly address: string
  /** Where a program at this end listens for those there. */
  readonly outside: string
  /** Packets to it are lost, this share of them; 1 is a partition, 0 heals it. */
  readonly lose: (share: number) => Effect.Effect<void>
}

const shell = (script: string): void => {
  const { status, stderr } = spawnSync("sh", ["-ec", script], { encoding: "utf8" })
  if (status !== 0) throw new Error(`${script}: ${stderr}`)
}

/** Needs root, and a kernel that lets it. */
export const canHaveIslands = ((): boolean => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false
  const name = `chp${process.pid}`
  try {
    shell(`ip link add ${name} type veth peer name ${name}x; ip link del ${name}
      unshare -n iptables -A INPUT -m statistic --mode random --probability 0.5 -j DROP; command -v nsenter`)
    return true
  } catch {
    return false
  }
})()

const networkOf = (pid: number | "self"): string | undefined => {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return undefined
  }
}

/** It goes under with the scope. */
export const island: Effect.Effect<Island, never, Scope.Scope> = Effect.gen(function* () {
  const holder = yield* Effect.acquireRelease(
    Effect.sync(() => spawn("sh", ["-c", "exec unshare -n sleep 600"], { stdio: "ignore" })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const pid = holder.pid ?? 0
  yield* eventually("a network namespace", () => {
    const network = networkOf(pid)
    return network !== undefined && network !== networkOf("self")
  })
  const cable = `ch${pid}`
  // A network for each process id that may be in use at the same time.
  const network = `10.254.${pid % 256}`
  const there = `nsenter -t ${pid} -n`
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      shell(`ip link add ${cable} type veth peer name ${cable}x netns ${pid}
        ip addr add ${network}.1/30 dev ${cable}; ip link set ${cable} up
        ${there} ip addr add ${network}.2/30 dev ${cable}x; ${there} ip link set ${cable}x up`)
    ),
    () => Effect.sync(() => void spawnSync("sh", ["-c", `ip link del ${cable}`]))
  )
  return {
    through: there.split(" "),
    address: `${network}.2`,
    outside: `${network}.1`,
    lose: (share) =>
      Effect.sync(() => {
        shell(`${there} iptables -F INPUT`)
        const some = `-m statistic --mode random --probability ${share}`
        if (share > 0) shell(`${there} iptables -A INPUT ${share < 1 ? some : ""} -j DROP`)
      })
  }
})
