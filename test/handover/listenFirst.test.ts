import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { closeSync } from "node:fs"
import { inheritance } from "../../layers/handover/Inheritance.ts"
import { listeningSockets } from "../../layers/handover/ListeningSockets.ts"
import { listenFirst } from "../../layers/listenFirst.ts"
import { accept4 } from "../../layers/transport-splice/libc.ts"
import { DEFAULT_LISTEN_ADDR, DEFAULT_TCP_KEEPALIVE_SECS } from "../../src/config/listenDefaults.ts"
import { load } from "../../src/config/load.ts"
import * as outsiders from "../support/outsiders.ts"
import { getOption } from "../support/socketOptions.ts"
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

  it.live("are none where they are passed on, or another engine, or each thread, is to have its own", () =>
    Effect.gen(function* () {
      const EDGEPROXY_LISTEN_ADDR = `127.0.0.1:${yield* outsiders.port}`
      assert.deepStrictEqual(yield* addresses({ EDGEPROXY_LISTEN_ADDR, LISTEN_FDS: "1" }), [])
      for (const other of [
        { EDGEPROXY_TCP_REUSE_PORT: "true" },
        { EDGEPROXY_BACKEND_TLS: "verify" },
        { EDGEPROXY_TRANSPORT: "node" },
        { EDGEPROXY_TCP_KEEPALIVE_SECS: "1m" }
      ]) {
        assert.deepStrictEqual(yield* addresses({ EDGEPROXY_LISTEN_ADDR, ...other }), [], JSON.stringify(other))
      }
      const spelt = { EDGEPROXY_BACKEND_TLS: "off", EDGEPROXY_TRANSPORT: "auto", EDGEPROXY_TCP_KEEPALIVE_SECS: "" }
      assert.lengthOf(yield* addresses({ EDGEPROXY_LISTEN_ADDR, ...spelt }), 1)
    })
  )

  it.live("give those who connect at once the options of all connections", () =>
    Effect.gen(function* () {
      const port = yield* outsiders.port
      const keepalive = { "": 30, "7": 7, "0": 0 }
      for (const [EDGEPROXY_TCP_KEEPALIVE_SECS, seconds] of Object.entries(keepalive)) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const address = `127.0.0.1:${port}`
            const sockets = yield* opened({ EDGEPROXY_LISTEN_ADDR: address, EDGEPROXY_TCP_KEEPALIVE_SECS })
            const { ports } = yield* connect({ address: "127.0.0.1", port })
            const [theirs, ours] = ports
            yield* Effect.acquireRelease(
              Effect.sync(() => accept4(sockets[0]?.fd ?? -1, 0, 0, 0)),
              (fd) => Effect.sync(() => closeSync(fd))
            )
            assert.strictEqual(getOption(ours, theirs, "TCP_NODELAY"), 1)
            assert.strictEqual(getOption(ours, theirs, "SO_KEEPALIVE"), seconds === 0 ? 0 : 1)
            if (seconds > 0) assert.strictEqual(getOption(ours, theirs, "TCP_KEEPIDLE"), seconds)
          })
        )
      }
    })
  )

  it("know the defaults", () => {
    const { config } = Result.getOrThrow(load({ env: {}, hostname: "h" }))
    assert.strictEqual(config.tcpKeepaliveMs, Number(DEFAULT_TCP_KEEPALIVE_SECS) * 1_000)
    assert.deepStrictEqual(
      config.listenAddr.map(({ address, port }) => `${address}:${port}`),
      [DEFAULT_LISTEN_ADDR]
    )
  })
})
