import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { edgeproxy } from "../cli/program.ts"
import { scratch } from "../support/EdgeProcess.ts"

export const has = (program: string): boolean =>
  spawnSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" }).status === 0

/** What a program says to its standard output; its end must be good. */
export const output = (command: string, args: ReadonlyArray<string>, input = ""): string => {
  const { status, stderr, stdout } = spawnSync(command, args, { input, encoding: "utf8" })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`)
  return stdout
}

/** A folder with this topology, and the program that works in it. */
export const withTopology = Effect.fnUntraced(function* (toml: string) {
  const cwd = yield* scratch
  const write = (text: string): void => writeFileSync(join(cwd, "mesh.toml"), text)
  write(toml)
  return {
    cwd,
    write,
    at: (...parts: ReadonlyArray<string>) => join(cwd, ...parts),
    wireguard: (...line: ReadonlyArray<string>) => edgeproxy(["wireguard", ...line], { cwd })
  }
})

export const threeHosts = `
topology = "hierarchical"
ipv6 = "fd12:3456:789a::/48"
preshared_keys = true
[[pop]]
name = "pop-sa"
region = "sa"
endpoint = "203.0.113.1"
[[pop]]
name = "pop-eu"
region = "eu"
endpoint = "[2001:db8::1]:51821"
[[backend]]
name = "sa-1"
region = "sa"
`
