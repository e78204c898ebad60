import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { type Endpoint, noExtras } from "../../../src/traffic/Transport.ts"
import { blackHole } from "../../support/blackHole.ts"
import { seededBytes, sha256 } from "../../support/bytes.ts"
import { leaveFds } from "../../support/fdLimit.ts"
import { countFds } from "../../support/fds.ts"
import { connect, echo, type Peer, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import { EngineUnderTest } from "../Engine.ts"
import { isLost, kill, serves } from "../loss.ts"
import * as Rig from "../Rig.ts"

const skip = countFds() === undefined

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const ping = Effect.fnUntraced(function* (peer: Peer, word: string) {
  yield* peer.send(word)
  yield* peer.awaitText(word)
})

/** Serves whatever comes, as long as the engine does. */
const serving = Effect.fnUntraced(function* () {
  const server = yield* serve({ onPeer: echo })
  const rig: Rig.Rig = yield* Rig.make({
    onAccept: ({ id }) => void Effect.runFork(Effect.ignore(rig.bridge(id, server.endpoint)))
  })
  return rig
})

const WHOLE_BYTES = 300_000

/** One connection: whole, with every byte echoed before the end, or cut, which must not look like an end. */
const live = (to: Endpoint, bytes: Buffer) =>
  connect(to).pipe(
    Effect.flatMap((peer) => {
      peer.socket.end(bytes)
      return Effect.map(peer.awaitClosed, (closed) => ({ closed, peer }))
    }),
    Effect.map(({ closed, peer }) => {
      if (closed !== "fin") return false
      assert.deepStrictEqual([peer.received(), peer.sha256()], [bytes.length, sha256(bytes)])
      return true
    }),
    // It may be cut before its client knows that it is connected.
    Effect.catch(({ code }) => (code === "ECONNRESET" ? Effect.succeed(false) : Effect.die(code))),
    Effect.scoped
  )

export const cases: ReadonlyArray<Case> = [
  {
    name: "200 connections, some in every phase: each ends once",
    threads: true,
    skip,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      const before = countFds() ?? 0
      yield* Effect.gen(function* () {
        const hole = yield* blackHole()
        const server = yield* serve({ onPeer: echo })
        const clients = yield* Effect.forEach(upTo(200), () => rig.client(), { concurrency: 20 })
        // Each asks something, and gets an answer.
        const ask = ({ id, peer }: Rig.Client, index: number): Effect.Effect<unknown, unknown> => {
          if (index % 4 === 0) return rig.bridge(id, hole)
          if (index % 4 === 1) return rig.transport.preread(id, "any", 10)
          if (index % 4 === 2) return Effect.void
          return Effect.andThen(rig.bridge(id, server.endpoint), ping(peer, "ping"))
        }
        const answers = yield* Effect.forEach(clients, (client, index) =>
          Effect.forkChild(Effect.exit(ask(client, index)), { startImmediately: true })
        )
        yield* kill(rig)
        yield* Effect.forEach(answers, Fiber.join, { discard: true })
        for (const { id, peer } of clients) {
          isLost(yield* rig.end(id))
          assert.strictEqual(yield* peer.awaitClosed, "ECONNRESET")
        }
      }).pipe(Effect.scoped)
      assert.lengthOf(rig.ends, 200)
      yield* serves(rig)
      yield* eventually(
        () => `as many descriptors as before: ${before}, now ${countFds()}`,
        () => (countFds() ?? 0) <= before
      )
    })
  },
  {
    name: "clients that come meanwhile: they wait in the backlog and are served",
    threads: true,
    run: Effect.gen(function* () {
      const rig = yield* serving()
      yield* kill(rig)
      const clients = yield* Effect.forEach(upTo(50), () => connect(rig.listener.address))
      yield* Effect.forEach(clients, (peer, index) => ping(peer, `client ${index}`), { concurrency: "unbounded" })
    })
  },
  {
    name: "a pause: what was paused before stays paused, until it is resumed",
    threads: true,
    run: Effect.gen(function* () {
      const paused = yield* serving()
      const other = yield* serving()
      paused.listener.pause("limit")
      yield* kill(paused)
      const peer = yield* connect(paused.listener.address)
      yield* peer.send("client")
      // Its successor is at work.
      for (let round = 0; round < 3; round++) yield* ping((yield* other.client()).peer, "ping")
      assert.lengthOf(paused.accepted, 0)
      paused.listener.resume()
      yield* peer.awaitText("client")
    })
  },
  {
    name: "listeners that are opened, paused, resumed and closed while there is no thread",
    threads: true,
    run: Effect.gen(function* () {
      const [closed, resumed, lasting] = [yield* serving(), yield* serving(), yield* serving()]
      resumed.listener.pause("limit")
      yield* kill(lasting)
      const opened = yield* serving()
      lasting.listener.pause("limit")
      resumed.listener.resume()
      yield* closed.listener.close
      lasting.listener.resume()
      for (const rig of [opened, resumed, lasting]) yield* ping((yield* rig.client()).peer, "ping")
      assert.strictEqual(lasting.transport.census().listeners, 3)
      assert.strictEqual((yield* Effect.flip(connect(closed.listener.address))).code, "ECONNREFUSED")
    })
  },
  {
    name: "a listener that is being closed: it is closed all the same",
    threads: true,
    run: Effect.gen(function* () {
      const rig = yield* serving()
      const killing = yield* Effect.forkChild(kill(rig), { startImmediately: true })
      yield* rig.listener.close
      yield* Fiber.join(killing)
      yield* serves(yield* Rig.make({ port: rig.listener.address.port }))
    })
  },
  {
    name: "again and again under load: what was whole is whole, what was cut looks cut, and all the rest is served",
    threads: true,
    skip,
    timeoutMs: 40_000,
    run: Effect.gen(function* () {
      const rig = yield* serving()
      const before = countFds() ?? 0
      const bytes = seededBytes(9, WHOLE_BYTES)
      const fates = { whole: 0, cut: 0 }
      let stopped = false
      const lane = Effect.gen(function* () {
        while (!stopped) fates[(yield* live(rig.listener.address, bytes)) ? "whole" : "cut"]++
      })
      const kills = Effect.gen(function* () {
        for (let round = 0; round < 6; round++) {
          const until = fates.whole + 20
          yield* eventually(
            () => `${until} whole connections, but ${fates.whole}`,
            () => fates.whole >= until
          )
          yield* kill(rig)
        }
        stopped = true
      })
      yield* Effect.all([kills, ...upTo(12).map(() => lane)], { concurrency: "unbounded", discard: true })
      assert.isAbove(fates.cut, 0)
      for (const ended of rig.ends) if (ended.cause !== "fin") isLost(ended)
      assert.isTrue(yield* live(rig.listener.address, bytes))
      yield* eventually(
        () => `as many descriptors as before: ${before}, now ${countFds()}`,
        () => (countFds() ?? 0) <= before
      )
    })
  },
  {
    name: "for lack of descriptors: threads come when there are some",
    threads: true,
    skip,
    run: Effect.gen(function* () {
      const rig = yield* Rig.make()
      yield* kill(rig)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* leaveFds(0)
          const { threadsLost } = rig.transport.census()
          yield* eventually("threads that could not begin", () => rig.transport.census().threadsLost > threadsLost + 1)
        })
      )
      yield* serves(rig)
    })
  },
  {
    name: "one of two: the connections of the other live on",
    threads: true,
    run: Effect.gen(function* () {
      const { other } = yield* EngineUnderTest
      if (other === undefined) return
      yield* Effect.gen(function* () {
        // By the kernel's hash, so that both have some.
        const rig = yield* Rig.make({ extras: { ...noExtras, reusePort: true } })
        const server = yield* serve({ onPeer: echo })
        const clients = yield* Effect.forEach(upTo(60), () => rig.client(), { concurrency: 20 })
        for (const { id, peer } of clients) {
          yield* rig.bridge(id, server.endpoint)
          yield* ping(peer, "before")
        }
        for (const index of [0, 1]) {
          const ended = rig.ends.length
          yield* kill(rig, index)
          yield* rig.watch.until("ends of its connections", () => rig.ends.length > ended)
          const lost = new Set(rig.ends.map(({ id }) => id))
          const living = clients.filter(({ id }) => !lost.has(id))
          assert.strictEqual(living.length > 0, index === 0)
          assert.strictEqual(rig.transport.census().connections, living.length)
          for (const { peer } of living) yield* ping(peer, `after ${index}`)
        }
        rig.ends.forEach(isLost)
        for (let round = 0; round < 20; round++) yield* serves(rig)
      }).pipe(Effect.scoped, Effect.provide(other({ threads: 2, maxConnections: 1_000 })))
    })
  }
]
