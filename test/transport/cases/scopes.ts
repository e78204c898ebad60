import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { blackHole } from "../../support/blackHole.ts"
import { countFds } from "../../support/fds.ts"
import { isReset } from "../../support/isReset.ts"
import { plenty } from "../../support/plenty.ts"
import { echo, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import * as Ahead from "../ahead.ts"
import type { Case } from "../Case.ts"
import { EngineUnderTest } from "../Engine.ts"
import { kill } from "../loss.ts"
import * as Rig from "../Rig.ts"

const skip = countFds() === undefined

/** An engine of its own with a listener, and how to end it before its time. */
const ownRig = Effect.gen(function* () {
  const { layer } = yield* EngineUnderTest
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const context = yield* Layer.buildWithScope(Layer.fresh(layer), scope)
  const rig = yield* Effect.provide(Rig.make(), context)
  return { rig, close: Scope.close(scope, Exit.void) }
})

/** What happens leaves no descriptor behind. */
const leavesNoFds = <R>(happens: Effect.Effect<unknown, unknown, R>) =>
  Effect.gen(function* () {
    const before = countFds() ?? 0
    yield* Effect.scoped(happens)
    yield* eventually(
      () => `as many descriptors as before: ${before}, now ${countFds()}`,
      () => (countFds() ?? 0) <= before
    )
  })

export const cases: ReadonlyArray<Case> = [
  {
    name: "and closes what was opened ahead",
    needs: "opens connections ahead",
    skip,
    run: leavesNoFds(
      Effect.gen(function* () {
        const { close, rig } = yield* ownRig
        const ahead = Ahead.make(rig.transport)
        const server = yield* serve()
        const hole = yield* blackHole()
        for (let index = 0; index < 5; index++) yield* ahead.open(server.endpoint)
        ahead.begin(hole)
        yield* close
        for (const peer of server.peers) yield* peer.awaitFin
      })
    )
  },
  {
    name: "and cuts what still runs in any phase; nothing is left",
    skip,
    run: leavesNoFds(
      Effect.gen(function* () {
        const { close, rig } = yield* ownRig
        const hole = yield* blackHole()
        const echoing = yield* serve({ onPeer: echo })
        const stalled = yield* serve({ reading: "stalled" })
        const [waiting, asked, dialled, idle, finished, full] = yield* Effect.all(
          [rig.client(), rig.client(), rig.client(), rig.client(), rig.client(), rig.client()],
          { concurrency: 1 }
        )
        const looking = yield* Effect.forkChild(Effect.flip(rig.transport.preread(asked.id, "any", 10)), {
          startImmediately: true
        })
        const dial = yield* Effect.forkChild(Effect.flip(rig.bridge(dialled.id, hole)), { startImmediately: true })
        for (const { id, peer } of [idle, finished]) {
          yield* rig.bridge(id, echoing.endpoint)
          yield* peer.send("ping")
          yield* peer.awaitText("ping")
        }
        yield* (yield* echoing.peer(1)).finish
        yield* finished.peer.awaitFin
        yield* rig.bridge(full.id, stalled.endpoint)
        yield* Effect.forkScoped(full.peer.send(plenty()))
        yield* eventually("bytes waiting", () => (rig.counts(full.id)?.waiting ?? 0) > 0)
        yield* close
        assert.strictEqual((yield* Fiber.join(looking)).reason, "Gone")
        assert.strictEqual((yield* Fiber.join(dial)).reason, "Gone")
        for (const { id, peer } of [waiting, asked, dialled, idle, finished, full]) {
          yield* isReset(peer)
          assert.strictEqual(Rig.why(yield* rig.end(id)), "proxy drain forced")
        }
        yield* isReset(yield* echoing.peer(0))
        const backend = yield* stalled.peer(0)
        backend.socket.resume()
        yield* isReset(backend)
      })
    )
  },
  {
    name: "while its thread is dead",
    threads: true,
    skip,
    run: leavesNoFds(
      Effect.gen(function* () {
        const { close, rig } = yield* ownRig
        const client = yield* rig.client()
        yield* kill(rig)
        yield* close
        assert.strictEqual((yield* rig.end(client.id)).cause, "engine-lost")
      })
    )
  },
  {
    name: "while its thread is being killed",
    threads: true,
    skip,
    run: leavesNoFds(
      Effect.gen(function* () {
        const { killThread } = yield* EngineUnderTest
        const { close, rig } = yield* ownRig
        const client = yield* rig.client()
        killThread?.(rig.transport, 0)
        yield* close
        assert.oneOf((yield* rig.end(client.id)).cause, ["engine-lost", "forced"])
      })
    )
  }
]
