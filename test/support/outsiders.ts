import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "../bench/freePort.ts"
import { loadStreamModule } from "../bench/packages.ts"
import { scratch } from "./EdgeProcess.ts"
import { connect } from "./tcp.ts"

/** Programs that others have written, as the other end of what is tested. */

export const has = (program: string): boolean =>
  spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined

/** A port of 127.0.0.1 that was free a moment ago. */
export const port: Effect.Effect<number> = Effect.promise(freePort)

/** What a program says, whatever its exit code. */
export const run = (
  program: string,
  args: ReadonlyArray<string>,
  input = ""
): Effect.Effect<{ readonly out: string; readonly err: string; readonly code: number }> =>
  Effect.callback((resume) => {
    const child = execFile(program, args, { timeout: 15_000, encoding: "latin1" }, (error, out, err) => {
      const code = typeof error?.code === "number" ? error.code : error === null ? 0 : -1
      resume(Effect.succeed({ out, err, code }))
    })
    child.stdin?.end(input)
  })

/** It serves once somebody listens at the port, and ends with the scope. */
export const serving = Effect.fnUntraced(function* (program: string, args: ReadonlyArray<string>, at: number) {
  const said: Array<string> = []
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] })
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => said.push(String(text)))
      return child
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  yield* connect({ address: "127.0.0.1", port: at }).pipe(
    Effect.scoped,
    Effect.retry({ times: 1_000, schedule: Schedule.spaced(20) }),
    Effect.timeoutOrElse({
      duration: 15_000,
      orElse: () => Effect.die(new Error(`${program} does not listen: ${said.join("")}`))
    }),
    Effect.orDie
  )
})

/** HAProxy with these proxies (`listen`, `frontend`), in TCP mode; ready when it listens at the port. */
export const haproxy = Effect.fnUntraced(function* (at: number, proxies: string) {
  const directory = yield* scratch
  const path = join(directory, "haproxy.cfg")
  const timeouts = "timeout connect 5s\ntimeout client 20s\ntimeout server 20s"
  writeFileSync(path, `global\nmaxconn 200\ndefaults\nmode tcp\n${timeouts}\n${proxies}\n`)
  yield* serving("haproxy", ["-db", "-f", path], at)
})

/** nginx with these blocks (`stream`, `http`); ready when it listens at the port. */
export const nginx = Effect.fnUntraced(function* (at: number, blocks: string) {
  const directory = yield* scratch
  const path = join(directory, "nginx.conf")
  const places = ["body", "fastcgi", "uwsgi", "scgi", "proxy"].map(
    (name) => `${name === "body" ? "client_body" : name}_temp_path ${directory}/${name};`
  )
  const config = blocks.replace("http {", `http { access_log off; ${places.join(" ")}`)
  writeFileSync(
    path,
    `${loadStreamModule()} daemon off; master_process off; worker_processes 1; pid ${directory}/nginx.pid;
    error_log ${directory}/error.log; events {} ${config}`
  )
  yield* serving("nginx", ["-p", directory, "-e", join(directory, "error.log"), "-c", path], at)
})

/** `openssl s_server`; what it answers to a request tells that it was really there. */
export const opensslServer = Effect.fnUntraced(function* (at: number, { cert, key }: Certificate) {
  yield* serving("openssl", ["s_server", "-accept", `127.0.0.1:${at}`, "-cert", cert, "-key", key, "-www"], at)
})

export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** A self-signed certificate for a name. */
export const certificate = Effect.fnUntraced(function* (
  name: string
): Effect.fn.Return<Certificate, never, Scope.Scope> {
  const directory = yield* scratch
  const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")]
  const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`]
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
  execFileSync("openssl", ["req", "-x509", ...curve, "-keyout", key, "-out", cert, ...subject], { stdio: "ignore" })
  return { cert, key }
})
