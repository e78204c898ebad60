import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { bundle } from "../support/EdgeProcess.ts"

const node = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Runs the shipped program with these arguments to its end. `EDGEPROXY_` may be left out of the names. */
export const edgeproxy = (
  line: ReadonlyArray<string>,
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd: string; readonly input?: string }
): Effect.Effect<Ended> =>
  Effect.callback((resume) => {
    const clean = Object.entries(process.env).filter(([name]) => !/^(EDGEPROXY_|DEBUG$|NODE_|VITEST)/.test(name))
    const given = Object.entries(options.env ?? {}).map(([name, value]) => [`EDGEPROXY_${name}`, value])
    const env = { ...Object.fromEntries(clean), ...Object.fromEntries(given) }
    const child = spawn(node, [bundle, ...line], { cwd: options.cwd, env, stdio: ["pipe", "pipe", "pipe"] })
    // It may have ended without reading it.
    child.stdin.on("error", () => undefined).end(options.input)
    let out = ""
    let err = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text))
    child.once("close", (code) => resume(Effect.succeed({ code, out, err })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })
