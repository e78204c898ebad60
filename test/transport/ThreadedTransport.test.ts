import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
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
