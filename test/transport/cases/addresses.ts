import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { networkInterfaces } from "node:os"
import type { Endpoint } from "../../../src/traffic/Transport.ts"
import { exchange } from "../../support/dialog.ts"
import { connect, echo, serve } from "../../support/tcp.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const skip = !Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"))

/** Bytes go both ways between a client at `from` and a backend that listens at `host` and is dialled as `dialled`. */
const carries = Effect.fnUntraced(function* (
  rig: Rig.Rig,
  to: string,
  host: string,
  dialled: (port: number) => Endpoint
) {
  const server = yield* serve({ host })
  const client = yield* rig.client({ to })
  yield* rig.bridge(client.id, dialled(server.endpoint.port))
  const backend = yield* server.peer(0)
  yield* exchange(
    client.peer,
    backend,
    { seed: 1, size: 300_000, chunk: 10_000 },
    { seed: 2, size: 200_000, chunk: 9_999 }
  )
  assert.strictEqual((yield* rig.end(client.id)).cause, "fin")
  return client.accepted.remote
})

const at = (address: string) => (port: number) => ({ address, port })

export const cases: ReadonlyArray<Case> = [
  {
    name: "of IPv4 clients and IPv6 backends, and the other way round",
    skip,
    run: Effect.gen(function* () {
      const four = yield* Rig.make()
      const six = yield* Rig.make({ host: "::1" })
      assert.strictEqual(six.listener.address.address, "::1")
      assert.strictEqual((yield* carries(four, "127.0.0.1", "::1", at("::1"))).address, "127.0.0.1")
      assert.strictEqual((yield* carries(six, "::1", "127.0.0.1", at("127.0.0.1"))).address, "::1")
      assert.strictEqual((yield* carries(six, "::1", "::1", at("::1"))).address, "::1")
    })
  },
  {
    name: "of both kinds at one IPv6 wildcard: IPv4 clients come as IPv4-mapped",
    skip,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make({ host: "::" })
      assert.strictEqual(rig.listener.address.address, "::")
      assert.strictEqual((yield* carries(rig, "::1", "127.0.0.1", at("127.0.0.1"))).address, "::1")
      assert.strictEqual((yield* carries(rig, "127.0.0.1", "::1", at("::1"))).address, "::ffff:127.0.0.1")
      const { accepted, peer } = yield* rig.client({ to: "127.0.0.1", from: "127.8.9.10" })
      assert.deepStrictEqual(accepted.remote, { address: "::ffff:127.8.9.10", port: peer.socket.localPort })
    })
  },
  {
    name: "that its clients have come to, where somebody wants to know",
    skip,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make({ host: "::", tellLocal: true })
      const { port } = rig.listener.address
      const localOf = (to: string) => Effect.map(rig.client({ to }), ({ accepted }) => accepted.local)
      assert.deepStrictEqual(yield* localOf("::1"), { address: "::1", port })
      assert.deepStrictEqual(yield* localOf("127.1.2.3"), { address: "::ffff:127.1.2.3", port })
      const four = yield* Rig.make({ tellLocal: true })
      assert.deepStrictEqual((yield* four.client()).accepted.local, four.listener.address)
      assert.isUndefined((yield* (yield* Rig.make()).client()).accepted.local)
    })
  },
  {
    name: "of IPv6 only, where that is asked for",
    skip,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make({ host: "::", ipv6Only: true })
      const { port } = rig.listener.address
      assert.strictEqual((yield* Effect.flip(connect({ address: "127.0.0.1", port }))).code, "ECONNREFUSED")
      assert.strictEqual((yield* rig.client({ to: "::1" })).accepted.remote.address, "::1")
    })
  },
  {
    name: "of all of IPv4 at its wildcard",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make({ host: "0.0.0.0" })
      assert.strictEqual((yield* carries(rig, "127.0.0.2", "127.0.0.3", at("127.0.0.3"))).address, "127.0.0.1")
    })
  },
  ...["::ffff:127.0.0.1", "0:0:0:0:0:ffff:7f00:1", "0:0:0:0:0:0:0:1"].map((text): Case => ({
    name: `of a backend, written ${text}`,
    skip,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      yield* carries(rig, "127.0.0.1", text.includes("f") ? "127.0.0.1" : "::1", at(text))
    })
  })),
  {
    name: "of an IPv6 backend that refuses, and of one that can't be reached",
    skip,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: echo })
      const client = yield* rig.client()
      const refused = yield* Effect.flip(rig.bridge(client.id, { address: "::1", port: 1 }))
      assert.deepStrictEqual([refused.source, refused.reason], ["backend", "Refused"])
      // Multicast is nothing TCP can talk to.
      const unreachable = yield* Effect.flip(rig.bridge(client.id, { address: "ff02::1", port: 80 }))
      assert.deepStrictEqual([unreachable.source, unreachable.reason], ["backend", "Unreachable"])
      yield* rig.bridge(client.id, server.endpoint)
      yield* client.peer.send("ping")
      yield* client.peer.awaitText("ping")
    })
  }
]
