import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { networkInterfaces } from "node:os"
import { ListenError, type ListenerEvents, Transport } from "../../../src/traffic/Transport.ts"
import { liveBytes } from "../../support/heap.ts"
import { connect, echo, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const silent: ListenerEvents = {
  onAccept: () => undefined,
  onEnd: () => undefined,
  onUnbridged: () => undefined,
  onAcceptError: () => undefined
}

const listen = Effect.fnUntraced(function* (address: string, port: number, events = silent) {
  const transport = yield* Transport
  const options = { ipv6Only: false, backlog: 16, prerouteMs: 1_000, keepaliveMs: 0 }
  return yield* transport.listen({ address: { address, port }, ...options }, events)
})

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"))

export const cases: ReadonlyArray<Case> = [
  {
    name: "on a free port for port 0, and tells who connects",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      assert.strictEqual(rig.listener.address.address, "127.0.0.1")
      assert.isAbove(rig.listener.address.port, 0)
      const { accepted, peer } = yield* rig.client({ from: "127.8.9.10" })
      assert.deepStrictEqual(accepted.remote, { address: "127.8.9.10", port: peer.socket.localPort })
    })
  },
  {
    name: "on IPv6, and dials it",
    skip: !hasIpv6,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make({ host: "::1" })
      const server = yield* serve({ host: "::1", onPeer: echo })
      const { accepted, id, peer } = yield* rig.client()
      assert.strictEqual(accepted.remote.address, "::1")
      yield* rig.bridge(id, server.endpoint)
      yield* peer.send("ping")
      yield* peer.awaitText("ping")
    })
  },
  {
    name: "and says when the port is in use, by itself or by others",
    run: Effect.gen(function* () {
      const first = yield* listen("127.0.0.1", 0)
      const foreign = yield* serve()
      for (const { port } of [first.address, foreign.endpoint]) {
        const error = yield* Effect.flip(listen("127.0.0.1", port))
        assert.instanceOf(error, ListenError)
        assert.strictEqual(error.reason, "InUse")
        assert.include(error.message, `127.0.0.1:${port}`)
      }
    })
  },
  {
    name: "and says when the host has no such address",
    run: Effect.gen(function* () {
      // Reserved for documentation; binding sends nothing.
      const error = yield* Effect.flip(listen("192.0.2.1", 0))
      assert.strictEqual(error.reason, "BadAddress")
      assert.include(error.message, "192.0.2.1")
    })
  },
  {
    name: "close: takes what waits in the accept queue, and leaves connections alone",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: echo })
      const running = yield* rig.client()
      yield* rig.bridge(running.id, server.endpoint)
      // The kernel completes these by itself; the engine needs turns of the loop to accept them.
      const crowd = yield* Effect.forEach(Array.from({ length: 300 }), () => connect(rig.listener.address), {
        concurrency: "unbounded"
      })
      yield* rig.listener.close
      yield* rig.watch.until(
        () => `301 accepted connections, but ${rig.accepted.length}`,
        () => rig.accepted.length === 301,
        5_000
      )
      assert.strictEqual(crowd.filter((peer) => peer.closed() !== undefined).length, 0)
      const refused = yield* Effect.flip(connect(rig.listener.address))
      assert.strictEqual(refused.code, "ECONNREFUSED")
      for (const { id } of rig.accepted.slice(1)) yield* rig.bridge(id, server.endpoint)
      for (const peer of [running.peer, ...crowd]) {
        yield* peer.send("still there")
        yield* peer.awaitText("still there")
      }
    })
  },
  ...[1, 64].map((count): Case => ({
    name: `close while paused: takes the ${count} who have waited`,
    needs: "leaves clients in the backlog",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      rig.listener.pause("limit")
      const waiting = yield* Effect.forEach(Array.from({ length: count }), () => connect(rig.listener.address))
      const closed = yield* Effect.timeoutOption(rig.listener.close, 5_000)
      assert.isTrue(Option.isSome(closed))
      yield* rig.watch.until(
        () => `${count} accepted connections, but ${rig.accepted.length}`,
        () => rig.accepted.length === count,
        5_000
      )
      assert.strictEqual(waiting.filter((peer) => peer.closed() !== undefined).length, 0)
    })
  })),
  {
    name: "close: the port is free afterwards, and closing twice is closing once",
    run: Effect.gen(function* () {
      const first = yield* listen("127.0.0.1", 0)
      yield* first.close
      yield* first.close
      const second = yield* listen("127.0.0.1", first.address.port)
      assert.deepStrictEqual(second.address, first.address)
      assert.strictEqual((yield* Transport).census().listeners, 1)
    })
  },
  {
    name: "until its scope ends",
    run: Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { address } = yield* Scope.provide(listen("127.0.0.1", 0), scope)
      yield* connect(address)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Effect.flip(connect(address))).code, "ECONNREFUSED")
      assert.strictEqual((yield* Transport).census().listeners, 0)
    })
  },
  {
    name: "close: what was told is forgotten, once the last connection has ended",
    run: Effect.gen(function* () {
      // In a function of its own, so that nobody here holds what it made.
      const lifetime = Effect.fnUntraced(function* () {
        const told = { accepted: 0, ended: 0 }
        const events: ListenerEvents = {
          ...silent,
          onAccept: (batch) => void (told.accepted += batch.length),
          onEnd: (batch) => void (told.ended += batch.length)
        }
        const { address } = yield* listen("127.0.0.1", 0, events)
        const peer = yield* connect(address)
        yield* eventually("the connection", () => told.accepted === 1)
        yield* peer.reset
        yield* eventually("end of the connection", () => told.ended === 1)
        return new WeakRef(events)
      }, Effect.scoped)
      const events = yield* lifetime()
      yield* eventually("memory given back", () => {
        liveBytes()
        return events.deref() === undefined
      })
    })
  }
]
