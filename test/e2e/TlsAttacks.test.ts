import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as tls from "node:tls"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { alteredWire } from "../support/alteredWire.ts"
import { seededBytes } from "../support/bytes.ts"
import { countFds } from "../support/fds.ts"
import { rowOf } from "../support/routingDb.ts"
import { connect, greet, makePeer, type Peer, serve } from "../support/tcp.ts"
import { eventually } from "../support/Watch.ts"
import { ca, certificates, connectTls } from "./secure.ts"
import { type Edge, startWith, why } from "./setup.ts"

const engines = process.platform === "linux" ? ["auto", "node"] : ["node"]
const noProc = countFds() === undefined
const PREROUTE_MS = 1_500
/** What a busy machine may add to a deadline. */
const LATE_MS = 5_000

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)
/** So many places in a text of that length, its beginning and end among them. */
const places = (length: number, count: number): ReadonlyArray<number> => [
  ...new Set(upTo(count).map((index) => Math.round((index * (length - 1)) / (count - 1))))
]

const rssOf = ({ pid }: Edge): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1_024

/** What Node's own client says first. */
const recordHello = Effect.gen(function* () {
  const { endpoint, peer } = yield* serve({ reading: "stalled" })
  const socket = tls.connect({ host: endpoint.address, port: endpoint.port, servername: "main.example" })
  socket.on("error", () => undefined)
  const heard = yield* peer(0)
  const hello = yield* eventually("a ClientHello", () => {
    const bytes: Buffer | null = heard.socket.read()
    if (bytes !== null) heard.socket.unshift(bytes)
    return bytes !== null && bytes.length >= 5 + bytes.readUInt16BE(3) && bytes
  })
  socket.destroy()
  return hello
}).pipe(Effect.scoped)

const make = Effect.fnUntraced(function* (TRANSPORT: string, more: Readonly<Record<string, string>> = {}) {
  const server = yield* serve({ onPeer: greet("a") })
  const { env } = yield* certificates
  const timeout = { PREROUTE_TIMEOUT_MS: `${PREROUTE_MS}` }
  const edge = yield* startWith([rowOf("a", server)], { ...env, ...timeout, TRANSPORT, ...more })
  const to = edge.addresses[1] ?? edge.address
  yield* isServed(to)
  yield* edge.entryCount(1)
  // It begins after the listeners.
  yield* edge.log("API endpoint")
  return { edge, server, to, fds: countFds(edge.pid) ?? 0, rss: rssOf(edge) }
})

/** A client of good will, from its handshake to its end. */
const isServed = (to: Endpoint) =>
  Effect.gen(function* () {
    const client = yield* connectTls(to)
    yield* client.awaitText("a\n")
    yield* client.finish
    yield* client.awaitClosed
  }).pipe(Effect.scoped)

/** Says this and then nothing any more; how long it was left at that. */
const attack = (to: Endpoint, bytes: Uint8Array, finishes = false) =>
  Effect.gen(function* () {
    const peer = yield* connect(to)
    const begunAt = performance.now()
    yield* peer.send(bytes)
    if (finishes) yield* peer.finish
    yield* peer.awaitClosed
    return performance.now() - begunAt
  }).pipe(Effect.scoped)

/** All of them before their deadline; nobody was let in, and nothing is left of them. */
const areEnded = Effect.fnUntraced(function* (
  { edge, fds, rss, server, to }: Effect.Success<ReturnType<typeof make>>,
  attacks: ReadonlyArray<Effect.Effect<number, NodeJS.ErrnoException>>
) {
  const before = edge.entries.length
  const dialled = server.peers.length
  const took = yield* Effect.all(attacks, { concurrency: 100 })
  const entries = (yield* edge.entryCount(before + attacks.length)).slice(before)
  assert.lengthOf(entries, attacks.length)
  assert.isBelow(Math.max(...took), PREROUTE_MS + LATE_MS)
  for (const entry of entries) assert.strictEqual(entry.end_phase, "pre-route", why(entry))
  assert.lengthOf(server.peers, dialled)
  yield* eventually(
    () => `as many descriptors as before: ${fds}, now ${countFds(edge.pid)}`,
    () => (countFds(edge.pid) ?? 0) <= fds
  )
  assert.isBelow(rssOf(edge) - rss, 100e6)
  yield* isServed(to)
  yield* edge.entryCount(before + attacks.length + 1)
  return entries
})

const isWell = Effect.fnUntraced(function* (edge: Edge) {
  assert.deepStrictEqual(yield* edge.stop, { code: 0, signal: null })
  assert.deepInclude(edge.logs.at(-1), { message: "drained", forced: 0 })
  const errors = edge.logs.filter(({ level }) => level === "error" || level === "fatal")
  assert.deepStrictEqual(errors, [])
  assert.strictEqual(edge.errorText(), "")
})

/** A client with what it writes altered, whose handshake may fail. */
const altered = Effect.fnUntraced(function* (to: Endpoint, alter: Parameters<typeof alteredWire>[1]) {
  const { socket } = yield* connect(to)
  const wire = alteredWire(socket, alter)
  const secured = tls.connect({ socket: wire, ca: ca.chain, servername: "main.example" })
  yield* Effect.addFinalizer(() => Effect.sync(() => secured.destroy()))
  return makePeer(secured, "fast", socket)
})

const flipped = (bytes: Buffer, at: number, by = 0xff): Buffer => {
  const copy = Buffer.from(bytes)
  copy.writeUInt8(copy.readUInt8(at) ^ by, at)
  return copy
}

describe.skipIf(noProc).each(engines)("attacks on a TLS listener (transport %s)", (TRANSPORT) => {
  it.live("a ClientHello cut at any byte, held or ended there", () =>
    Effect.gen(function* () {
      const scene = yield* make(TRANSPORT)
      const hello = yield* recordHello
      const cuts = places(hello.length, 60).map((at) => hello.subarray(0, at))
      const held = yield* areEnded(
        scene,
        cuts.map((bytes) => attack(scene.to, bytes))
      )
      for (const entry of held) assert.strictEqual(why(entry), "proxy pre-route preroute-timeout")
      yield* areEnded(
        scene,
        cuts.map((bytes) => attack(scene.to, bytes, true))
      )
      yield* isWell(scene.edge)
    })
  )

  it.live("any byte of it changed", () =>
    Effect.gen(function* () {
      const scene = yield* make(TRANSPORT)
      const hello = yield* recordHello
      const changed = places(hello.length, 150).map((at, index) =>
        flipped(hello, at, index % 2 === 0 ? 0xff : 1 << (index % 8))
      )
      yield* areEnded(
        scene,
        changed.map((bytes) => attack(scene.to, bytes))
      )
      yield* isWell(scene.edge)
    })
  )

  it.live("garbage of any length, and what other protocols say first", () =>
    Effect.gen(function* () {
      const scene = yield* make(TRANSPORT)
      const texts = [
        "GET / HTTP/1.1\r\nHost: main.example\r\n\r\n",
        "SSH-2.0-x\r\n",
        "\0\0\0\x08\x04\xd2\x16\x2f",
        "\r\n"
      ]
      const garbage = [1, 2, 5, 6, 100, 1_000, 20_000, 300_000].map((size) => seededBytes(size, size))
      // As if it were a record of a handshake, or one that never ends.
      const posing = garbage.flatMap((bytes) => [
        Buffer.concat([Buffer.from("16030102000100", "hex"), bytes]),
        Buffer.concat([Buffer.from("160301ffff01ffffff", "hex"), bytes])
      ])
      const all = [...texts.map((text) => Buffer.from(text, "latin1")), ...garbage, ...posing]
      yield* areEnded(
        scene,
        all.flatMap((bytes) => [attack(scene.to, bytes), attack(scene.to, bytes, true)])
      )
      yield* isWell(scene.edge)
    })
  )

  it.live("a ClientHello in two packets, wherever it is split, is as good as in one", () =>
    Effect.gen(function* () {
      const { edge, to } = yield* make(TRANSPORT)
      const { length } = yield* recordHello
      const splits = places(length - 1, 60).map((at) => at + 1)
      yield* Effect.forEach(
        splits,
        (at) =>
          Effect.gen(function* () {
            const client = yield* altered(to, (nth, bytes) =>
              nth === 0 ? [bytes.subarray(0, at), bytes.subarray(at)] : [bytes]
            )
            yield* client.awaitText("a\n")
            yield* client.finish
            yield* client.awaitClosed
          }).pipe(Effect.scoped),
        { concurrency: 10 }
      )
      const entries = (yield* edge.entryCount(1 + splits.length)).slice(1)
      for (const entry of entries) assert.strictEqual(why(entry), "client relay fin")
      yield* isWell(edge)
    })
  )

  it.live("what is changed later is cut, before the backend or at both ends", () =>
    Effect.gen(function* () {
      const { edge, server, to } = yield* make(TRANSPORT)
      const finished = yield* altered(to, (nth, bytes) => [nth === 1 ? flipped(bytes, bytes.length - 1) : bytes])
      yield* finished.awaitClosed
      assert.strictEqual((yield* edge.entryCount(2)).at(-1)?.end_phase, "pre-route")
      let breaks = false
      const later = yield* altered(to, (_, bytes) => [breaks ? flipped(bytes, bytes.length - 1) : bytes])
      yield* later.awaitText("a\n")
      yield* later.send("question")
      yield* later.awaitText("a\nquestion")
      breaks = true
      yield* later.send("changed on its way")
      const backend: Peer = yield* server.peer(1)
      assert.strictEqual(yield* backend.awaitClosed, "ECONNRESET")
      assert.strictEqual(backend.text(), "question")
      assert.strictEqual((yield* edge.entryCount(3)).at(-1)?.end_phase, "relay")
      yield* isWell(edge)
    })
  )

  it.live("who has to wait for his handshake can't fill the memory meanwhile", () =>
    Effect.gen(function* () {
      const scene = yield* make(TRANSPORT, { TLS_MAX_HANDSHAKES: "1" })
      const hello = yield* recordHello
      const flood = Buffer.concat([hello, seededBytes(1, 6_000_000)])
      let most = 0
      const watched = Effect.andThen(
        Effect.sync(() => (most = Math.max(most, rssOf(scene.edge) - scene.rss))),
        Effect.sleep(10)
      )
      // All turns are taken, of all threads, when the others come.
      const holding = upTo(30).map(() => attack(scene.to, hello))
      const flooding = upTo(60).map(() => Effect.andThen(Effect.sleep(200), attack(scene.to, flood)))
      yield* Effect.raceFirst(areEnded(scene, [...holding, ...flooding]), Effect.forever(watched))
      assert.isBelow(most, 100e6)
      yield* isWell(scene.edge)
    })
  )
})
