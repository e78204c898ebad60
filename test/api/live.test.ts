import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { LiveMessage } from "../../src/dashboard/LiveMessage.ts"
import * as LiveView from "../../src/dashboard/LiveView.ts"
import { connect, type Peer } from "../support/tcp.ts"
import { viewOf } from "./MemoryRegistry.ts"
import * as rig from "./rig.ts"

const { ask, bearer, elsewhere, make, READ_TOKEN } = rig

const PATH = "/api/v1/live"

const request = (headers: Record<string, string> = {}): string =>
  [`GET ${PATH} HTTP/1.1`, "Host: localhost", ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)]
    .map((line) => `${line}\r\n`)
    .join("") + "\r\n"

/** The data of the events so far. */
const messagesOf = (peer: Peer): ReadonlyArray<LiveMessage> =>
  Array.from(peer.text().matchAll(/^data: (.*)$/gm), ([, json = ""]) => JSON.parse(json) as LiveMessage)

const viewOfAll = (peer: Peer): LiveView.LiveView => {
  const view = LiveView.empty()
  for (const message of messagesOf(peer)) LiveView.add(view, message)
  return view
}

const until = (peer: Peer, what: string, fits: (view: LiveView.LiveView) => boolean) =>
  peer.watch.until(what, () => fits(viewOfAll(peer)), 8_000)

describe("the live stream over HTTP", () => {
  it.live("is an event stream that tells what there is and what becomes of it", () =>
    Effect.gen(function* () {
      const { address, registry } = yield* make()
      registry.views.set("b1", viewOf({ id: "b1" }))
      const peer = yield* connect(address)
      yield* peer.send(request())
      yield* until(peer, "the backend", ({ backends }) => backends.size === 1)
      assert.match(peer.text(), /^HTTP\/1\.1 200 /)
      assert.match(peer.text(), /\r\ncontent-type: text\/event-stream\r\n/i)
      assert.match(peer.text(), /\r\ncache-control: no-store\r\n/i)
      registry.views.set("b2", viewOf({ id: "b2" }))
      registry.views.delete("b1")
      yield* until(peer, "the other one", ({ backends }) => [...backends.values()].join().startsWith("b2,"))
    })
  )

  it.live("goes on beyond the time that an answer may take", () =>
    Effect.gen(function* () {
      const { address } = yield* make({ limits: { answerMs: 1_000 } })
      const peer = yield* connect(address)
      yield* peer.send(request())
      yield* until(peer, "five samples", ({ samples }) => samples.length >= 5)
      assert.strictEqual(peer.closed(), undefined)
    })
  )

  it.live("one who reads nothing of it is let go, and the others do not notice", () =>
    Effect.gen(function* () {
      const { address, registry } = yield* make({ limits: { answerMs: 1_000 } })
      const other = yield* connect(address)
      yield* other.send(request())
      const peer = yield* connect(address, { reading: "stalled" })
      yield* peer.send(request())
      // Enough to fill what the system holds for a reader.
      let round = 0
      const fill = Effect.sync(() => {
        round++
        for (let index = 0; index < 1_000; index++) {
          const id = `b${index}`.padEnd(120, "x")
          registry.views.set(id, viewOf({ id, checkError: `${round}`.padEnd(1_000, "y") }))
        }
      })
      yield* fill.pipe(
        Effect.andThen(peer.send("\r\n")),
        Effect.repeat({ schedule: Schedule.spaced(100), until: () => peer.closed() !== undefined }),
        Effect.timeout("15 seconds")
      )
      assert.strictEqual(other.closed(), undefined)
    })
  )

  it.live("ends at once when the API does", () =>
    Effect.gen(function* () {
      const { address, close } = yield* make()
      const peer = yield* connect(address)
      yield* peer.send(request())
      yield* until(peer, "something", ({ at }) => at > 0)
      const startedAt = performance.now()
      yield* close
      assert.isBelow(performance.now() - startedAt, 500)
      yield* peer.watch.until("the end", () => peer.text().endsWith("0\r\n\r\n") || peer.closed() !== undefined, 2_000)
    })
  )

  it.live("asking for its head only is no viewer", () =>
    Effect.gen(function* () {
      const { address } = yield* make()
      const { body, status } = yield* ask(address, PATH, { method: "HEAD" })
      assert.deepStrictEqual([status, body], [200, ""])
    })
  )

  it.live.skipIf(elsewhere === undefined)("is for those who may read", () =>
    Effect.gen(function* () {
      const { address } = yield* make({ address: { address: "0.0.0.0", port: 0 } })
      const remote = { address: elsewhere ?? "", port: address.port }
      assert.strictEqual((yield* ask(remote, PATH)).status, 401)
      assert.strictEqual((yield* ask(remote, PATH, { headers: bearer("wrong") })).status, 401)
      const peer = yield* connect(remote)
      yield* peer.send(request(bearer(READ_TOKEN)))
      yield* until(peer, "something", ({ at }) => at > 0)
      // From a page of another site.
      const local = { address: "127.0.0.1", port: address.port }
      assert.strictEqual((yield* ask(local, PATH, { headers: { origin: "http://evil.example" } })).status, 403)
      assert.strictEqual((yield* ask(local, PATH, { headers: { host: "evil.example" } })).status, 403)
    })
  )
})
