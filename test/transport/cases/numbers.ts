import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { countFds } from "../../support/fds.ts"
import { echo, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const noProc = countFds() === undefined

export const cases: ReadonlyArray<Case> = [
  {
    name: "2,000 idle connections, and traffic among them",
    timeoutMs: 60_000,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: echo })
      const clients = yield* Effect.forEach(
        upTo(2_000),
        Effect.fnUntraced(function* () {
          const client = yield* rig.client()
          yield* rig.bridge(client.id, server.endpoint, { idleMs: 60_000, stallMs: 60_000, finMs: 60_000 })
          return client
        }),
        { concurrency: 50 }
      )
      assert.strictEqual(rig.transport.census().connections, 2_000)
      assert.isAtLeast(rig.transport.census().fds, 4_001)
      for (const { peer } of clients.filter((_, index) => index % 100 === 0)) {
        yield* peer.send("ping")
        yield* peer.awaitText("ping")
      }
      for (const { peer } of clients) yield* peer.finish
      yield* rig.watch.until(
        () => `2,000 ends, but ${rig.ends.length}`,
        () => rig.ends.length === 2_000
      )
      assert.isTrue(rig.ends.every(({ cause }) => cause === "fin"))
    })
  },
  {
    name: "5,000 connections of every fate leave no descriptor and no record behind",
    timeoutMs: 90_000,
    skip: noProc,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: echo })
      const before = countFds()
      const fates = ["finish", "reset", "abort", "never bridged", "dial and reset"] as const
      yield* Effect.forEach(
        upTo(5_000),
        (index) =>
          Effect.scoped(
            Effect.gen(function* () {
              const fate = fates[index % fates.length]
              const { id, peer } = yield* rig.client()
              if (fate === "never bridged") return yield* Effect.andThen(peer.reset, rig.end(id))
              if (fate === "dial and reset") {
                yield* peer.reset
                yield* Effect.ignore(rig.bridge(id, server.endpoint))
                return yield* rig.end(id)
              }
              yield* rig.bridge(id, server.endpoint)
              yield* peer.send("ping")
              yield* peer.awaitText("ping")
              if (fate === "abort") rig.transport.abort(id, "rst", { by: "proxy", phase: "relay", cause: "killed" })
              else yield* fate === "finish" ? peer.finish : peer.reset
              return yield* rig.end(id)
            })
          ),
        { concurrency: 20, discard: true }
      )
      assert.lengthOf(rig.ends, 5_000)
      assert.strictEqual(new Set(rig.ends.map(({ id }) => id)).size, 5_000)
      assert.strictEqual(rig.transport.census().connections, 0)
      yield* eventually(
        () => `as many descriptors as before: ${before}, now ${countFds()}`,
        () => (countFds() ?? 0) <= (before ?? 0)
      )
    })
  }
]
