import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { seededBytes } from "../support/bytes.ts"
import { countFds } from "../support/fds.ts"
import { insertRows, rowOf } from "../support/routingDb.ts"
import { connect, echo, greet, type Peer, serve } from "../support/tcp.ts"
import { eventually } from "../support/Watch.ts"
import { greeted, startWith } from "./setup.ts"

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const noProc = countFds() === undefined

const payload = seededBytes(1, 200_000)

/** What a client may do to a proxy. */
const clientFates: ReadonlyArray<(peer: Peer) => Effect.Effect<unknown>> = [
  ({ reset }) => reset,
  ({ finish, reset }) => Effect.andThen(finish, reset),
  ({ reset, send }) => Effect.andThen(send("x"), reset),
  ({ reset, send }) => Effect.andThen(send(payload), reset),
  ({ awaitBytes, reset, send }) =>
    Effect.all([send(payload), Effect.andThen(awaitBytes(1), reset)], { concurrency: 2 }),
  ({ awaitBytes, finish, send }) =>
    Effect.all([Effect.andThen(send(payload), finish), awaitBytes(1)], { concurrency: 2 }),
  ({ awaitBytes, finish, reset, send }) => Effect.all([send("x"), finish, awaitBytes(1), reset]),
  ({ send, socket }) =>
    Effect.andThen(
      send(payload),
      Effect.sync(() => socket.destroy())
    )
]

/** And a backend. */
const backendFates: ReadonlyArray<(peer: Peer) => void> = [
  echo,
  echo,
  ({ socket }) => void socket.resetAndDestroy(),
  ({ socket }) => void socket.once("data", () => socket.resetAndDestroy()),
  ({ socket }) => void socket.once("data", () => socket.end("bye", () => socket.destroy())),
  ({ socket }) => void socket.once("data", () => void socket.destroy()),
  ({ socket }) => void socket.end("bye")
]

/** A backend that closes first leaves a client waiting for bytes that never come; then the client goes too. */
const settled = (peer: Peer, fate: (peer: Peer) => Effect.Effect<unknown>) =>
  Effect.raceFirst(Effect.exit(fate(peer)), Effect.exit(peer.awaitFin)).pipe(
    Effect.andThen(Effect.sync(() => peer.socket.destroy()))
  )

describe("a process under strain", () => {
  it.live.skipIf(noProc)("lives on 128 file descriptors with 500 clients, and recovers", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const rows = [rowOf("a", server, { hard_limit: 0 })]
      const edge = yield* startWith(rows, {}, { fdLimit: 128 })
      const all = yield* Effect.forEach(upTo(500), () => connect(edge.address), { concurrency: "unbounded" })
      // Who has no place waits in the kernel's backlog, or is reset by an engine that can't leave him there.
      const inPlace = () => all.filter((peer) => peer.text() === "a\n")
      yield* eventually("clients in all places", () => inPlace().length >= 20 && inPlace().length === server.open())
      const clients = inPlace()
      assert.isBelow(clients.length, 64)
      for (const peer of clients) {
        yield* peer.send("still there")
        yield* peer.awaitText("still there")
      }
      // The table is still looked at.
      insertRows(edge.database, [rowOf("b", server)])
      yield* edge.log(({ backends }) => backends === 2)

      for (const peer of clients) yield* peer.finish
      for (const peer of all) if (!clients.includes(peer)) peer.socket.destroy()
      yield* eventually("place for new clients", () => server.open() === 0)
      for (let round = 0; round < 20; round++) yield* Effect.scoped(greeted(edge.address))
      const last = yield* edge.stop
      assert.deepStrictEqual(last, { code: 0, signal: null })
    })
  )

  it.live.skipIf(noProc)("clients that say nothing, or little, cost their own place only", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const edge = yield* startWith([rowOf("a", server, { hard_limit: 0 })], { IDLE_TIMEOUT_SECS: "1.5" })
      const warm = yield* connect(edge.address)
      yield* warm.finish
      yield* edge.entryCount(1)
      // It begins after the listeners.
      yield* edge.log("API endpoint")
      const before = countFds(edge.pid)

      yield* Effect.forEach(upTo(200), () => connect(edge.address))
      const talkers = yield* Effect.forEach(upTo(50), () => connect(edge.address))
      for (let round = 1; round <= 20; round++) {
        for (const talker of talkers) yield* talker.send(".")
        yield* Effect.sleep(100)
      }
      for (const talker of talkers) yield* talker.awaitBytes(20)
      const silent = yield* edge.entryCount(201)
      assert.lengthOf(
        silent.filter(({ end_cause }) => end_cause === "idle-timeout"),
        200
      )
      for (const talker of talkers) yield* talker.finish
      yield* edge.entryCount(251)
      yield* eventually(
        () => `as many descriptors as before: ${before}, now ${countFds(edge.pid)}`,
        () => (countFds(edge.pid) ?? Infinity) <= (before ?? 0)
      )
    })
  )

  it.live.skipIf(noProc)(
    "resets at any moment by either side leave no descriptor and no connection behind",
    () =>
      Effect.gen(function* () {
        const choices = seededBytes(7, 4_000)
        let accepted = 0
        const server = yield* serve({
          onPeer: (peer) => {
            const fate = backendFates[(choices[accepted++ % choices.length] ?? 0) % backendFates.length]
            fate?.(peer)
          }
        })
        // Some of these backends never finish: the limits see to that.
        const limits = { FIN_TIMEOUT_SECS: "1", STALL_TIMEOUT_SECS: "1", IDLE_TIMEOUT_SECS: "2" }
        const edge = yield* startWith([rowOf("a", server, { hard_limit: 0 })], limits)
        const warm = yield* connect(edge.address)
        yield* warm.reset
        yield* edge.entryCount(1)
        // It begins after the listeners.
        yield* edge.log("API endpoint")
        const before = countFds(edge.pid)

        yield* Effect.forEach(
          upTo(2_000),
          (index) => {
            const fate = clientFates[(choices[2_000 + index] ?? 0) % clientFates.length]
            return connect(edge.address).pipe(
              Effect.flatMap((peer) => (fate === undefined ? peer.reset : settled(peer, fate))),
              Effect.ignore,
              Effect.scoped
            )
          },
          { concurrency: 25, discard: true }
        )
        yield* eventually(
          () => `as many descriptors as before: ${before}, now ${countFds(edge.pid)}`,
          () => (countFds(edge.pid) ?? Infinity) <= (before ?? 0)
        )
        edge.signal("SIGTERM")
        const draining = yield* edge.log("draining")
        assert.strictEqual(draining["connections"], 0)
        assert.strictEqual((yield* edge.exit).code, 0)
        assert.lengthOf(
          edge.logs.filter(({ level }) => level === "error" || level === "fatal"),
          0
        )
        assert.strictEqual(edge.errorText(), "")
        const causes = new Set(edge.entries.map(({ end_by, end_cause }) => `${end_by} ${end_cause}`))
        assert.includeMembers([...causes], ["client rst", "backend rst", "client fin"])
        assert.strictEqual(new Set(edge.entries.map(({ conn }) => conn)).size, edge.entries.length)
      }),
    60_000
  )
})
