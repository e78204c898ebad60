import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { eventually } from "./Watch.ts"

/** A machine of its own, as far as network, processes and `/run` go. */
export interface Machine {
  readonly name: string
  /** What runs a command there, to be put before it. */
  readonly through: ReadonlyArray<string>
  /** Runs a command there to its end, which must be good; gives its output. */
  readonly run: (command: string) => string
  /** Runs a command there until it can; it may fail meanwhile. */
  readonly retry: (command: string) => Effect.Effect<string>
  /** Runs it beside the test; it ends with the machine. */
  readonly start: (command: string, args: ReadonlyArray<string>, env?: NodeJS.ProcessEnv) => ChildProcess
  /** Lays a cable to another machine; addresses with their prefixes. Gives the names of its ends. */
  readonly connect: (other: Machine, address: string, otherAddress: string) => readonly [own: string, others: string]
}

const shell = (through: ReadonlyArray<string>, script: string): string => {
  const [command = "sh", ...args] = [...through, "sh", "-ec", script]
  const { status, stderr, stdout } = spawnSync(command, args, { encoding: "utf8", timeout: 30_000 })
  if (status !== 0) throw new Error(`${script}: ${stderr}${stdout}`)
  return stdout
}

/** Needs root, and a kernel that lets it. */
export const canHaveMachines = ((): boolean => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false
  const name = `mch${process.pid}`
  try {
    shell([], `command -v nsenter; unshare -n -m -p --fork --kill-child --mount-proc mount -t tmpfs tmpfs /run`)
    shell([], `ip link add ${name} type veth peer name ${name}x; ip link del ${name}`)
    return true
  } catch {
    return false
  }
})()

const childOf = (pid: number): number | undefined => {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")
    return child === undefined || child === "" ? undefined : Number(child)
  } catch {
    return undefined
  }
}

let cables = 0

/** It and all that runs there goes with the scope. */
export const machine = Effect.fnUntraced(function* (name: string): Effect.fn.Return<Machine, never, Scope.Scope> {
  const inside = "mount -t tmpfs tmpfs /run && ip link set lo up && exec sleep 3600"
  const script = `exec unshare -n -m -p --fork --kill-child --mount-proc sh -c '${inside}'`
  const holder = yield* Effect.acquireRelease(
    Effect.sync(() => spawn("sh", ["-c", script], { stdio: "ignore" })),
    (child) =>
      Effect.callback<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGKILL")
      })
  )
  const pid = yield* eventually(`machine ${name}`, () => {
    const child = childOf(holder.pid ?? 0)
    // Only `sleep` stands when its network and its /run are there.
    return child !== undefined && readFileSync(`/proc/${child}/comm`, "utf8").trim() === "sleep" && child
  })
  const through = ["nsenter", "-t", String(pid), "-n", "-m", "-p"]
  return {
    name,
    through,
    run: (command) => shell(through, command),
    retry: (command) =>
      eventually(`success of ${command} at ${name}`, () => {
        const [program = "", ...args] = [...through, "sh", "-ec", command]
        const { status, stdout } = spawnSync(program, args, { encoding: "utf8", timeout: 10_000 })
        return status === 0 ? { stdout } : undefined
      }).pipe(Effect.map(({ stdout }) => stdout)),
    start: (command, args, env = process.env) => {
      const [program = "", ...before] = through
      return spawn(program, [...before, command, ...args], { env, stdio: "ignore" })
    },
    connect: (other, address, otherAddress) => {
      const cable = `c${process.pid}x${cables++}`
      const otherPid = other.through[2] ?? ""
      shell([], `ip link add ${cable}a netns ${pid} type veth peer name ${cable}b netns ${otherPid}`)
      shell(through, `ip addr add ${address} dev ${cable}a; ip link set ${cable}a up`)
      shell(other.through, `ip addr add ${otherAddress} dev ${cable}b; ip link set ${cable}b up`)
      return [`${cable}a`, `${cable}b`]
    }
  }
})
