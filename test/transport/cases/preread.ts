import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Termination } from "../../../src/domain/Termination.ts"
import { MAX_PREREAD } from "../../../src/traffic/Preread.ts"
import type { ConnectionId } from "../../../src/traffic/Transport.ts"
import { blackHole } from "../../support/blackHole.ts"
import { seededBytes, sha256 } from "../../support/bytes.ts"
import { alpn, message, records, serverName } from "../../support/clientHello.ts"
import { sendFlow } from "../../support/dialog.ts"
import { tlv, v2 } from "../../support/proxyHeader.ts"
import { echo, refusing, serve } from "../../support/tcp.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const killed: Termination = { by: "proxy", phase: "pre-route", cause: "killed" }

const LIMIT = 500

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1")

const look = (rig: Rig.Rig, id: ConnectionId, max = MAX_PREREAD) =>
  Effect.map(rig.transport.preread(id, "any", max), text)

const failedLook = (rig: Rig.Rig, id: ConnectionId) =>
  Effect.map(Effect.flip(rig.transport.preread(id, "any", 100)), ({ reason }) => reason)

const waitingClient = Effect.fnUntraced(function* (bytes: string | Uint8Array = "", options: Rig.RigOptions = {}) {
  const rig = yield* Rig.make(options)
  const client = yield* rig.client()
  if (bytes.length > 0) {
    yield* client.peer.send(bytes)
    yield* rig.cameEarly(client, bytes.length)
  }
  return { rig, client }
})

export const cases: ReadonlyArray<Case> = [
  {
    name: "of a client that has sent them before, and of one that sends them later",
    run: Effect.gen(function* () {
      const { client, rig } = yield* waitingClient("GET /")
      assert.strictEqual(yield* look(rig, client.id), "GET /")
      const later = yield* rig.client()
      const looking = yield* Effect.forkChild(look(rig, later.id), { startImmediately: true })
      yield* later.peer.send("HELO")
      assert.strictEqual(yield* Fiber.join(looking), "HELO")
    })
  },
  {
    name: "that come one by one: each look shows all there is, until they are taken",
    run: Effect.gen(function* () {
      const { client, rig } = yield* waitingClient()
      // What came last may still be in the kernel, where not every engine looks.
      const lookFor = (word: string) =>
        look(rig, client.id).pipe(
          Effect.tap((shown) => Effect.sync(() => assert.isTrue(word.startsWith(shown), shown))),
          Effect.repeat({ until: (shown) => shown === word })
        )
      const word = "PROXY TCP4"
      for (let length = 1; length <= word.length; length++) {
        yield* client.peer.send(word.slice(length - 1, length))
        yield* lookFor(word.slice(0, length))
      }
      rig.transport.consume(client.id, 6)
      yield* client.peer.send(" 192")
      yield* lookFor("TCP4 192")
    })
  },
  {
    name: "and no more of them than asked for",
    run: Effect.gen(function* () {
      const { client, rig } = yield* waitingClient("0123456789")
      for (const max of [1, 4, 10]) assert.strictEqual(yield* look(rig, client.id, max), "0123456789".slice(0, max))
    })
  },
  {
    name: "and never more than the most there can be",
    run: Effect.gen(function* () {
      const bytes = seededBytes(5, 3 * MAX_PREREAD)
      const { client, rig } = yield* waitingClient(bytes)
      const shown = yield* rig.transport.preread(client.id, "any", 10 * MAX_PREREAD)
      assert.strictEqual(shown.length, MAX_PREREAD)
      assert.strictEqual(sha256(shown), sha256(bytes.subarray(0, MAX_PREREAD)))
    })
  },
  {
    name: "of which there are none when the client finishes first",
    run: Effect.gen(function* () {
      const { client, rig } = yield* waitingClient()
      const looking = yield* Effect.forkChild(look(rig, client.id), { startImmediately: true })
      yield* client.peer.finish
      assert.strictEqual(yield* Fiber.join(looking), "")
      // And once more, now that it has finished.
      assert.strictEqual(yield* look(rig, client.id), "")
      const server = yield* serve({ onPeer: echo })
      yield* rig.bridge(client.id, server.endpoint)
      yield* client.peer.awaitFin
      const ended = yield* rig.end(client.id)
      assert.deepStrictEqual([Rig.why(ended), ended.bytesIn], ["client relay fin", 0])
    })
  },
  {
    name: "that were the last: a client that has sent them and finished is served",
    run: Effect.gen(function* () {
      const { client, rig } = yield* waitingClient("question")
      yield* client.peer.finish
      assert.strictEqual(yield* look(rig, client.id), "question")
      const server = yield* serve({ onPeer: echo })
      yield* rig.bridge(client.id, server.endpoint)
      yield* client.peer.awaitFin
      assert.strictEqual(client.peer.text(), "question")
    })
  },
  ...[1, 1_000, MAX_PREREAD, 300_000].map((size): Case => ({
    name: `without taking them: all ${size} bytes reach the backend`,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ reading: { bytes: 65_536, ms: 1 } })
      const client = yield* rig.client()
      const sending = yield* Effect.forkChild(sendFlow(client.peer, { seed: size, size, chunk: 9_999 }))
      yield* look(rig, client.id)
      yield* rig.bridge(client.id, server.endpoint)
      const backend = yield* server.peer(0)
      const sent = yield* Fiber.join(sending)
      yield* client.peer.finish
      yield* backend.awaitFin
      assert.deepStrictEqual([backend.received(), backend.sha256()], [size, sent])
      yield* backend.finish
      assert.strictEqual((yield* rig.end(client.id)).bytesIn, size)
    })
  })),
  ...[
    [1, 200_000],
    [100, 100],
    [5_000, 200_000],
    [MAX_PREREAD, 200_000]
  ].map(([taken = 0, size = 0]): Case => ({
    name: `of which ${taken} of ${size} are taken: the rest reaches the backend, and counts`,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ reading: { bytes: 65_536, ms: 1 } })
      const client = yield* rig.client()
      const bytes = seededBytes(size, size)
      yield* Effect.forkScoped(Effect.andThen(client.peer.send(bytes), client.peer.finish))
      yield* rig.cameEarly(client, taken)
      const shown = yield* rig.transport.preread(client.id, "any", MAX_PREREAD)
      assert.isAtLeast(shown.length, taken)
      // In two bites where there are two.
      rig.transport.consume(client.id, taken - (taken >> 1))
      rig.transport.consume(client.id, taken >> 1)
      assert.strictEqual((yield* Effect.flip(rig.bridge(client.id, refusing))).reason, "Refused")
      yield* rig.bridge(client.id, server.endpoint)
      const backend = yield* server.peer(0)
      yield* backend.awaitFin
      assert.deepStrictEqual([backend.received(), backend.sha256()], [size - taken, sha256(bytes.subarray(taken))])
      yield* backend.finish
      assert.strictEqual((yield* rig.end(client.id)).bytesIn, size - taken)
    })
  })),
  {
    name: "a reset meanwhile: it is gone, and its end is told",
    run: Effect.gen(function* () {
      const { client, rig } = yield* waitingClient()
      const looking = yield* Effect.forkChild(failedLook(rig, client.id), { startImmediately: true })
      yield* client.peer.reset
      assert.strictEqual(yield* Fiber.join(looking), "Gone")
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "client pre-route rst")
    })
  },
  {
    name: "until the deadline since it was accepted, which no look puts off",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make({ prerouteMs: LIMIT })
      const since = performance.now()
      const client = yield* rig.client()
      yield* Effect.sleep((LIMIT * 2) / 3)
      assert.strictEqual(yield* failedLook(rig, client.id), "Deadline")
      const took = performance.now() - since
      assert.isAtLeast(took, LIMIT - 5)
      assert.isBelow(took, (LIMIT * 5) / 3)
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "proxy pre-route preroute-timeout")
      assert.notStrictEqual(yield* client.peer.awaitClosed, "fin")
    })
  },
  ...(["fin", "rst"] as const).map((how): Case => ({
    name: `until it is aborted with ${how}`,
    run: Effect.gen(function* () {
      const { client, rig } = yield* waitingClient()
      const looking = yield* Effect.forkChild(failedLook(rig, client.id), { startImmediately: true })
      rig.transport.abort(client.id, how, killed)
      assert.strictEqual(yield* Fiber.join(looking), "Gone")
      if (how === "fin") yield* Effect.andThen(client.peer.awaitFin, client.peer.finish)
      assert.strictEqual(yield* client.peer.awaitClosed, how === "fin" ? "fin" : "ECONNRESET")
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "proxy pre-route killed")
    })
  })),
  {
    name: "an interrupted look takes nothing, and the next one sees the same",
    run: Effect.gen(function* () {
      const { client, rig } = yield* waitingClient()
      const looking = yield* Effect.forkChild(look(rig, client.id), { startImmediately: true })
      yield* Fiber.interrupt(looking)
      yield* client.peer.send("later")
      assert.strictEqual(yield* look(rig, client.id), "later")
      const second = yield* rig.client()
      const given = yield* Effect.forkChild(look(rig, second.id), { startImmediately: true })
      yield* Fiber.interrupt(given)
      const server = yield* serve({ onPeer: echo })
      yield* rig.bridge(second.id, server.endpoint)
      yield* second.peer.send("straight on")
      yield* second.peer.awaitText("straight on")
    })
  },
  {
    name: "no longer once it is bridged, or asked anew: the old question is answered",
    run: Effect.gen(function* () {
      const { client, rig } = yield* waitingClient()
      const ask = Effect.forkChild(failedLook(rig, client.id), { startImmediately: true })
      const [first, second] = [yield* ask, yield* ask]
      assert.strictEqual(yield* Fiber.join(first), "Gone")
      const server = yield* serve({ onPeer: echo })
      yield* rig.bridge(client.id, server.endpoint)
      assert.strictEqual(yield* Fiber.join(second), "Gone")
      yield* client.peer.send("hello")
      yield* client.peer.awaitText("hello")
    })
  },
  {
    name: "again after a dial that failed: they are still there",
    run: Effect.gen(function* () {
      const { client, rig } = yield* waitingClient("question")
      assert.strictEqual(yield* look(rig, client.id), "question")
      yield* Effect.flip(rig.bridge(client.id, refusing))
      assert.strictEqual(yield* look(rig, client.id), "question")
    })
  },
  {
    name: "not of one that dials or is bridged, nor under a stale or unknown id; to take there takes nothing",
    run: Effect.gen(function* () {
      const { client, rig } = yield* waitingClient("question")
      const hole = yield* blackHole()
      const server = yield* serve({ onPeer: echo })
      const dial = yield* Effect.forkChild(Effect.flip(rig.bridge(client.id, hole, { connectMs: 300 })), {
        startImmediately: true
      })
      assert.strictEqual(yield* failedLook(rig, client.id), "Gone")
      rig.transport.consume(client.id, 4)
      yield* Fiber.join(dial)
      yield* rig.bridge(client.id, server.endpoint)
      assert.strictEqual(yield* failedLook(rig, client.id), "Gone")
      rig.transport.consume(client.id, 4)
      yield* client.peer.awaitText("question")
      yield* client.peer.send(" and more")
      yield* client.peer.awaitText("question and more")
      yield* client.peer.reset
      yield* rig.end(client.id)
      for (const id of [client.id, 0, -1, 4_000_000_000]) {
        assert.strictEqual(yield* failedLook(rig, id), "Gone")
        rig.transport.consume(id, 1)
      }
    })
  },
  {
    name: "a whole ClientHello, however it comes, and nobody else's first bytes",
    run: Effect.gen(function* () {
      const bytes = records(message({ extensions: [serverName("db.example.com"), alpn("h2")] }), 60)
      const server = yield* serve({ onPeer: echo })
      const rig = yield* Rig.make()
      for (const cut of [0, 1, 5, 9, 100, bytes.length - 1]) {
        const client = yield* rig.client()
        const asked = rig.transport.preread(client.id, "client-hello", MAX_PREREAD)
        const looking = yield* Effect.forkChild(asked, { startImmediately: true })
        yield* client.peer.send(bytes.subarray(0, cut))
        yield* rig.cameEarly(client, cut)
        yield* client.peer.send(bytes.subarray(cut))
        assert.strictEqual(sha256(yield* Fiber.join(looking)), sha256(bytes))
        yield* rig.bridge(client.id, server.endpoint)
        yield* client.peer.awaitBytes(bytes.length)
        assert.strictEqual(client.peer.sha256(), sha256(bytes))
      }
      for (const other of ["GET / HTTP/1.1\r\n", "\x80\x2e\x01", "\x16\x03\x01\0\0"]) {
        const client = yield* rig.client()
        yield* client.peer.send(Buffer.from(other, "latin1"))
        const error = yield* Effect.flip(rig.transport.preread(client.id, "client-hello", MAX_PREREAD))
        assert.strictEqual(error.reason, "Malformed")
      }
      const leaving = yield* rig.client()
      yield* leaving.peer.send(bytes.subarray(0, 50))
      yield* leaving.peer.finish
      const error = yield* Effect.flip(rig.transport.preread(leaving.id, "client-hello", MAX_PREREAD))
      assert.strictEqual(error.reason, "Malformed")
    })
  },
  {
    name: "a PROXY header and then a ClientHello, which are taken and left; all in one packet or in many",
    run: Effect.gen(function* () {
      const header = v2({ rest: tlv(5, "u-1") })
      const hello = records(message({ extensions: [serverName("db.example.com")] }))
      const bytes = Buffer.concat([header, hello, Buffer.from("early data")])
      const server = yield* serve({ onPeer: echo })
      const rig = yield* Rig.make()
      for (const size of [bytes.length, 1, 40]) {
        const client = yield* rig.client()
        const looking = yield* Effect.forkChild(
          Effect.gen(function* () {
            const first = yield* rig.transport.preread(client.id, "proxy", MAX_PREREAD)
            assert.strictEqual(sha256(first.subarray(0, header.length)), sha256(header))
            rig.transport.consume(client.id, header.length)
            const second = yield* rig.transport.preread(client.id, "client-hello", MAX_PREREAD)
            assert.strictEqual(sha256(second.subarray(0, hello.length)), sha256(hello))
          }),
          { startImmediately: true }
        )
        for (let at = 0; at < bytes.length; at += size) yield* client.peer.send(bytes.subarray(at, at + size))
        yield* Fiber.join(looking)
        yield* rig.bridge(client.id, server.endpoint)
        yield* client.peer.awaitBytes(bytes.length - header.length)
        assert.strictEqual(client.peer.sha256(), sha256(bytes.subarray(header.length)))
        yield* client.peer.finish
        assert.strictEqual((yield* rig.end(client.id)).bytesIn, bytes.length - header.length)
      }
    })
  },
  {
    name: "that are no PROXY header at once, a broken one, one that is cut, and none at all",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const ask = Effect.fnUntraced(function* (bytes: Uint8Array | string, finish = false) {
        const client = yield* rig.client()
        yield* client.peer.send(bytes)
        if (finish) yield* client.peer.finish
        return yield* rig.transport
          .preread(client.id, "proxy", MAX_PREREAD)
          .pipe(Effect.match({ onSuccess: text, onFailure: ({ reason }) => `!${reason}` }))
      })
      assert.strictEqual(yield* ask("GET /"), "GET /")
      assert.strictEqual(yield* ask("PROXX"), "PROXX")
      assert.strictEqual(yield* ask("PROXY TCP9 1 2 3 4\r\n"), "!Malformed")
      assert.strictEqual(yield* ask(v2({ rest: tlv(3, [1, 2, 3, 4]) })), "!Malformed")
      assert.strictEqual(yield* ask(v2({ length: 65_535 })), "!Malformed")
      assert.strictEqual(yield* ask("PRO", true), "PRO")
      assert.strictEqual(yield* ask("PROXY TCP4", true), "!Malformed")
      assert.strictEqual(yield* ask("", true), "")
    })
  },
  {
    name: "not beyond the deadline, which half a header that goes on and on does not move",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make({ prerouteMs: 400 })
      const client = yield* rig.client()
      yield* client.peer.send("PROXY UNKNOWN ")
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(client.peer.send("x"), Effect.sleep(20))))
      const { reason } = yield* Effect.flip(rig.transport.preread(client.id, "proxy", MAX_PREREAD))
      assert.strictEqual(reason, "Deadline")
      assert.strictEqual(Rig.why(yield* rig.end(client.id)), "proxy pre-route preroute-timeout")
    })
  },
  {
    name: "of many clients at the same time, each its own",
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const server = yield* serve({ onPeer: echo })
      yield* Effect.forEach(
        Array.from({ length: 200 }, (_, index) => `client ${index};`),
        Effect.fnUntraced(function* (name) {
          const client = yield* rig.client()
          const looking = yield* Effect.forkChild(look(rig, client.id), { startImmediately: true })
          yield* client.peer.send(name)
          assert.strictEqual(yield* Fiber.join(looking), name)
          rig.transport.consume(client.id, 7)
          yield* rig.bridge(client.id, server.endpoint)
          yield* client.peer.finish
          yield* client.peer.awaitFin
          assert.strictEqual(client.peer.text(), name.slice(7))
        }),
        { concurrency: "unbounded", discard: true }
      )
    })
  }
]
