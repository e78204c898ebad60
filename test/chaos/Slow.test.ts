import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { blackHole } from "../support/blackHole.ts"
import { type Row, rowOf } from "../support/routingDb.ts"
import { echo, serve } from "../support/tcp.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, tell } from "./scene.ts"
import { load, upTo } from "./visit.ts"

const here: Partial<Row> = { country: "BR", region: "sa", hard_limit: 0 }
const LATE_MS = 400
const PULSE_MS = 150

for (const engine of engines) {
  describe(`slow backends, engine ${engine}`, () => {
    it.live(
      "that answer late, read drop by drop, come to their clients by fits or never: everybody is served whole",
      () =>
        Effect.gen(function* () {
          const late = yield* serve({
            onPeer: (peer) => {
              peer.socket.pause()
              setTimeout(() => {
                peer.socket.write("late\n")
                echo(peer)
              }, LATE_MS)
            }
          })
          const sipping = yield* serve({
            reading: { bytes: 2_000, ms: 15 },
            onPeer: (peer) => {
              peer.socket.write("sipping\n")
              peer.socket.on("data", (bytes: Buffer) => peer.socket.write(bytes))
              peer.socket.on("end", () => peer.socket.end())
            }
          })
          const hole = yield* blackHole()
          const fits = yield* chaosBackend("fits")
          const fast = yield* chaosBackend("fast")
          const rows: ReadonlyArray<Row> = [
            rowOf("late", late, here),
            rowOf("sipping", sipping, here),
            { id: "hole", app: "test", wg_ip: hole.address, port: hole.port, ...here, region: "sa" },
            fits.row(),
            fast.row()
          ]
          const play = yield* scene(engine, rows, {
            CONNECT_TIMEOUT_MS: "300",
            CIRCUIT_BREAKER_ENABLED: "true",
            CIRCUIT_FAILURE_THRESHOLD: "3"
          })
          yield* Effect.forkScoped(
            Effect.forever(
              Effect.gen(function* () {
                yield* fits.signal("SIGSTOP")
                yield* Effect.sleep(PULSE_MS)
                yield* fits.signal("SIGCONT")
                yield* Effect.sleep(PULSE_MS)
              })
            )
          )
          const clients = yield* load(play.edge.address, { lanes: 16 })
          for (const _ of upTo(rounds)) {
            for (const name of ["late", "sipping", "fits", "fast"]) yield* clients.servedBy(name)
            yield* clients.more(150)
          }
          yield* play.edge.log((line) => line.message.startsWith("circuit open") && line["id"] === "hole")
          const visits = yield* clients.stop
          assert.deepStrictEqual(mishaps(visits), {})
          assert.deepStrictEqual(proxyEnds(play.edge), [])
          for (const name of ["late", "sipping", "fits", "fast"]) {
            const times = visits.filter((one) => one.name === name).map(({ ms }) => ms)
            yield* tell(`${engine}: the longest of ${times.length} visits to ${name}`, Math.max(...times))
          }
          yield* fits.signal("SIGCONT")
          yield* atRest(play)
        }),
      patience
    )
  })
}
