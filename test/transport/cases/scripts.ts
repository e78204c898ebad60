import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { seededBytes, seededStream, sha256 } from "../../support/bytes.ts"
import { type Peer, refusing, serve } from "../../support/tcp.ts"
import type { Case } from "../Case.ts"
import { EngineUnderTest } from "../Engine.ts"
import * as Rig from "../Rig.ts"
import { generate, otherSide, type Script, scriptText, type Side } from "../script.ts"

const sides = ["client", "backend"] as const

const aLoopTurn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** What one side has sent, by the model. */
const makeSent = (seed: number) => {
  const stream = seededStream(seed)
  const chunks: Array<Buffer> = []
  let size = 0
  return {
    size: () => size,
    take: (bytes: number): Buffer => {
      const chunk = stream.next(bytes)
      chunks.push(chunk)
      size += bytes
      return chunk
    },
    put: (chunk: Buffer): void => {
      chunks.push(chunk)
      size += chunk.length
    },
    /** Of the first bytes of it. */
    sha256: (bytes: number): string => {
      const hash = createHash("sha256")
      let left = bytes
      for (const chunk of chunks) {
        hash.update(chunk.subarray(0, left))
        left -= Math.min(left, chunk.length)
      }
      return hash.digest("hex")
    }
  }
}

/** Plays a script on real sockets and looks whether everything is as a wire between the two ends would have it. */
const play = Effect.fnUntraced(function* (rig: Rig.Rig, script: Script, hearsAll: boolean) {
  const server = yield* serve({ reading: script.reading.backend })
  const client = yield* rig.client({ reading: script.reading.client })
  const peers: Partial<Record<Side, Peer>> = { client: client.peer }
  const sent = { client: makeSent(2 * script.seed), backend: makeSent(2 * script.seed + 1) }
  const finished = { client: false, backend: false }
  const paused = { client: false, backend: false }
  let prelude = 0
  /** Who has finished first, when the engine is sure to have seen it so. */
  let first: Side | undefined
  let last: "reset" | "abort" | undefined
  let resetter: Side = "client"

  const peerOf = (side: Side): Peer => {
    const peer = peers[side]
    if (peer === undefined) throw new Error(`${side} before the bridge`)
    return peer
  }
  const arrivedAt = Effect.fnUntraced(function* (side: Side) {
    const from = otherSide(side)
    yield* peerOf(side).awaitBytes(sent[from].size())
    if (finished[from]) yield* peerOf(side).awaitFin
  })
  const finish = Effect.fnUntraced(function* (side: Side) {
    if (finished[side]) return
    finished[side] = true
    yield* peerOf(side).finish
  })

  for (const each of script.steps) {
    switch (each.step) {
      case "send":
        peerOf(each.side).socket.write(sent[each.side].take(each.bytes))
        break
      case "finish":
        yield* finish(each.side)
        break
      case "pause":
      case "resume":
        paused[each.side] = each.step === "pause"
        if (each.step === "pause") peerOf(each.side).socket.pause()
        else peerOf(each.side).socket.resume()
        break
      case "settle": {
        const to = otherSide(each.side)
        if (peers[to] === undefined || paused[to]) break
        yield* arrivedAt(to)
        if (finished[each.side] && !finished[to]) first = each.side
        break
      }
      case "turn":
        yield* aLoopTurn
        break
      case "refuse":
        assert.strictEqual((yield* Effect.flip(rig.bridge(client.id, refusing))).reason, "Refused")
        break
      case "bridge": {
        prelude = each.prelude
        const bytes = seededBytes(script.seed, prelude)
        yield* rig.bridge(client.id, server.endpoint, prelude === 0 ? {} : { prelude: bytes })
        peers.backend = yield* server.peer(0)
        // Ahead of all the client has sent, whenever that was.
        const early = sent.client
        const whole = makeSent(2 * script.seed)
        whole.put(bytes)
        whole.take(early.size())
        sent.client = whole
        break
      }
      case "reset":
        last = "reset"
        resetter = each.side
        // Who has finished can't reset before its FIN is out.
        if (!hearsAll || finished[each.side]) peerOf(otherSide(each.side)).socket.resume()
        yield* peerOf(each.side).reset
        break
      case "abort":
        last = "abort"
        rig.transport.abort(client.id, "rst", { by: "proxy", phase: "relay", cause: "killed" })
        break
    }
  }

  const bytesIn = sent.client.size() - prelude
  if (last === undefined) {
    for (const side of sides) peerOf(side).socket.resume()
    for (const side of sides) yield* finish(side)
    for (const side of sides) {
      assert.strictEqual(yield* peerOf(side).awaitClosed, "fin", `end of the ${side}`)
      const all = sent[otherSide(side)]
      assert.deepStrictEqual(
        [peerOf(side).received(), peerOf(side).sha256()],
        [all.size(), all.sha256(all.size())],
        `what the ${side} has got`
      )
    }
    const ended = yield* rig.end(client.id)
    const { by, cause, phase } = ended
    assert.deepStrictEqual(
      [phase, cause, ended.bytesIn, ended.bytesOut],
      ["relay", "fin", bytesIn, sent.backend.size()]
    )
    assert.oneOf(by, first === undefined ? [...sides] : [first])
    return
  }

  if (last === "reset" && resetter === "backend") {
    // A backend that resets before the engine has carried a byte is given back.
    yield* rig.watch.until(
      "end, or a backend given back",
      () => rig.ends.some(({ id }) => id === client.id) || rig.unbridged.some(({ id }) => id === client.id)
    )
    if (rig.unbridged.some(({ id }) => id === client.id)) {
      const carried = [client.peer.received(), Math.max(0, peerOf("backend").received() - prelude)]
      return assert.deepStrictEqual(carried, [0, 0])
    }
  }
  const ended = yield* rig.end(client.id)
  assert.strictEqual(Rig.why(ended), last === "abort" ? "proxy relay killed" : `${resetter} relay rst`)
  for (const side of sides) {
    const peer = peerOf(side)
    peer.socket.resume()
    // Who has reset is closed by itself; who has read FIN does not read any more, and does not hear.
    const hears = !finished[otherSide(side)] && (last === "abort" || side !== resetter)
    if (hears) assert.notStrictEqual(yield* peer.awaitClosed, "fin", `end of the ${side}`)
    const received = peer.received()
    assert.isAtMost(received, sent[otherSide(side)].size())
    const expected = received === 0 ? sha256(Buffer.alloc(0)) : sent[otherSide(side)].sha256(received)
    assert.strictEqual(peer.sha256(), expected, `what the ${side} has got`)
  }
  assert.isAtMost(ended.bytesIn, bytesIn)
  assert.isAtMost(ended.bytesOut, sent.backend.size())
  assert.isAtLeast(ended.bytesIn, peerOf("backend").received() - prelude)
  assert.isAtLeast(ended.bytesOut, client.peer.received())
})

const BATCH = 25

export const cases: ReadonlyArray<Case> = [0, 1, 2, 3].map((batch) => ({
  name: `${batch * BATCH + 1} to ${(batch + 1) * BATCH}`,
  timeoutMs: 30_000,
  run: Effect.gen(function* () {
    const { abilities } = yield* EngineUnderTest
    const rig = yield* Rig.make()
    const hearsAll = abilities.includes("hears a reset behind unread bytes")
    const resetsAfterFin = abilities.includes("hears a reset after a FIN")
    yield* Effect.forEach(
      Array.from({ length: BATCH }, (_, index) => generate(batch * BATCH + index + 1, resetsAfterFin)),
      (script) =>
        play(rig, script, hearsAll).pipe(
          Effect.scoped,
          Effect.catchCause((cause) =>
            Effect.die(new Error(`${scriptText(script)}\n${Cause.pretty(cause)}`, { cause: Cause.squash(cause) }))
          )
        ),
      { concurrency: 4, discard: true }
    )
  })
}))
