import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cp, rm } from "node:fs/promises"
import { join } from "node:path"
import { bundle, scratch, spawnEdge } from "../support/EdgeProcess.ts"
import { seededBytes, sha256 } from "../support/bytes.ts"
import { rowOf } from "../support/routingDb.ts"
import { connect, echo, serve } from "../support/tcp.ts"
import { startWith } from "./setup.ts"

const linux = process.platform === "linux" && (process.arch === "x64" || process.arch === "arm64")

/** The bundle as it is on a system that the addon has no binary for. */
const withoutAddon = Effect.gen(function* () {
  const copy = join(yield* scratch, "dist")
  yield* Effect.promise(() => cp(join(bundle, ".."), copy, { recursive: true }))
  yield* Effect.promise(() => rm(join(copy, "node_modules/@koromix"), { recursive: true }))
  return join(copy, "edgeproxy.js")
})

const rounds = Effect.fnUntraced(function* (address: { readonly address: string; readonly port: number }) {
  for (const size of [1, 100_000, 3_000_000]) {
    const bytes = seededBytes(size, size)
    const peer = yield* connect(address)
    yield* Effect.all([Effect.andThen(peer.send(bytes), peer.finish), peer.awaitFin], { concurrency: 2 })
    assert.strictEqual(peer.sha256(), sha256(bytes))
  }
})

describe("the choice of the engine", () => {
  it.live.skipIf(!linux)("auto takes splice where it works", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const edge = yield* startWith([rowOf("a", server)])
      assert.strictEqual((yield* edge.log("listening"))["engine"], "splice")
      yield* rounds(edge.address)
      assert.strictEqual((yield* edge.stop).code, 0)
    })
  )

  it.live("node is taken when it is asked for", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const edge = yield* startWith([rowOf("a", server)], { TRANSPORT: "node" })
      assert.strictEqual((yield* edge.log("listening"))["engine"], "node")
      yield* rounds(edge.address)
      assert.strictEqual((yield* edge.stop).code, 0)
    })
  )

  it.live("auto falls back to node when the addon is missing, and says why", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const edge = yield* startWith([rowOf("a", server)], {}, { bundle: yield* withoutAddon })
      const warning = yield* edge.log(({ message }) => message.startsWith("splice transport can't work here"))
      assert.strictEqual(warning.level, "warn")
      assert.isString(warning["reason"])
      assert.strictEqual((yield* edge.log("listening"))["engine"], "node")
      yield* rounds(edge.address)
      assert.strictEqual((yield* edge.stop).code, 0)
    })
  )

  it.live("splice that can't be had is a start-up error", () =>
    Effect.gen(function* () {
      const edge = yield* spawnEdge({ env: { TRANSPORT: "splice" }, bundle: yield* withoutAddon })
      assert.strictEqual((yield* edge.exit).code, 64)
      yield* edge.log(({ level, message }) => level === "fatal" && message.includes("EDGEPROXY_TRANSPORT=splice"))
    })
  )
})

describe.skipIf(!linux)("several threads", () => {
  for (const extras of [
    {},
    { TCP_REUSE_PORT: "true" },
    { TCP_REUSE_PORT: "true", TCP_DEFER_ACCEPT_SECS: "1", TCP_FAST_OPEN: "64" }
  ]) {
    it.live(`share the work: ${JSON.stringify(extras)}`, () =>
      Effect.gen(function* () {
        const server = yield* serve({ onPeer: echo })
        const edge = yield* startWith([rowOf("a", server, { hard_limit: 0 })], { TRANSPORT_THREADS: "3", ...extras })
        yield* Effect.forEach(Array.from({ length: 30 }), () => rounds(edge.address), { concurrency: 10 })
        const entries = yield* edge.entryCount(90)
        assert.isTrue(entries.every(({ end_cause }) => end_cause === "fin"))
        assert.strictEqual(new Set(entries.map(({ conn }) => conn)).size, 90)
        assert.strictEqual((yield* edge.stop).code, 0)
      })
    )
  }
})
