import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import * as net from "node:net"
import { join } from "node:path"
import * as tls from "node:tls"
import { probe } from "../../layers/corrosion/probe.ts"
import { tempDirectory } from "../support/tempDirectory.ts"
import { fake, follow, optionsFor, put, write } from "./rig.ts"

/** A certificate of its own for `localhost`. */
const certify = (directory: string): { readonly key: string; readonly cert: string } => {
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")]
  const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
  const args = [...request.split(" "), "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert]
  execFileSync("openssl", args, { stdio: "ignore" })
  return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") }
}

/** Speaks TLS in front of a port, as what a proxy in front of an agent does; its port. */
const terminate = (port: number, pair: tls.TlsOptions) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<{ readonly server: tls.Server; readonly sockets: Set<net.Socket> }>((resume) => {
        const sockets = new Set<net.Socket>()
        const server = tls.createServer(pair, (client) => {
          const agent = net.connect(port, "127.0.0.1")
          for (const socket of [client, agent]) sockets.add(socket)
          client.on("error", () => agent.destroy()).on("close", () => agent.destroy())
          agent.on("error", () => client.destroy()).on("close", () => client.destroy())
          client.pipe(agent).pipe(client)
        })
        server.on("tlsClientError", () => undefined)
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, sockets })))
      }),
      ({ server, sockets }) =>
        Effect.sync(() => {
          server.close()
          for (const socket of sockets) socket.destroy()
        })
    ),
    ({ server }) => {
      const address = server.address()
      return typeof address === "object" && address !== null ? address.port : 0
    }
  )

describe("an agent behind TLS", () => {
  it.live("is followed when its certificate is trusted, and not before", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      yield* write(agent, put("a"))
      const pair = certify(yield* tempDirectory)
      const url = `https://localhost:${yield* terminate(agent.port, pair)}`
      const { detail, reason } = yield* Effect.flip(probe(optionsFor({ url })))
      assert.deepStrictEqual([reason, detail], ["unreachable", "DEPTH_ZERO_SELF_SIGNED_CERT"])
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const before = tls.getCACertificates("default")
          tls.setDefaultCACertificates([...before, pair.cert])
          return before
        }),
        (before) => Effect.sync(() => tls.setDefaultCACertificates(before))
      )
      const followed = yield* follow(optionsFor({ url }))
      yield* followed.untilRows("a 1")
      yield* write(agent, put("a", 2))
      yield* followed.untilRows("a 2")
      const { detail: name } = yield* Effect.flip(probe(optionsFor({ url: url.replace("localhost", "127.0.0.1") })))
      assert.strictEqual(name, "ERR_TLS_CERT_ALTNAME_INVALID")
    })
  )
})
