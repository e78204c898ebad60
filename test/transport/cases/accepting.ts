import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Accepted, Endpoint } from "../../../src/traffic/Transport.ts"
import { inBacklog } from "../../support/backlog.ts"
import { connect, echo, type Peer, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

// The control side may have asked for the dial that was not made any more.
const lost = ["client pre-route rst", "client dial rst"]

const ping = Effect.fnUntraced(function* (peer: Peer, word: string) {
  yield* peer.send(word)
  yield* peer.awaitText(word)
})

/** A rig that bridges whatever it accepts, in the very call in which the engine tells of it. */
const serving = Effect.fnUntraced(function* (backend: Endpoint) {
  const failed: Array<string> = []
  const bridge = (accepted: Accepted): void => {
    Effect.runFork(
      rig
        .bridge(accepted.id, backend)
        .pipe(Effect.catchTag("DialError", ({ reason }) => Effect.sync(() => void failed.push(reason))))
    )
  }
  const rig: Rig.Rig = yield* Rig.make({ onAccept: bridge })
  return { rig, failed }
})

/** A rig that serves one client and is paused; the engine has heard of it. */
const paused = Effect.fnUntraced(function* () {
  const server = yield* serve({ onPeer: echo })
  const { failed, rig } = yield* serving(server.endpoint)
  const running = yield* rig.client()
  yield* ping(running.peer, "before")
  rig.listener.pause("limit")
  rig.listener.pause("limit")
  // What was said to the engine before is in force when it has carried something after.
  yield* ping(running.peer, "after")
  return { failed, rig, running, server }
})

/** How a connection ends that nobody serves, be it while it is still being opened. */
const endOf = (to: Endpoint) =>
  connect(to).pipe(
    Effect.flatMap((peer) => peer.awaitClosed),
    Effect.catch(({ code }) => Effect.succeed(code ?? "?")),
    Effect.scoped
  )

export const cases: ReadonlyArray<Case> = [
  {
    name: "nobody while paused: they wait with what they say and are served later; connections that run feel nothing",
    needs: "leaves clients in the backlog",
    run: Effect.gen(function* () {
      const { rig, running } = yield* paused()
      const waiting = yield* Effect.forEach(upTo(20), (index) =>
        Effect.tap(connect(rig.listener.address), (peer) => peer.send(`client ${index}`))
      )
      yield* waiting[0]?.finish ?? Effect.void
      yield* ping(running.peer, "still")
      assert.lengthOf(rig.accepted, 1)
      assert.strictEqual(rig.transport.census().connections, 1)
      rig.listener.resume()
      yield* Effect.forEach(waiting, (peer, index) => peer.awaitText(`client ${index}`), { concurrency: "unbounded" })
      assert.lengthOf(rig.accepted, 21)
      assert.strictEqual(rig.acceptErrors(), 0)
      yield* waiting[0]?.awaitFin ?? Effect.void
    })
  },
  {
    name: "nobody while paused: they are reset, told of and counted; then as before",
    lacks: "leaves clients in the backlog",
    run: Effect.gen(function* () {
      const { rig, running } = yield* paused()
      const before = rig.transport.census().resetWhilePaused
      const ends = yield* Effect.forEach(upTo(20), () => endOf(rig.listener.address), { concurrency: "unbounded" })
      assert.deepStrictEqual(
        ends,
        upTo(20).map(() => "ECONNRESET")
      )
      yield* rig.watch.until(
        () => `word of 20 that were reset, but of ${rig.acceptErrors()}`,
        () => rig.acceptErrors() >= 20
      )
      assert.deepStrictEqual([rig.acceptErrors(), rig.transport.census().resetWhilePaused - before], [20, 20])
      assert.deepStrictEqual([...rig.acceptCodes], ["limit"])
      yield* ping(running.peer, "still")
      assert.lengthOf(rig.accepted, 1)
      rig.listener.resume()
      // An answer to something later: a thread has heard of both.
      yield* Effect.flip(rig.transport.preread(running.id, "any", 1))
      const next = yield* rig.client()
      yield* ping(next.peer, "pong")
    })
  },
  {
    name: "who has reset while paused is not dialled for when it goes on",
    needs: "leaves clients in the backlog",
    run: Effect.gen(function* () {
      const { rig, running, server } = yield* paused()
      const waiting = yield* Effect.forEach(upTo(60), () => connect(rig.listener.address))
      const leaving = waiting.filter((_, index) => index % 3 > 0)
      yield* Effect.forEach(leaving, (peer, index) =>
        Effect.andThen(index % 2 === 0 ? peer.send("x") : Effect.void, peer.reset)
      )
      rig.listener.resume()
      const survivors = waiting.filter((_, index) => index % 3 === 0)
      yield* Effect.forEach(survivors, (peer, index) => ping(peer, `survivor ${index}`))
      yield* ping(running.peer, "still")
      // Accepted in order, so that what was to be dialled has been dialled.
      yield* ping((yield* rig.client()).peer, "last")
      assert.strictEqual(server.peers.length, survivors.length + 2)
      for (const ended of rig.ends) assert.oneOf(Rig.why(ended), lost)
    })
  },
  {
    name: "and does not dial for who has reset in the backlog while everything stood still",
    run: Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const { rig } = yield* serving(server.endpoint)
      const survivors = upTo(100).filter((index) => index % 2 === 0)
      const { heard, watch } = yield* inBacklog(rig.listener.address, 100)
      yield* watch.until(
        () => `word from every survivor: ${heard()}`,
        () => survivors.every((index) => heard().includes(`survivor ${index};`))
      )
      assert.strictEqual(server.peers.length, survivors.length)
      assert.notInclude(heard(), "lost")
      for (const ended of rig.ends) assert.oneOf(Rig.why(ended), lost)
    })
  },
  {
    name: "nobody twice and loses nobody when it is paused and resumed again and again",
    run: Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const { rig } = yield* serving(server.endpoint)
      const before = rig.transport.census().resetWhilePaused
      const toggling = yield* Effect.forkChild(
        Effect.forever(
          Effect.gen(function* () {
            rig.listener.pause("limit")
            yield* Effect.sleep(1)
            rig.listener.resume()
            yield* Effect.sleep(1)
          })
        )
      )
      const served = yield* Effect.forEach(
        upTo(500),
        (index) =>
          connect(rig.listener.address).pipe(
            Effect.flatMap((peer) =>
              Effect.gen(function* () {
                const word = `client ${index}`
                yield* peer.send(word)
                yield* peer.watch.until(`answer to ${word}`, () => peer.text() === word || peer.closed() !== undefined)
                return peer.text() === word
              })
            ),
            Effect.catch(() => Effect.succeed(false)),
            Effect.scoped
          ),
        { concurrency: 25 }
      )
      yield* Fiber.interrupt(toggling)
      const refused = served.filter((was) => !was).length
      const counted = (): number => rig.transport.census().resetWhilePaused - before
      yield* rig.watch.until(
        () => `${refused} that were reset, but ${counted()}`,
        () => counted() >= refused
      )
      assert.strictEqual(counted(), refused)
      assert.strictEqual(rig.accepted.length, 500 - refused)
      rig.listener.resume()
      yield* connect(rig.listener.address).pipe(
        Effect.flatMap((peer) => ping(peer, "last")),
        Effect.sandbox,
        Effect.retry({ times: 20 }),
        Effect.scoped
      )
    })
  },
  {
    name: "for one listener while another is paused",
    run: Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const { rig } = yield* serving(server.endpoint)
      const { rig: other } = yield* paused()
      yield* ping((yield* rig.client()).peer, "ping")
      assert.lengthOf(other.accepted, 1)
    })
  },
  {
    name: "2,000 that come at once, and serves them all",
    timeoutMs: 30_000,
    run: Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const { failed, rig } = yield* serving(server.endpoint)
      yield* Effect.forEach(
        upTo(2_000),
        (index) =>
          Effect.flatMap(connect(rig.listener.address), (peer) =>
            Effect.gen(function* () {
              yield* ping(peer, `client ${index};`)
              yield* peer.finish
              assert.strictEqual(yield* peer.awaitClosed, "fin")
              assert.strictEqual(peer.text(), `client ${index};`)
            })
          ).pipe(Effect.scoped),
        { concurrency: "unbounded", discard: true }
      )
      assert.strictEqual(new Set(rig.accepted.map(({ id }) => id)).size, 2_000)
      assert.lengthOf(failed, 0)
      yield* rig.watch.until(
        () => `2,000 ends, but ${rig.ends.length}`,
        () => rig.ends.length === 2_000
      )
      assert.isTrue(rig.ends.every(({ cause }) => cause === "fin"))
    })
  },
  {
    name: "who was connected before the listener closes, under load, and leaves nobody hanging who came after",
    timeoutMs: 30_000,
    run: Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const { rig } = yield* serving(server.endpoint)
      const running = yield* Effect.forEach(upTo(50), () => rig.client(), { concurrency: 10 })
      const load = yield* Effect.forEach(
        running,
        ({ peer }) => Effect.forever(Effect.andThen(peer.send("load"), Effect.sleep(1))),
        { concurrency: "unbounded", discard: true }
      ).pipe(Effect.forkChild)
      const crowd = yield* Effect.forEach(upTo(500), () => connect(rig.listener.address), { concurrency: "unbounded" })
      const closing = yield* Effect.forkChild(rig.listener.close, { startImmediately: true })
      const late = yield* Effect.forEach(
        upTo(200),
        () =>
          connect(rig.listener.address).pipe(
            Effect.flatMap((peer) =>
              Effect.gen(function* () {
                yield* peer.send("late")
                yield* peer.watch.until("answer or end", () => peer.text() === "late" || peer.closed() !== undefined)
                return peer.closed() ?? "served"
              })
            ),
            Effect.catch(({ code }) => Effect.succeed(code ?? "?"))
          ),
        { concurrency: "unbounded" }
      )
      yield* Fiber.join(closing)
      for (const fate of late) assert.oneOf(fate, ["served", "ECONNREFUSED", "ECONNRESET"])
      yield* Effect.forEach(crowd, (peer) => ping(peer, "still there"), { concurrency: "unbounded", discard: true })
      yield* Fiber.interrupt(load)
      for (const { peer } of running) yield* ping(peer, "running")
      assert.strictEqual(yield* endOf(rig.listener.address), "ECONNREFUSED")
      assert.isAtLeast(rig.accepted.length, 550)
      assert.lengthOf(rig.ends, 0)
    })
  },
  {
    name: "again on the same port, at once after it was closed, while earlier connections live on",
    run: Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const { rig } = yield* serving(server.endpoint)
      const running = yield* rig.client()
      yield* ping(running.peer, "one")
      yield* rig.listener.close
      const again = yield* Rig.make({ port: rig.listener.address.port })
      const next = yield* again.client()
      yield* again.bridge(next.id, server.endpoint)
      yield* ping(next.peer, "two")
      yield* ping(running.peer, "three")
      assert.lengthOf(rig.accepted, 1)
      yield* eventually("one listener more than none", () => again.transport.census().listeners === 1)
    })
  }
]
