import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Edge } from "../e2e/setup.ts"
import { type Row, rowOf } from "../support/routingDb.ts"
import { echo, type Peer, serve } from "../support/tcp.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, tell, timed } from "./scene.ts"
import { brazilian, load, upTo, visit, type Visit } from "./visit.ts"

const inBrazil: Partial<Row> = { country: "BR", region: "sa", hard_limit: 0 }

const checks = {
  HEALTH_CHECK_ENABLED: "true",
  HEALTH_CHECK_TYPE: "http",
  HEALTH_CHECK_INTERVAL_SECS: "0.3",
  HEALTH_CHECK_TIMEOUT_SECS: "0.5",
  HEALTH_UNHEALTHY_THRESHOLD: "2",
  HEALTH_HEALTHY_THRESHOLD: "1"
}

/**
 * Who was cut had bytes under way with a backend that was hit: nobody lost a connection because of the proxy, or got bytes
 * that are not his.
 */
const onlyWithThem = (edge: Edge, visits: ReadonlyArray<Visit>, hit: ReadonlyArray<string>): void => {
  const { cut = 0, ...others } = mishaps(visits)
  assert.deepStrictEqual(others, {})
  assert.deepStrictEqual(proxyEnds(edge), [])
  const short = edge.entries.filter((entry) => entry.end_by === "backend" || entry.bytes_out <= entry.bytes_in)
  assert.isAtMost(cut, short.filter(({ backend }) => hit.includes(backend ?? "")).length)
}

/** From one log line on; the next call looks behind what the last one found. */
const following = (edge: Edge) => {
  let from = 0
  return (message: string, id: string) =>
    edge
      .log((line) => edge.logs.indexOf(line) >= from && line.message.startsWith(message) && line["id"] === id)
      .pipe(Effect.tap((line) => Effect.sync(() => (from = edge.logs.indexOf(line) + 1))))
}

for (const engine of engines) {
  describe(`backends, engine ${engine}`, () => {
    for (const [how, env] of [
      ["by retries alone", {}],
      ["with checks and circuits", { ...checks, CIRCUIT_BREAKER_ENABLED: "true", CIRCUIT_TIMEOUT_SECS: "0.5" }]
    ] as const) {
      it.live(
        `killed with -9 and restarted in turn, ${how}: only what was under way with them is lost`,
        () =>
          Effect.gen(function* () {
            const all = yield* Effect.forEach(["a", "b", "c"], (name) => chaosBackend(name))
            const play = yield* scene(
              engine,
              all.map(({ row }) => row()),
              env
            )
            const clients = yield* load(play.edge.address)
            yield* clients.more(30)
            for (const _ of upTo(rounds)) {
              for (const { kill, name, start } of all) {
                yield* clients.servedBy(name)
                const killedAt = performance.now()
                yield* kill
                const after = yield* clients.more(20)
                const errors = after.filter(({ outcome }) => outcome !== "whole").map(({ endedAt }) => endedAt)
                yield* tell(
                  `${engine}, ${how}: from kill -9 to the last of ${errors.length} client errors`,
                  Math.max(0, ...errors.map((at) => at - killedAt))
                )
                yield* start
                yield* timed(`${engine}, ${how}: ${name} serves after its restart`, clients.servedBy(name))
              }
            }
            const visits = yield* clients.stop
            yield* play.edge.entryCount(1 + visits.length)
            onlyWithThem(play.edge, visits, ["a", "b", "c"])
            // One process of three with a handful of clients, each time.
            assert.isAtMost(mishaps(visits)["cut"] ?? 0, rounds * 3 * 6)
            yield* atRest(play)
          }),
        patience
      )
    }

    it.live(
      "stopped and continued: newcomers are served by others, and who waited gets all his bytes",
      () =>
        Effect.gen(function* () {
          const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
          const play = yield* scene(
            engine,
            all.map(({ row }) => row()),
            checks
          )
          const log = following(play.edge)
          const clients = yield* load(play.edge.address, { lanes: 12 })
          for (const _ of upTo(rounds)) {
            for (const { name, signal } of all) {
              yield* clients.servedBy(name)
              yield* signal("SIGSTOP")
              yield* timed(`${engine}: ${name}, which is stopped, is found down`, log("backend down", name))
              const served = yield* Effect.forEach(upTo(20), (index) =>
                visit(play.edge.address, brazilian(index), index)
              )
              assert.deepStrictEqual(mishaps(served), {})
              assert.notInclude(
                served.map((one) => one.name),
                name
              )
              yield* signal("SIGCONT")
              yield* timed(`${engine}: ${name}, which goes on, is found up`, log("backend up again", name))
            }
          }
          assert.deepStrictEqual(mishaps(yield* clients.stop), {})
          assert.deepStrictEqual(proxyEnds(play.edge), [])
          yield* atRest(play)
        }),
      patience
    )

    it.live(
      "that reset or close whoever comes: their circuits open, few clients are lost, and close when they are mended",
      () =>
        Effect.gen(function* () {
          let broken = true
          const mended = (name: string) => (peer: Peer) => {
            peer.socket.write(`${name}\n`)
            echo(peer)
          }
          const resets = yield* serve({
            onPeer: (peer) => (broken ? void peer.socket.resetAndDestroy() : mended("resets")(peer))
          })
          const closes = yield* serve({
            onPeer: (peer) => (broken ? void peer.socket.end() : mended("closes")(peer))
          })
          const good = yield* chaosBackend("good")
          // The clients wait for their answer: who has said that he is done may well get none, and nobody is to blame.
          const rows = [rowOf("resets", resets, inBrazil), rowOf("closes", closes, inBrazil), good.row()]
          const [threshold, lanes] = [3, 6]
          const play = yield* scene(engine, rows, {
            CIRCUIT_BREAKER_ENABLED: "true",
            CIRCUIT_FAILURE_THRESHOLD: String(threshold),
            CIRCUIT_SUCCESS_THRESHOLD: "2",
            CIRCUIT_TIMEOUT_SECS: "1",
            BINDING_TTL_SECS: "0"
          })
          const clients = yield* load(play.edge.address, { lanes, waits: true })
          for (const round of upTo(rounds)) {
            if (round > 0) yield* Effect.forEach(["resets", "closes"], clients.servedBy)
            broken = true
            const logFrom = play.edge.logs.length
            const seen = (message: string, id: string) =>
              play.edge.log((line) => line.message.startsWith(message) && line["id"] === id, logFrom)
            for (const id of ["resets", "closes"]) yield* seen("circuit open", id)
            yield* clients.more(50)
            broken = false
            const recovery = Effect.forEach(["resets", "closes"], (id) => seen("circuit closed", id))
            yield* timed(`${engine}: both circuits closed after they were mended`, recovery)
            yield* clients.more(20)
          }
          const visits = yield* clients.stop
          yield* play.edge.entryCount(1 + visits.length)
          onlyWithThem(play.edge, visits, ["resets", "closes"])
          const opened = play.edge.logs.filter(({ message }) => message.startsWith("circuit open")).length
          assert.isAtMost(mishaps(visits)["cut"] ?? 0, opened * (threshold + lanes))
          yield* atRest(play)
        }),
      patience
    )
  })
}
