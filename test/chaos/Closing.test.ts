import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { AccessEntry } from "../../src/observe/AccessLog.ts"
import { why } from "../e2e/setup.ts"
import { connect } from "../support/tcp.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, rounds, scene, tell, timed } from "./scene.ts"
import { brazilian, load, upTo } from "./visit.ts"

const HELD = 60
/** They are closed 10 ms apart, as far as timers go that are a millisecond or two late and a machine that stands still. */
const SPREAD_MS = 10

const env = {
  ON_BACKEND_DOWN: "close",
  HEALTH_CHECK_ENABLED: "true",
  HEALTH_CHECK_TYPE: "http",
  HEALTH_CHECK_INTERVAL_SECS: "0.3",
  HEALTH_CHECK_TIMEOUT_SECS: "0.5",
  HEALTH_UNHEALTHY_THRESHOLD: "2",
  HEALTH_HEALTHY_THRESHOLD: "1"
}

for (const engine of engines) {
  describe(`the connections of a backend that is down, engine ${engine}`, () => {
    it.live(
      "are closed one after the other when they are to be, and nobody else's; what is left dies with it",
      () =>
        Effect.gen(function* () {
          const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
          const play = yield* scene(
            engine,
            all.map(({ row }) => row({ soft_limit: 1_000 })),
            env
          )
          const { edge } = play
          const clients = yield* load(edge.address)
          for (const _ of upTo(rounds)) {
            const held = yield* Effect.forEach(upTo(HELD), (index) =>
              Effect.gen(function* () {
                const from = brazilian(2 * index + 1)
                const peer = yield* connect(edge.address, { from })
                yield* peer.send("hello")
                const text = yield* peer.awaitText("hello")
                return { peer, name: text.slice(0, text.indexOf("\n")), client: `${from} ${peer.ports[0]}` }
              })
            )
            const [theirs, others] = [held.filter(({ name }) => name === "a"), held.filter(({ name }) => name !== "a")]
            assert.isAbove(Math.min(theirs.length, others.length), 5)
            const [a] = all
            if (a === undefined) return
            const from = edge.logs.length
            const entriesFrom = edge.entries.length
            yield* a.signal("SIGSTOP")
            yield* timed(`${engine}: a backend that hangs is found down`, edge.log("backend down", from))
            yield* timed(
              `${engine}: ${theirs.length} connections of it are closed`,
              Effect.forEach(theirs, ({ peer }) => peer.awaitFin, { concurrency: "unbounded" })
            )
            const addresses = new Set(theirs.map(({ client }) => client))
            const isTheirs = ({ client, client_port }: AccessEntry): boolean =>
              addresses.has(`${client} ${client_port}`)
            // Their own ends are left open, so what closes them on both sides is the proxy.
            for (const { peer } of theirs) yield* peer.finish
            yield* edge.entry(() => edge.entries.slice(entriesFrom).filter(isTheirs).length === theirs.length)
            const entries = edge.entries.slice(entriesFrom).filter(isTheirs)
            assert.deepStrictEqual(new Set(entries.map(why)), new Set(["proxy relay backend-down"]))
            const times = entries.map(({ ts }) => Date.parse(ts)).toSorted((x, y) => x - y)
            const lasted = (times.at(-1) ?? 0) - (times[0] ?? 0)
            assert.isAbove(lasted, (theirs.length - 1) * SPREAD_MS * 0.8)
            yield* tell(`${engine}: from the first to the last of them`, lasted)

            yield* clients.more(20)
            yield* a.kill
            yield* clients.more(20)
            for (const { peer } of others) {
              assert.isUndefined(peer.closed())
              yield* peer.send("still here")
              yield* peer.awaitText("still here")
              yield* peer.finish
              assert.strictEqual(yield* peer.awaitClosed, "fin")
            }
            yield* a.start
            yield* timed(`${engine}: it serves after its restart`, clients.servedBy("a"))
          }
          const visits = yield* clients.stop
          yield* edge.entryCount(1 + visits.length + HELD * rounds)
          const { cut = 0, ...odd } = mishaps(visits)
          assert.deepStrictEqual(odd, {})
          const ended = edge.entries.filter(({ end_by }) => end_by !== "client")
          assert.isTrue(ended.every(({ backend }) => backend === "a"))
          assert.isAtMost(cut, ended.length - ended.filter(({ bytes_in }) => bytes_in === 5).length)
          yield* atRest(play)
        }),
      patience
    )
  })
}
