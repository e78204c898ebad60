import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import * as net from "node:net"
import { join } from "node:path"
import * as tls from "node:tls"
import { parse } from "../../src/domain/ProxyProtocol.ts"
import type { KeyPair } from "../../src/tls/ServerTls.ts"
import { authority, certificate } from "../support/certificates.ts"
import { scratch } from "../support/EdgeProcess.ts"
import { nameServer } from "../support/nameServer.ts"
import { rowOf } from "../support/routingDb.ts"
import { connect, echo, greet, type Peer, serve, Wire } from "../support/tcp.ts"
import { pathOf } from "../support/tools.ts"
import { ca, certificates, connectTls, write, writePair } from "./secure.ts"
import { greeted, startWith, why } from "./setup.ts"

const run = (program: string, args: ReadonlyArray<string>, input = "") =>
  Effect.callback<string>((resume) => {
    const child = execFile(program, [...args], { timeout: 15_000 }, (error, stdout, stderr) =>
      resume(Effect.succeed(`${stdout}${error === null ? "" : `\nfailed: ${error.message}\n${stderr}`}`))
    )
    child.stdin?.end(input)
  })

describe("a TLS listener", () => {
  for (const transport of ["node", "auto"]) {
    it.live(
      `serves beside the plain one, half-closes both ways, and logs the server name (transport ${transport})`,
      () =>
        Effect.gen(function* () {
          const server = yield* serve({ onPeer: greet("a") })
          const { env } = yield* certificates
          const edge = yield* startWith([rowOf("a", server)], { ...env, TRANSPORT: transport })
          const [plain, secure] = edge.addresses
          assert.isDefined(plain)
          assert.isDefined(secure)
          assert.strictEqual((yield* Effect.scoped(greeted(plain))).name, "a")
          const client = yield* connectTls(secure)
          yield* client.awaitText("a\n")
          yield* client.send("question")
          // close_notify, which the backend hears of as FIN; its echo comes all the same, and its FIN as close_notify.
          yield* client.finish
          yield* client.awaitFin
          assert.strictEqual(client.text(), "a\nquestion")
          const entry = yield* edge.entry(({ sni }) => sni === "main.example")
          assert.deepStrictEqual([why(entry), entry.bytes_in, entry.bytes_out], ["client relay fin", 8, 10])
          assert.deepInclude(yield* edge.stop, { code: 0 })
        })
    )
  }

  it.live("a client that ends without close_notify was cut: its backend is reset, and the log says so", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const { env } = yield* certificates
      const edge = yield* startWith([rowOf("a", server)], env)
      const client = yield* connectTls(edge.addresses[1] ?? edge.address)
      yield* client.awaitText("a\n")
      yield* client.send("half of a qu")
      yield* client.awaitText("half of a qu")
      const below = yield* server.peer(0)
      // TCP's FIN alone, from below.
      const { _parent: socket } = client.tls as unknown as { readonly _parent: net.Socket }
      socket.end()
      assert.strictEqual(yield* below.awaitClosed, "ECONNRESET")
      assert.strictEqual(why(yield* edge.entry(() => true)), "client relay truncated")
    })
  )

  it.live("a certificate that is replaced is shown to the next client; who is connected does not notice", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const { directory, env } = yield* certificates
      const edge = yield* startWith([rowOf("a", server)], env)
      const secure = edge.addresses[1] ?? edge.address
      const before = yield* connectTls(secure)
      const fingerprint = ({ tls }: { readonly tls: tls.TLSSocket }) => tls.getPeerX509Certificate()?.fingerprint256
      yield* writePair(directory, "main", certificate(ca, ["main.example"]))
      yield* edge.log("certificates in force")
      const after = yield* connectTls(secure)
      assert.notStrictEqual(fingerprint(after), fingerprint(before))
      yield* write(join(directory, "main.crt"), "half of")
      yield* edge.log("a certificate can't be used and is left aside")
      assert.strictEqual(fingerprint(yield* connectTls(secure)), fingerprint(after))
      yield* before.send("still here")
      yield* before.awaitText("still here")
    })
  )

  it.live("tells backends of the client's TLS: its protocol, version and whose certificate was verified", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: ({ socket }) => void socket.once("data", () => void socket.write("a\n")) })
      const { authorities, env } = yield* certificates
      const edge = yield* startWith([rowOf("a", server)], {
        ...env,
        TLS_ALPN: "h2,http/1.1",
        TLS_CLIENT_CA: authorities,
        PROXY_PROTOCOL_OUT: "v2"
      })
      const own = certificate(ca, ["client.example"], { name: "client 1" })
      const options = { cert: own.chain, key: own.key, ALPNProtocols: ["http/1.1"] }
      const client = yield* connectTls(edge.addresses[1] ?? edge.address, options)
      yield* client.awaitText("a\n")
      const parsed = parse(Buffer.from((yield* server.peer(0)).text(), "latin1"))
      assert(parsed._tag === "Header")
      const values = new Map(parsed.header.tlvs.map(({ type, value }) => [type, Buffer.from(value).toString("latin1")]))
      assert.strictEqual(values.get(1), "http/1.1")
      assert.strictEqual(values.get(2), "main.example")
      assert.strictEqual(values.get(0x20), "\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x08client 1")
    })
  )

  it.live("a name that is nobody's is refused by TLS's own alert", () =>
    Effect.gen(function* () {
      const { env } = yield* certificates
      const edge = yield* startWith([], { ...env, TLS_UNKNOWN_SNI: "refuse" })
      const error = yield* Effect.flip(connectTls(edge.addresses[1] ?? edge.address, { servername: "nobody.example" }))
      assert.strictEqual(error.code, "ERR_SSL_TLSV1_UNRECOGNIZED_NAME")
      assert.strictEqual(why(yield* edge.entry(() => true)), "proxy pre-route unknown-name")
    })
  )

  it.live("plain HTTP and garbage are told as what they are, and cost a line each", () =>
    Effect.gen(function* () {
      const { env } = yield* certificates
      const edge = yield* startWith([], env)
      for (const text of ["GET / HTTP/1.1\r\n\r\n", "\0\0\0\0\0\0"]) {
        const peer = yield* connect(edge.addresses[1] ?? edge.address)
        yield* peer.send(text)
        yield* peer.awaitClosed
      }
      const entries = yield* edge.entryCount(2)
      assert.deepStrictEqual(entries.map(why), ["proxy pre-route bad-hello", "proxy pre-route bad-hello"])
    })
  )

  it.live("curl, openssl and redis-cli get through, as far as they are here", () =>
    Effect.gen(function* () {
      const { directory, env } = yield* certificates
      const answer = (peer: Peer) =>
        peer.socket.on("data", (chunk) => {
          const text = chunk.toString("latin1")
          if (text.startsWith("GET")) {
            peer.socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
          } else if (text.includes("PING")) peer.socket.write("+PONG\r\n")
          else peer.socket.write("-ERR unknown\r\n")
        })
      const server = yield* serve({ onPeer: answer })
      const edge = yield* startWith([rowOf("a", server)], { ...env, TLS_ALPN: "http/1.1" })
      const { port = 0 } = edge.addresses[1] ?? {}
      const authorities = join(directory, "ca.pem")
      if (pathOf("curl") !== undefined) {
        const to = ["--cacert", authorities, "--resolve", `main.example:${port}:127.0.0.1`]
        assert.strictEqual(yield* run("curl", ["-sS", "-m", "10", ...to, `https://main.example:${port}/`]), "hello")
      }
      if (pathOf("openssl") !== undefined) {
        for (const version of ["-tls1_2", "-tls1_3"]) {
          const session = join(directory, `session${version}`)
          const ask = (...more: ReadonlyArray<string>) => {
            const to = ["-connect", `127.0.0.1:${port}`, "-servername", "main.example", "-CAfile", authorities]
            return run("openssl", ["s_client", version, ...to, ...more], "GET / HTTP/1.1\r\n\r\n")
          }
          const first = yield* ask("-sess_out", session, "-alpn", "http/1.1", "-ign_eof")
          assert.match(first, /Verify return code: 0/)
          assert.match(first, /ALPN protocol: http\/1.1/)
          assert.match(yield* ask("-sess_in", session, "-ign_eof"), /Reused/)
        }
      }
      if (pathOf("redis-cli") !== undefined) {
        const args = [
          "--tls",
          "--cacert",
          authorities,
          "--sni",
          "main.example",
          "-h",
          "127.0.0.1",
          "-p",
          `${port}`,
          "PING"
        ]
        assert.match(yield* run("redis-cli", args), /^PONG/)
      }
    })
  )
})

describe("TLS to backends", () => {
  const backend = certificate(ca, ["127.0.0.1"])
  const elsewhere = authority("somebody else")
  const stranger = certificate(elsewhere, ["127.0.0.1"])
  const speaking = (pair: KeyPair) =>
    Effect.provideService(serve({ onPeer: greet("a") }), Wire, { backend: { cert: pair.chain, key: pair.key } })

  it.live("verified: the right one serves clients of the plain listener, another one is a failed dial", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const authorities = join(directory, "ca.pem")
      yield* write(authorities, ca.chain)
      const env = { BACKEND_TLS: "verify", BACKEND_TLS_CA: authorities }
      const good = yield* startWith([rowOf("a", yield* speaking(backend))], env)
      assert.strictEqual((yield* greeted(good.address)).name, "a")
      const bad = yield* startWith([rowOf("a", yield* speaking(stranger))], env)
      const peer = yield* connect(bad.address)
      yield* peer.awaitClosed
      assert.strictEqual(why(yield* bad.entry(() => true)), "backend dial tls")
      const told = yield* bad.log("no TLS with a backend")
      assert.deepInclude(told, { level: "warn", backend: "a", reason: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" })
      yield* (yield* connect(bad.address)).awaitClosed
      yield* bad.entryCount(2)
      assert.lengthOf(
        bad.logs.filter(({ message }) => message === "no TLS with a backend"),
        1
      )
      const clear = yield* startWith([rowOf("a", yield* serve({ onPeer: greet("no TLS at all") }))], env)
      const lost = yield* connect(clear.address)
      yield* lost.awaitClosed
      assert.strictEqual(why(yield* clear.entry(() => true)), "backend dial tls")
    })
  )

  it.live("verified against the system's authorities when none is named, by traffic and checks alike", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const authorities = join(directory, "system.pem")
      yield* write(authorities, ca.chain)
      const env = { BACKEND_TLS: "verify", HEALTH_CHECK_ENABLED: "true", HEALTH_CHECK_INTERVAL_SECS: "0.1" }
      const rows = [rowOf("a", yield* speaking(backend)), rowOf("b", yield* speaking(stranger))]
      // OpenSSL's names for where a system has them (SSL_CTX_load_verify_locations(3)).
      const system = ["env", `SSL_CERT_FILE=${authorities}`, `SSL_CERT_DIR=${directory}`]
      const edge = yield* startWith(rows, env, { through: system })
      yield* edge.log((line) => JSON.stringify(line).includes("tls: "))
      for (let visits = 0; visits < 3; visits++) assert.strictEqual((yield* greeted(edge.address)).name, "a")
    })
  )

  it.live("a backend that is named by its host is asked for, and verified, by that name", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const authorities = join(directory, "ca.pem")
      yield* write(authorities, ca.chain)
      const names = yield* nameServer
      names.names.set("db.example", { a: ["127.0.0.1"], ttl: 60 })
      names.names.set("other.example", { a: ["127.0.0.1"], ttl: 60 })
      const { endpoint } = yield* speaking(certificate(ca, ["db.example"]))
      const row = (name: string) => ({
        id: name,
        app: "test",
        region: "sa",
        wg_ip: `${name}.example`,
        port: endpoint.port
      })
      const env = {
        BACKEND_TLS: "verify",
        BACKEND_TLS_CA: authorities,
        BINDING_TTL_SECS: "0",
        CONNECT_ATTEMPTS: "2",
        DNS_RESOLVERS: names.address,
        HEALTH_CHECK_ENABLED: "true",
        HEALTH_CHECK_INTERVAL_SECS: "0.1",
        HEALTH_UNHEALTHY_THRESHOLD: "1"
      }
      const edge = yield* startWith([row("db"), row("other")], env)
      const down = yield* edge.log((line) => JSON.stringify(line).includes("tls: "))
      assert.include(JSON.stringify(down), "other#127.0.0.1")
      for (let visits = 0; visits < 3; visits++) assert.strictEqual((yield* greeted(edge.address)).name, "a")
      assert.lengthOf(
        edge.logs.filter(
          (line) => JSON.stringify(line).includes("db#127.0.0.1") && JSON.stringify(line).includes("tls: ")
        ),
        0
      )
    })
  )

  it.live("files that change are in force for the next dial and check; what can't be used is left aside", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const authorities = join(directory, "ca.pem")
      yield* write(authorities, ca.chain)
      yield* writePair(directory, "own", certificate(ca, ["proxy"], { name: "first" }))
      const server = yield* Effect.provideService(serve({ onPeer: greet("a") }), Wire, {
        backend: { cert: stranger.chain, key: stranger.key, requestCert: true, rejectUnauthorized: false }
      })
      const env = {
        BACKEND_TLS: "verify",
        BACKEND_TLS_CA: authorities,
        BACKEND_TLS_CERT: join(directory, "own.crt"),
        BACKEND_TLS_KEY: join(directory, "own.key"),
        TLS_RELOAD_SECS: "0.1"
      }
      const edge = yield* startWith([rowOf("a", server)], env)
      yield* (yield* connect(edge.address)).awaitClosed
      assert.strictEqual(why(yield* edge.entry(() => true)), "backend dial tls")
      yield* write(authorities, "none")
      yield* edge.log("a file for TLS to backends can't be used; what was in force stays")
      yield* writePair(directory, "own", certificate(ca, ["proxy"], { name: "second" }))
      yield* write(authorities, elsewhere.chain)
      yield* edge.log("new files in force for TLS to backends")
      const { name, peer } = yield* greeted(edge.address)
      assert.strictEqual(name, "a")
      const shown = (yield* server.peer(0)).socket as tls.TLSSocket
      assert.strictEqual(shown.getPeerX509Certificate()?.subject, "CN=second")
      yield* peer.send("still")
      yield* peer.awaitText("still")
    })
  )

  it.live("the PROXY header goes ahead of it in clear", () =>
    Effect.gen(function* () {
      const headers: Array<string> = []
      const server = yield* Effect.acquireRelease(
        Effect.callback<net.Server>((resume) => {
          const listening = net.createServer((socket) => {
            socket.once("readable", () => {
              const first: Buffer = socket.read() ?? Buffer.alloc(0)
              const end = first.indexOf("\r\n") + 2
              headers.push(first.toString("latin1", 0, end))
              if (first.length > end) socket.unshift(first.subarray(end))
              const secured = new tls.TLSSocket(socket, { isServer: true, cert: backend.chain, key: backend.key })
              secured.on("error", () => undefined)
              secured.write("a\n")
            })
          })
          listening.listen(0, "127.0.0.1", () => resume(Effect.succeed(listening)))
        }),
        (listening) => Effect.sync(() => listening.close())
      )
      const { address, port } = server.address() as net.AddressInfo
      const row = rowOf("a", { endpoint: { address, port } } as never)
      const edge = yield* startWith([row], { BACKEND_TLS: "on", PROXY_PROTOCOL_OUT: "v1" })
      assert.strictEqual((yield* greeted(edge.address)).name, "a")
      assert.match(headers[0] ?? "", /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\n$/)
    })
  )

  it.live("health checks speak it too", () =>
    Effect.gen(function* () {
      const server = yield* speaking(stranger)
      const directory = yield* scratch
      const authorities = join(directory, "ca.pem")
      yield* write(authorities, ca.chain)
      const checks = {
        HEALTH_CHECK_ENABLED: "true",
        HEALTH_CHECK_INTERVAL_SECS: "0.1",
        HEALTH_UNHEALTHY_THRESHOLD: "1"
      }
      const env = { ...checks, BACKEND_TLS: "verify", BACKEND_TLS_CA: authorities }
      const edge = yield* startWith([rowOf("a", server)], env)
      yield* edge.log((line) => JSON.stringify(line).includes("tls: "))
    })
  )
})
