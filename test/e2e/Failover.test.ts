import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { blackHole } from "../support/blackHole.ts"
import { seededBytes, sha256 } from "../support/bytes.ts"
import { carry } from "../support/dialog.ts"
import { type Row, rowOf } from "../support/routingDb.ts"
import { connect, greet, refusing, serve } from "../support/tcp.ts"
import { greeted, refusalOf, startWith, why } from "./setup.ts"

// The nearer a backend, the earlier it is tried: country, region, POP's region, any other.
const nearest = { country: "DE", region: "eu" }
const near = { region: "eu" }
const far = { region: "us" }
const from = "127.3.0.1"

const refusingRow = (id: string, more: Partial<Row>): Row => ({
  id,
  region: "sa",
  wg_ip: refusing.address,
  port: refusing.port,
  ...more
})

describe("failing backends", () => {
  it.live("the next candidate serves when one refuses and one does not answer", () =>
    Effect.gen(function* () {
      const hole = yield* blackHole()
      const good = yield* serve({ onPeer: greet("good") })
      const edge = yield* startWith(
        [
          refusingRow("refuses", nearest),
          { id: "hole", wg_ip: hole.address, port: hole.port, ...near },
          rowOf("good", good, far)
        ],
        { CONNECT_TIMEOUT_MS: "300" }
      )
      const { name, peer } = yield* greeted(edge.address, { from })
      assert.strictEqual(name, "good")
      yield* peer.finish
      const entry = yield* edge.entry(({ client }) => client === from)
      assert.deepStrictEqual(
        [entry.attempts, entry.backend, entry.affinity, why(entry)],
        [3, "good", "new", "client relay fin"]
      )
      assert.isAtLeast(entry.duration_ms, 300)
      assert.isBelow(entry.connect_ms ?? Infinity, 300)

      // The client is bound to the backend that served it, not to the one that was nearest.
      yield* Effect.scoped(greeted(edge.address, { from }))
      const [, again] = yield* edge.entryCount(2)
      assert.deepStrictEqual([again?.attempts, again?.affinity], [1, "hit"])
    })
  )

  it.live("when all refuse, the client is reset and the log says who and why", () =>
    Effect.gen(function* () {
      const rows = ["a", "b", "c", "d"].map((id, index) => refusingRow(id, { port: 1 + index }))
      const edge = yield* startWith(rows)
      assert.strictEqual(yield* refusalOf(edge.address, { from }), "ECONNRESET")
      const entry = yield* edge.entry(({ client }) => client === from)
      assert.deepStrictEqual([why(entry), entry.attempts, entry.connect_ms], ["backend dial refused", 3, null])
      assert.include(["a", "b", "c", "d"], entry.backend)
    })
  )

  it.live("as many attempts as configured, each at another backend", () =>
    Effect.gen(function* () {
      const hole = yield* blackHole()
      const rows = [
        refusingRow("refuses", nearest),
        { id: "hole", wg_ip: hole.address, port: hole.port, ...near },
        rowOf("good", yield* serve({ onPeer: greet("good") }), far)
      ]
      const edge = yield* startWith(rows, { CONNECT_ATTEMPTS: "2", CONNECT_TIMEOUT_MS: "200" })
      assert.strictEqual(yield* refusalOf(edge.address, { from }), "ECONNRESET")
      const entry = yield* edge.entry(({ client }) => client === from)
      assert.deepStrictEqual([why(entry), entry.attempts, entry.backend], ["backend dial connect-timeout", 2, "hole"])
    })
  )

  it.live("a backend that resets at once is a failed dial, and the client does not notice", () =>
    Effect.gen(function* () {
      const bad = yield* serve({ onPeer: ({ socket }) => void setImmediate(() => socket.resetAndDestroy()) })
      const good = yield* serve({ onPeer: greet("good") })
      const edge = yield* startWith([rowOf("bad", bad, nearest), rowOf("good", good, far)])
      const { name, peer } = yield* greeted(edge.address, { from })
      assert.strictEqual(name, "good")
      yield* peer.finish
      const entry = yield* edge.entry(({ client }) => client === from)
      assert.deepStrictEqual([entry.attempts, entry.backend, why(entry)], [2, "good", "client relay fin"])
      assert.lengthOf(bad.peers, 1)
    })
  )

  it.live("what the client sent early reaches the backend that takes it", () =>
    Effect.gen(function* () {
      const hole = yield* blackHole()
      const good = yield* serve()
      const edge = yield* startWith(
        [{ id: "hole", wg_ip: hole.address, port: hole.port, ...nearest }, rowOf("good", good, far)],
        { CONNECT_TIMEOUT_MS: "300" }
      )
      const client = yield* connect(edge.address, { from })
      const bytes = seededBytes(5, 2_000_000)
      yield* Effect.forkScoped(Effect.andThen(client.send(bytes), client.finish))
      const backend = yield* good.peer(0)
      yield* backend.awaitFin
      assert.deepStrictEqual([backend.received(), backend.sha256()], [bytes.length, sha256(bytes)])
    })
  )

  it.live("a client that resets during the dial ends it; its FIN does not", () =>
    Effect.gen(function* () {
      const hole = yield* blackHole()
      const good = yield* serve({ onPeer: greet("good") })
      const edge = yield* startWith(
        [
          { id: "hole", app: "slow", wg_ip: hole.address, port: hole.port, ...nearest },
          rowOf("good", good, { ...far, app: "slow" }),
          rowOf("other", yield* serve({ onPeer: greet("other") }), { app: "fast" })
        ],
        { CONNECT_TIMEOUT_MS: "1500", LISTEN_ADDR: "127.0.0.1:0=slow,127.0.0.1:0=fast" }
      )
      const [slow, fast] = edge.addresses
      assert.isDefined(slow)
      assert.isDefined(fast)
      const finishes = yield* connect(slow, { from })
      yield* finishes.finish
      const resets = yield* connect(slow, { from: "127.3.0.2" })
      // When a later client has been served, the earlier ones have been accepted.
      yield* greeted(fast, { from })
      yield* resets.reset
      const entry = yield* edge.entry(({ client }) => client === "127.3.0.2")
      assert.strictEqual(why(entry), "client dial rst")
      assert.isBelow(entry.duration_ms, 1_400)
      yield* finishes.awaitFin
      assert.strictEqual(finishes.text(), "good\n")
      assert.lengthOf(good.peers, 1)
    })
  )

  it.live("carries half-closed connections both ways", () =>
    Effect.gen(function* () {
      const server = yield* serve({ reading: { bytes: 65_536, ms: 1 } })
      const edge = yield* startWith([rowOf("a", server)])
      const first = yield* connect(edge.address)
      const firstBackend = yield* server.peer(0)
      yield* carry(first, firstBackend, { seed: 1, size: 1_000, chunk: 1_000 })
      yield* carry(firstBackend, first, { seed: 2, size: 3_000_000, chunk: 65_537 })

      const second = yield* connect(edge.address)
      const secondBackend = yield* server.peer(1)
      yield* carry(secondBackend, second, { seed: 3, size: 1_000, chunk: 1_000 })
      yield* carry(second, secondBackend, { seed: 4, size: 3_000_000, chunk: 65_537 })

      const entries = yield* edge.entryCount(2)
      assert.deepStrictEqual(
        entries.map((entry) => [why(entry), entry.bytes_in, entry.bytes_out]),
        [
          ["client relay fin", 1_000, 3_000_000],
          ["backend relay fin", 3_000_000, 1_000]
        ]
      )
    })
  )
})
