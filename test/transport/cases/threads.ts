import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Termination } from "../../../src/domain/Termination.ts"
import { blackHole } from "../../support/blackHole.ts"
import { leaveFds } from "../../support/fdLimit.ts"
import { countFds } from "../../support/fds.ts"
import { isReset } from "../../support/isReset.ts"
import { plenty } from "../../support/plenty.ts"
import { type Peer, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import { isLost, kill, serves } from "../loss.ts"
import * as Rig from "../Rig.ts"

const skip = countFds() === undefined

const killed: Termination = { by: "proxy", phase: "relay", cause: "killed" }

/** A connection in some phase, and what is to be seen of it when its thread has died. */
interface Victim {
  readonly client: Rig.Client
  readonly backend?: Peer
  /** Who waits for an answer gets one. */
  readonly after?: Effect.Effect<unknown>
}

interface Moment {
  readonly name: string
  readonly reach: (rig: Rig.Rig) => Effect.Effect<Victim, unknown, Scope.Scope>
}

const bridged = Effect.fnUntraced(function* (rig: Rig.Rig, stalled: "client" | "backend" | "nobody" = "nobody") {
  const server = yield* serve({ reading: stalled === "backend" ? "stalled" : "fast" })
  const client = yield* rig.client({ reading: stalled === "client" ? "stalled" : "fast" })
  yield* rig.bridge(client.id, server.endpoint)
  return { client, backend: yield* server.peer(0) }
})

const moments: ReadonlyArray<Moment> = [
  { name: "waits for its bridge", reach: (rig) => Effect.map(rig.client(), (client) => ({ client })) },
  {
    name: "waits for its bridge, with early bytes",
    reach: Effect.fnUntraced(function* (rig: Rig.Rig) {
      const client = yield* rig.client()
      yield* client.peer.send("early")
      yield* rig.cameEarly(client, 5)
      return { client }
    })
  },
  {
    name: "is asked for its first bytes",
    reach: Effect.fnUntraced(function* (rig: Rig.Rig) {
      const client = yield* rig.client()
      const looking = yield* Effect.forkChild(Effect.flip(rig.transport.preread(client.id, "any", 100)), {
        startImmediately: true
      })
      const after = Effect.map(Fiber.join(looking), ({ reason }) => assert.strictEqual(reason, "Gone"))
      return { client, after }
    })
  },
  {
    name: "is dialled for",
    reach: Effect.fnUntraced(function* (rig: Rig.Rig) {
      const hole = yield* blackHole()
      const client = yield* rig.client()
      const dial = yield* Effect.forkChild(Effect.flip(rig.bridge(client.id, hole)), { startImmediately: true })
      const after = Effect.map(Fiber.join(dial), ({ reason, source }) =>
        assert.deepStrictEqual([source, reason], ["client", "Gone"])
      )
      return { client, after }
    })
  },
  { name: "is bridged, without a byte", reach: (rig) => bridged(rig) },
  {
    name: "is bridged, and idle",
    reach: Effect.fnUntraced(function* (rig: Rig.Rig) {
      const { backend, client } = yield* bridged(rig)
      yield* client.peer.send("question")
      yield* backend.awaitText("question")
      yield* backend.send("answer")
      yield* client.peer.awaitText("answer")
      return { client, backend }
    })
  },
  ...(["client", "backend"] as const).map((stalled) => ({
    name: `has bytes in a pipe for a ${stalled} that takes none`,
    reach: Effect.fnUntraced(function* (rig: Rig.Rig) {
      const { backend, client } = yield* bridged(rig, stalled)
      yield* Effect.forkScoped((stalled === "client" ? backend : client.peer).send(plenty()))
      yield* eventually("bytes in a pipe", () => rig.transport.census().pipes > 0)
      yield* eventually("bytes waiting", () => (rig.counts(client.id)?.waiting ?? 0) > 0)
      return { client, backend }
    })
  })),
  {
    name: "has bytes in the memory of the engine",
    reach: Effect.fnUntraced(function* (rig: Rig.Rig) {
      const { backend, client } = yield* bridged(rig, "client")
      // Without descriptors there are no pipes, and bytes are copied.
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* leaveFds(0)
          yield* Effect.forkDetach(backend.send(plenty()))
          yield* eventually("bytes in the engine's memory", () => rig.transport.census().heldBytes > 0)
        })
      )
      return { client, backend }
    })
  },
  ...(["client", "backend"] as const).map((first) => ({
    name: `has been finished by its ${first}`,
    reach: Effect.fnUntraced(function* (rig: Rig.Rig) {
      const { backend, client } = yield* bridged(rig)
      const [one, other] = first === "client" ? [client.peer, backend] : [backend, client.peer]
      yield* one.finish
      yield* other.awaitFin
      yield* other.send("more")
      yield* one.awaitText("more")
      return { client, backend }
    })
  }))
]

export const cases: ReadonlyArray<Case> = moments.map(({ name, reach }): Case => ({
  name: `a connection that ${name}`,
  threads: true,
  skip,
  run: Effect.gen(function* () {
    const rig = yield* Rig.make()
    const before = countFds() ?? 0
    yield* Effect.gen(function* () {
      const { after, backend, client } = yield* reach(rig)
      const counts = rig.counts(client.id)
      yield* kill(rig)
      const ended = yield* rig.end(client.id)
      isLost(ended)
      assert.isAtLeast(ended.bytesIn, counts?.bytesIn ?? Infinity)
      assert.isAtLeast(ended.bytesOut, counts?.bytesOut ?? Infinity)
      yield* after ?? Effect.void
      for (const peer of backend === undefined ? [client.peer] : [client.peer, backend]) {
        peer.socket.resume()
        yield* isReset(peer)
      }
      const { connections, heldBytes, listeners, pipes } = rig.transport.census()
      assert.deepStrictEqual([connections, heldBytes, listeners, pipes], [0, 0, 1, 0])
      assert.isUndefined(rig.counts(client.id))
      rig.transport.abort(client.id, "rst", killed)
      rig.transport.consume(client.id, 1)
      const again = yield* Effect.flip(rig.bridge(client.id, rig.listener.address))
      assert.strictEqual(again.reason, "Gone")
    }).pipe(Effect.scoped)
    yield* serves(rig)
    assert.lengthOf(rig.ends, 2)
    yield* eventually(
      () => `as many descriptors as before: ${before}, now ${countFds()}`,
      () => (countFds() ?? 0) <= before
    )
  })
}))
