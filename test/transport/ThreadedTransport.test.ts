import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { closeSync, readdirSync, readlinkSync } from "node:fs"
import { copyFd } from "../../layers/handover/copyFd.ts"
import { listeningSockets, passed } from "../../layers/handover/ListeningSockets.ts"
import { listenSocket } from "../../layers/transport-splice/listenSocket.ts"
import { PassedSockets } from "../../src/traffic/PassedSockets.ts"
import { noExtras } from "../../src/traffic/Transport.ts"
import { isReset } from "../support/isReset.ts"
import { connect, echo, serve } from "../support/tcp.ts"
import { eventually } from "../support/Watch.ts"
import { describeTransport } from "./describeTransport.ts"
import { engine, kill, layer as threaded } from "./engines/nodeThreads.ts"
import { isLost } from "./loss.ts"
import * as Rig from "./Rig.ts"

describeTransport(engine)

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const linkOf = (fd: string): string => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    // That of the directory itself.
    return ""
  }
}

/** Served as soon as there is a thread to do it. */
const comesBack = (rig: Rig.Rig) =>
  // One that was not heard of yet would be found in the engine after the rig has ended.
  rig.client().pipe(Effect.asVoid, Effect.scoped, Effect.retry({ times: 200, schedule: Schedule.spaced(20) }))

describe("threads of the node engine that die", () => {
  layer(threaded({ threads: 2, maxConnections: 1_000 }), { excludeTestServices: true })("two of them", (it) => {
    it.effect("their connections are cut, told of once, and nothing is left; those of the others live on", () =>
      Effect.gen(function* () {
        const rig = yield* Rig.make({ extras: noExtras })
        const server = yield* serve({ onPeer: echo })
        const clients = yield* Effect.forEach(upTo(60), () => rig.client(), { concurrency: 20 })
        for (const { id, peer } of clients) {
          yield* rig.bridge(id, server.endpoint)
          yield* peer.send("before")
          yield* peer.awaitText("before")
        }
        kill(rig.transport, 0)
        yield* eventually("loss of a thread", () => rig.transport.census().threadsLost === 1)
        const lost = new Set(rig.ends.map(({ id }) => id))
        assert.isAbove(lost.size, 0)
        assert.isBelow(lost.size, 60)
        for (const ended of rig.ends) {
          isLost(ended)
          assert.deepStrictEqual([ended.bytesIn, ended.bytesOut], [6, 6])
        }
        for (const { id, peer } of clients) {
          if (lost.has(id)) yield* isReset(peer)
          else {
            yield* peer.send("after")
            yield* peer.awaitText("beforeafter")
          }
        }
        yield* eventually("cut of as many backends", () => server.open() === 60 - lost.size)
        assert.strictEqual((yield* Effect.flip(rig.bridge([...lost][0] ?? 0, server.endpoint))).reason, "Gone")
        kill(rig.transport, 1)
        yield* eventually("loss of the other", () => rig.transport.census().threadsLost === 2)
        assert.lengthOf(rig.ends, 60)
        assert.strictEqual(rig.transport.census().connections, 0)
        yield* comesBack(rig)
      })
    )
    it.effect("a port that somebody has is refused, though threads share theirs", () =>
      Effect.gen(function* () {
        const { endpoint } = yield* serve()
        const error = yield* Effect.flip(Rig.make({ port: endpoint.port }))
        assert.strictEqual(error.reason, "InUse")
      })
    )
    it.effect("a socket that systemd has passed is every thread's, and of those that come after", () =>
      Effect.gen(function* () {
        const { address, fd } = yield* listenSocket({
          address: { address: "127.0.0.1", port: 0 },
          ipv6Only: false,
          backlog: 100,
          prerouteMs: 5_000,
          keepaliveMs: 0
        })
        const systemd = yield* Effect.acquireRelease(
          Effect.sync(() => copyFd(fd) ?? -1),
          (copy) => Effect.sync(() => closeSync(copy))
        )
        const socket = readlinkSync(`/proc/self/fd/${systemd}`)
        const descriptors = () => readdirSync("/proc/self/fd").filter((each) => linkOf(each) === socket).length
        yield* Effect.gen(function* () {
          const rig = yield* Rig.make({ port: address.port })
          const lostBefore = rig.transport.census().threadsLost
          // Again and again: there is somebody to be asked each time.
          for (const [index, thread] of [0, 1, 0, 1].entries()) {
            kill(rig.transport, thread)
            yield* eventually("loss of it", () => rig.transport.census().threadsLost === lostBefore + index + 1)
            yield* comesBack(rig)
          }
        }).pipe(Effect.provideService(PassedSockets, passed([{ fd, address }])), Effect.scoped)
        assert.strictEqual(descriptors(), 1)
        assert.lengthOf(listeningSockets([systemd]), 1)
      })
    )
    it.effect("a listener that is closed while a thread is away is closed", () =>
      Effect.gen(function* () {
        const rig = yield* Rig.make()
        kill(rig.transport, 0)
        yield* rig.listener.close
        assert.strictEqual((yield* Effect.flip(connect(rig.listener.address))).code, "ECONNREFUSED")
      })
    )
  })
})
