import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import * as http from "node:http"
import * as http2 from "node:http2"
import type { AddressInfo } from "node:net"
import { userInfo } from "node:os"
import { join } from "node:path"
import type { Duplex } from "node:stream"
import { certificate } from "../support/certificates.ts"
import { scratch } from "../support/EdgeProcess.ts"
import { haproxy, port, run, serving } from "../support/outsiders.ts"
import { postgresAbsent, postgresServer } from "../support/postgres.ts"
import type { Row } from "../support/routingDb.ts"
import { pathOf } from "../support/tools.ts"
import { ca, certificates } from "./secure.ts"
import { startWith } from "./setup.ts"

const rowAt = (at: number): Row => ({ id: "a", app: "test", region: "sa", wg_ip: "127.0.0.1", port: at })

const lacks = (...programs: ReadonlyArray<string>): boolean => programs.some((program) => pathOf(program) === undefined)

const text = "0123456789abcdef".repeat(20_000)

/** Listens on a free port until the scope ends. */
const listening = (server: http.Server | http2.Http2Server) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    }),
    () => Effect.sync(() => server.close())
  )

const start = Effect.fnUntraced(function* (at: number, more: Readonly<Record<string, string>> = {}) {
  const { authorities, env } = yield* certificates
  const edge = yield* startWith([rowAt(at)], { ...env, ...more })
  return { authorities, edge, plain: edge.addresses[0]?.port ?? 0, secure: edge.addresses[1]?.port ?? 0 }
})

/** Answers the upgrade as RFC 6455 has it, then each short text with itself in capitals. */
const upgrade = (request: http.IncomingMessage, socket: Duplex): void => {
  const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
  const accept = createHash("sha1").update(key).digest("base64")
  const lines = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`]
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("\r\n")}\r\n\r\n`)
  socket.on("error", () => undefined)
  socket.on("data", (frame: Buffer) => {
    const length = (frame[1] ?? 0) & 127
    const said = frame.subarray(6, 6 + length).map((byte, index) => byte ^ (frame[2 + (index % 4)] ?? 0))
    const opcode = (frame[0] ?? 0) & 15
    const answer = opcode === 1 ? Buffer.from(Buffer.from(said).toString().toUpperCase()) : Buffer.from(said)
    socket.write(Buffer.concat([Buffer.of(0x80 | opcode, length), answer]))
    if (opcode === 8) socket.end()
  })
}

describe("programs of others through a TLS listener", () => {
  it.live.skipIf(lacks("curl"))("curl speaks HTTP/2 with a backend that speaks it in clear (needs curl)", () =>
    Effect.gen(function* () {
      const server = http2.createServer()
      server.on("stream", (stream: http2.ServerHttp2Stream) => {
        stream.respond({ ":status": 200 })
        stream.pipe(stream)
      })
      const { authorities, secure } = yield* start(yield* listening(server), { TLS_ALPN: "h2,http/1.1" })
      const url = `https://main.example:${secure}/`
      const to = ["--cacert", authorities, "--resolve", `main.example:${secure}:127.0.0.1`]
      const args = ["-sS", "--http2", "-m", "10", ...to, "-w", "HTTP %{http_version}", "--data-binary", "@-", url, url]
      const { err, out } = yield* run("curl", args, text)
      assert.strictEqual(err, "")
      assert.isTrue(out === `${text}HTTP 2`.repeat(2), out.slice(-100))
    })
  )

  it.live("a WebSocket is upgraded, talks and closes", () =>
    Effect.gen(function* () {
      const server = http.createServer((_, response) => void response.end("no upgrade")).on("upgrade", upgrade)
      const { authorities, edge, secure } = yield* start(yield* listening(server), { TLS_ALPN: "http/1.1" })
      const script = `const socket = new WebSocket("wss://localhost:${secure}/")
        socket.onopen = () => socket.send("how loud")
        socket.onmessage = ({ data }) => { console.log(data); socket.close(1000) }
        socket.onerror = ({ message, error }) => console.log(message, error)
        socket.onclose = ({ code, wasClean }) => console.log(code, wasClean)`
      const { out } = yield* run("env", [`NODE_EXTRA_CA_CERTS=${authorities}`, process.execPath, "-e", script])
      assert.strictEqual(out, "HOW LOUD\n1000 true\n")
      assert.strictEqual((yield* edge.entry(() => true)).end_phase, "relay")
    })
  )

  it.live.skipIf(lacks("redis-server", "redis-cli", "redis-benchmark"))(
    "redis-cli and redis-benchmark with redis-server (needs redis-server, redis-tools)",
    () =>
      Effect.gen(function* () {
        const at = yield* port
        const options = ["--port", `${at}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        yield* serving("redis-server", [...options, "--dir", yield* scratch], at)
        const { authorities, secure } = yield* start(at)
        const to = ["-h", "127.0.0.1", "-p", `${secure}`, "--tls", "--cacert", authorities, "--sni", "main.example"]
        assert.strictEqual((yield* run("redis-cli", [...to, "-x", "SET", "key"], text)).out, "OK\n")
        assert.isTrue((yield* run("redis-cli", [...to, "GET", "key"])).out === `${text}\n`)
        const { err, out } = yield* run("redis-benchmark", [...to, "-q", "-c", "10", "-n", "2000", "-t", "set,get"])
        assert.match(out, /SET: .* requests per second[^]*GET: .* requests per second/)
        assert.strictEqual(err, "")
      })
  )

  const pgSkipped = postgresAbsent !== undefined || lacks("psql", "pgbench")

  it.live.skipIf(pgSkipped || lacks("haproxy"))(
    "psql and pgbench as TLS from the first byte, ended here (needs psql, pgbench, haproxy)",
    () =>
      Effect.gen(function* () {
        const server = yield* postgresServer()
        const { authorities, secure } = yield* start(server.port, { TLS_ALPN: "postgresql" })
        // HAProxy speaks the direct TLS of PostgreSQL 17, which an older psql does not.
        const front = yield* port
        const verify = `ssl verify required ca-file ${authorities} sni str(main.example) alpn postgresql`
        yield* haproxy(front, `listen pg\nbind 127.0.0.1:${front}\nserver edge 127.0.0.1:${secure} ${verify}`)
        yield* benched(server.url("postgres"), server.port, front)
        const major = Number(/(\d+)/.exec((yield* run("psql", ["--version"])).out)?.[1])
        if (major < 17) return
        const direct = `sslmode=verify-full&sslnegotiation=direct&sslrootcert=${authorities}`
        const url = server.url("postgres").replace(`:${server.port}/`, `:${secure}/`)
        assert.strictEqual((yield* run("psql", ["-XAtc", "SELECT 6 * 7", `${url}?${direct}`])).out, "42\n")
      }),
    60_000
  )

  it.live.skipIf(pgSkipped)(
    "psql and pgbench that turn to TLS with their server pass the TCP listener (needs psql, pgbench)",
    () =>
      Effect.gen(function* () {
        const pair = certificate(ca, ["127.0.0.1"])
        const server = yield* postgresServer({
          settings: ["ssl = on"],
          prepare: (directory) => {
            const { gid, uid } = statSync(directory)
            for (const [name, content] of Object.entries({ "server.crt": pair.chain, "server.key": pair.key })) {
              writeFileSync(join(directory, name), content)
              chmodSync(join(directory, name), 0o600)
              chownSync(join(directory, name), uid, gid)
            }
          }
        })
        const { authorities, plain } = yield* start(server.port)
        const parameters = `?sslmode=verify-full&channel_binding=require&sslrootcert=${authorities}`
        yield* benched(server.url("postgres"), server.port, plain, parameters)
        const url = server.url("postgres").replace(`:${server.port}/`, `:${plain}/`) + parameters
        const asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert.strictEqual((yield* run("psql", ["-XAtc", asked, url])).out, "t\n")
      }),
    60_000
  )
})

/** A second of transactions of four clients, and a result of some size. */
const benched = Effect.fnUntraced(function* (url: string, from: number, to: number, parameters = "") {
  const through = url.replace(`:${from}/`, `:${to}/`) + parameters
  const { err, out } = yield* run("psql", ["-XAtc", "SELECT repeat('0123456789abcdef', 20000)", through])
  assert.strictEqual(err, "")
  assert.isTrue(out === `${text}\n`)
  const begun = yield* run("pgbench", ["-i", "-q", through])
  assert.strictEqual(begun.code, 0, begun.err)
  const bench = yield* run("pgbench", ["-n", "-c", "4", "-T", "3", through])
  assert.strictEqual(bench.code, 0, bench.err)
  assert.match(bench.out, /number of failed transactions: 0 /)
})

describe("programs of others through a TCP listener", () => {
  const isRoot = process.getuid?.() === 0
  it.live.skipIf(lacks("ssh", "sshd", "ssh-keygen"))(
    "ssh runs a command, with bytes both ways (needs openssh-client, openssh-server)",
    () =>
      Effect.gen(function* () {
        const directory = yield* scratch
        const [host, own] = [join(directory, "host"), join(directory, "own")]
        for (const key of [host, own]) yield* run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key])
        // As its own unit does.
        if (isRoot) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 })
        const at = yield* port
        const config = join(directory, "sshd_config")
        writeFileSync(
          config,
          `Port ${at}\nListenAddress 127.0.0.1\nHostKey ${host}\nPidFile none\nAuthorizedKeysFile ${own}.pub
          StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n`
        )
        yield* serving(pathOf("sshd") ?? "sshd", ["-D", "-e", "-f", config], at)
        const edge = yield* startWith([rowAt(at)])
        const known = join(directory, "known_hosts")
        writeFileSync(known, `[127.0.0.1]:${edge.address.port} ${readFileSync(`${host}.pub`, "utf8")}`)
        const user = userInfo().username
        const options = ["-F", "none", "-o", `UserKnownHostsFile=${known}`, "-o", "BatchMode=yes", "-i", own]
        const to = ["-p", `${edge.address.port}`, `${user}@127.0.0.1`]
        const { code, err, out } = yield* run("ssh", [...options, ...to, "cat; exit 7"], text)
        assert.strictEqual(code, 7, err)
        assert.isTrue(out === text, err)
      })
  )
})
