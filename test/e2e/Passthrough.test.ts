import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import * as tls from "node:tls"
import { lacking } from "../bench/packages.ts"
import { seededBytes, sha256 } from "../support/bytes.ts"
import * as clientHello from "../support/clientHello.ts"
import { certificate, type Certificate, haproxy, has, nginx, opensslServer, port, run } from "../support/outsiders.ts"
import { rowOf } from "../support/routingDb.ts"
import { connect, echo, serve } from "../support/tcp.ts"
import { startWith, why } from "./setup.ts"

const engines = process.platform === "linux" ? ["splice", "node"] : ["node"]

const DB = "db.example.com"
const SHOP = "a.shop.example.com"

const passthrough = (more: Readonly<Record<string, string>> = {}) => ({
  TLS_ENABLED: "true",
  TLS_MODE: "passthrough",
  TLS_LISTEN_ADDR: "127.0.0.1:0",
  TLS_SNI_ROUTES: `${DB}=pg,*.shop.example.com=shop`,
  ...more
})

/** A TLS server of Node's that sends back what it gets, told apart by its certificate. */
const tlsEcho = Effect.fnUntraced(function* ({ cert, key }: Certificate) {
  const server = tls.createServer(
    { cert: readFileSync(cert), key: readFileSync(key), allowHalfOpen: true },
    (socket) => {
      socket.on("error", () => undefined)
      socket.pipe(socket)
    }
  )
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () => Effect.sync(() => server.close())
  )
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
})

/** Sends so many bytes through TLS and gives the hash of what comes back, and whose certificate it was. */
const through = (to: number, servername: string, bytes: Uint8Array) =>
  Effect.callback<{ readonly hash: string; readonly name: string }, Error>((resume) => {
    const hash = createHash("sha256")
    const socket = tls.connect({ host: "127.0.0.1", port: to, servername, rejectUnauthorized: false }, () => {
      name = String(socket.getPeerCertificate().subject.CN)
      socket.end(bytes)
    })
    let name = ""
    socket.on("data", (chunk: Buffer) => hash.update(chunk))
    socket.on("error", (error) => resume(Effect.fail(error)))
    socket.on("end", () => resume(Effect.succeed({ hash: hash.digest("hex"), name })))
    return Effect.sync(() => socket.destroy())
  })

const tlsRow = (id: string, app: string, at: number) => ({ id, app, region: "sa", wg_ip: "127.0.0.1", port: at })

const needsOpenssl = !has("openssl")

describe.each(engines)("the %s engine", (TRANSPORT) => {
  it.live.skipIf(needsOpenssl)(
    "leads TLS to the backends of its server name, every byte as it came (needs openssl)",
    () =>
      Effect.gen(function* () {
        const [pg, shop] = [yield* tlsEcho(yield* certificate(DB)), yield* tlsEcho(yield* certificate(SHOP))]
        const rows = [tlsRow("p", "pg", pg), tlsRow("s", "shop", shop)]
        const edge = yield* startWith(rows, passthrough({ TRANSPORT, TLS_UNKNOWN_SNI: "refuse" }))
        const [, secure = edge.address] = edge.addresses
        const bytes = seededBytes(1, 3_000_000)
        const visits = yield* Effect.forEach([DB, SHOP, DB], (name) => through(secure.port, name, bytes), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          visits,
          [DB, SHOP, DB].map((name) => ({ hash: sha256(bytes), name }))
        )
        const entries = yield* edge.entryCount(3)
        assert.sameMembers(
          entries.map(({ app, backend, end_cause, sni }) => `${sni} ${app} ${backend} ${end_cause}`),
          [`${DB} pg p fin`, `${SHOP} shop s fin`, `${DB} pg p fin`]
        )
        for (const name of ["example.com", "shop.example.com"]) {
          assert.match((yield* Effect.flip(through(secure.port, name, bytes))).message, /unrecognized name/)
        }
        const refused = (yield* edge.entryCount(5)).slice(3)
        assert.deepStrictEqual(refused.map(why), Array(2).fill("proxy pre-route unknown-name"))
      })
  )

  it.live(
    "reads a hello however it is cut, and resets who speaks no TLS, or stops; the plain port takes TLS as it is",
    () =>
      Effect.gen(function* () {
        const server = yield* serve({ onPeer: echo })
        const edge = yield* startWith(
          [rowOf("a", server, { app: "pg" })],
          passthrough({ TRANSPORT, PREROUTE_TIMEOUT_MS: "3000" })
        )
        const [plain = edge.address, secure = edge.address] = edge.addresses
        const hello = clientHello.records(
          clientHello.message({ extensions: [clientHello.grease(0), clientHello.serverName("DB.Example.com.")] }),
          20
        )
        for (const [to, size] of [
          [secure, hello.length],
          [secure, 11],
          [plain, hello.length]
        ] as const) {
          const peer = yield* connect(to)
          for (let at = 0; at < hello.length; at += size) yield* peer.send(hello.subarray(at, at + size))
          yield* peer.awaitBytes(hello.length)
          assert.strictEqual(peer.sha256(), sha256(hello))
          yield* peer.reset
        }
        for (const bytes of [
          "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
          "\x80\x2e\x01\x03\x01",
          "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"
        ]) {
          const peer = yield* connect(secure)
          yield* peer.send(Buffer.from(bytes, "latin1"))
          assert.strictEqual(yield* peer.awaitClosed, "ECONNRESET")
        }
        const slow = yield* connect(secure)
        yield* slow.send(hello.subarray(0, 60))
        assert.strictEqual(yield* slow.awaitClosed, "ECONNRESET")
        const entries = yield* edge.entryCount(7)
        assert.deepStrictEqual(entries.slice(3).map(why), [
          ...Array<string>(3).fill("proxy pre-route bad-hello"),
          "proxy pre-route preroute-timeout"
        ])
        assert.strictEqual(server.peers.length, 3)
      })
  )

  it.live("lives through hellos of which any byte is wrong, or that stop anywhere", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const edge = yield* startWith(
        [rowOf("a", server, { app: "pg", hard_limit: 0 })],
        passthrough({ TRANSPORT, PREROUTE_TIMEOUT_MS: "1000" })
      )
      const [, secure = edge.address] = edge.addresses
      const hello = clientHello.hello(DB, "h2")
      const attempts = Array.from(hello, (byte, at) => {
        const wrong = Uint8Array.from(hello)
        wrong[at] = byte ^ (at % 2 === 0 ? 0xff : 1)
        return [wrong, hello.subarray(0, at)]
      }).flat()
      yield* Effect.forEach(
        attempts,
        (bytes) =>
          Effect.gen(function* () {
            const peer = yield* connect(secure)
            yield* Effect.ignore(peer.send(bytes))
            yield* Effect.ignore(peer.finish)
            yield* peer.awaitClosed
          }).pipe(Effect.ignore, Effect.scoped),
        { concurrency: 50, discard: true }
      )
      const peer = yield* connect(secure)
      yield* peer.send(hello)
      yield* peer.awaitBytes(hello.length)
      assert.strictEqual(edge.errorText(), "")
      assert.notInclude(JSON.stringify(edge.logs), "fault")
    })
  )
})

const needsAll = needsOpenssl || !has("curl") || lacking(["nginx"]) !== undefined

it.live.skipIf(needsAll)(
  "curl speaks HTTP/2 with nginx, openssl with its own server (skips without curl, nginx or openssl)",
  () =>
    Effect.gen(function* () {
      const [web, db] = [yield* port, yield* port]
      const [shopCert, dbCert] = [yield* certificate(SHOP), yield* certificate(DB)]
      yield* nginx(
        web,
        `http { server { listen 127.0.0.1:${web} ssl http2; ssl_certificate ${shopCert.cert};
        ssl_certificate_key ${shopCert.key}; ssl_protocols TLSv1.3; return 200 "$server_protocol $ssl_server_name $ssl_protocol"; } }`
      )
      yield* opensslServer(db, dbCert)
      const edge = yield* startWith([tlsRow("s", "shop", web), tlsRow("p", "pg", db)], passthrough())
      const [, secure = edge.address] = edge.addresses
      const resolve = `${SHOP}:${secure.port}:127.0.0.1`
      const got = yield* run("curl", [
        "-s",
        "--http2",
        "--cacert",
        shopCert.cert,
        "--resolve",
        resolve,
        `https://${SHOP}:${secure.port}/`
      ])
      assert.strictEqual(got.out, `HTTP/2.0 ${SHOP} TLSv1.3`)
      for (const version of ["-tls1_2", "-tls1_3"]) {
        const args = ["s_client", "-connect", `127.0.0.1:${secure.port}`, "-servername", DB, "-CAfile", dbCert.cert]
        const said = yield* run(
          "openssl",
          [...args, "-verify_return_error", "-ign_eof", version],
          "GET / HTTP/1.0\r\n\r\n"
        )
        assert.include(said.out, "HTTP/1.0 200 ok")
        assert.include(said.out, "Verify return code: 0 (ok)")
      }
    })
)

const needsBoth = needsAll || !has("haproxy")

it.live.skipIf(needsBoth)("a PROXY header before TLS, in and out, between HAProxy and nginx (skips without them)", () =>
  Effect.gen(function* () {
    const [front, web] = [yield* port, yield* port]
    const cert = yield* certificate(SHOP)
    yield* nginx(
      web,
      `http { server { listen 127.0.0.1:${web} ssl proxy_protocol; ssl_certificate ${cert.cert};
        ssl_certificate_key ${cert.key}; return 200 "$proxy_protocol_addr $ssl_server_name"; } }`
    )
    const edge = yield* startWith(
      [tlsRow("s", "shop", web)],
      passthrough({
        PROXY_PROTOCOL_IN: "required",
        PROXY_PROTOCOL_TRUSTED_CIDRS: "127.0.0.1",
        PROXY_PROTOCOL_OUT: "v1"
      })
    )
    const [, secure = edge.address] = edge.addresses
    yield* haproxy(front, `listen in\nbind 127.0.0.1:${front}\nserver edge 127.0.0.1:${secure.port} send-proxy-v2`)
    const resolve = `${SHOP}:${front}:127.0.0.1`
    const client = "127.1.0.7"
    const got = yield* run("curl", [
      "-s",
      "--interface",
      client,
      "--cacert",
      cert.cert,
      "--resolve",
      resolve,
      `https://${SHOP}:${front}/`
    ])
    assert.strictEqual(got.out, `${client} ${SHOP}`)
    const entry = yield* edge.entry(({ sni }) => sni === SHOP)
    assert.deepStrictEqual([entry.client, entry.country, entry.backend], [client, "BR", "s"])
  })
)
