import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { closeSync } from "node:fs"
import { inheritance } from "../../layers/handover/Inheritance.ts"
import { listeningSockets } from "../../layers/handover/ListeningSockets.ts"
import { listenFirst } from "../../layers/listenFirst.ts"
import { DEFAULT_LISTEN_ADDR } from "../../src/config/defaultListenAddr.ts"
import { load } from "../../src/config/load.ts"
import * as outsiders from "../support/outsiders.ts"
import { connect } from "../support/tcp.ts"

const opened = (env: NodeJS.ProcessEnv) =>
  Effect.acquireRelease(
    Effect.sync(() => listenFirst(env)),
    (sockets) => Effect.sync(() => sockets.forEach(({ fd }) => closeSync(fd)))
  )

const addresses = (env: NodeJS.ProcessEnv) =>
  Effect.scoped(
    Effect.map(opened(env), (sockets) => sockets.map(({ address: { address, port } }) => `${address}:${port}`))
  )

describe.skipIf(process.platform !== "linux")("listeners that are opened first", () => {
  it.live("take connections before anybody accepts, and are found as those of the configuration", () =>
    Effect.gen(function* () {
      const port = yield* outsiders.port
      const sockets = yield* opened({ EDGEPROXY_LISTEN_ADDR: `127.0.0.1:${port}=pg` })
      const fd = sockets[0]?.fd ?? -1
      const listening = { fd, address: { address: "127.0.0.1", port } }
      assert.deepStrictEqual(sockets, [listening])
      assert.deepStrictEqual(listeningSockets([fd]), [{ ...listening, kind: "tcp" }])
      yield* connect({ address: "127.0.0.1", port })
      const { sockets: passed, successor } = inheritance({}, sockets)
      assert.isFalse(successor)
      assert.strictEqual(passed.take({ address: "127.0.0.1", port }), fd)
    })
  )

  it.live("are those that can be told at a glance, each or not at all", () =>
    Effect.gen(function* () {
      const port = yield* outsiders.port
      const list = (text: string) => addresses({ EDGEPROXY_LISTEN_ADDR: text })
      const plain = `127.0.0.1:${port}`
      assert.deepStrictEqual(yield* list(` ${plain}=a , 127.0.0.2:${port},`), [plain, `127.0.0.2:${port}`])
      for (const other of [`[::1]:${port}`, "127.0.0.1:0", "127.0.0.256:80", `localhost:${port}`, "127.0.0.1:99999"]) {
        assert.deepStrictEqual(yield* list(`${other},${plain}`), [plain], other)
      }
      // In use, by itself.
      assert.deepStrictEqual(yield* list(`${plain},${plain}`), [plain])
    })
  )

  it.live("are none where sockets are passed on, or each thread is to have its own", () =>
    Effect.gen(function* () {
      const EDGEPROXY_LISTEN_ADDR = `127.0.0.1:${yield* outsiders.port}`
      assert.deepStrictEqual(yield* addresses({ EDGEPROXY_LISTEN_ADDR, LISTEN_FDS: "1" }), [])
      assert.deepStrictEqual(yield* addresses({ EDGEPROXY_LISTEN_ADDR, EDGEPROXY_TCP_REUSE_PORT: "true" }), [])
    })
  )

  it("know the default", () => {
    const { config } = Result.getOrThrow(load({ env: {}, hostname: "h" }))
    assert.deepStrictEqual(
      config.listenAddr.map(({ address, port }) => `${address}:${port}`),
      [DEFAULT_LISTEN_ADDR]
    )
  })
})
