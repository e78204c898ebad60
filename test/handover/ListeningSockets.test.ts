import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { createServer, type Server } from "node:net"
import { once } from "node:events"
import { closeSync } from "node:fs"
import { copyFd } from "../../layers/handover/copyFd.ts"
import { inheritance } from "../../layers/handover/Inheritance.ts"
import { listeningSockets, passed } from "../../layers/handover/ListeningSockets.ts"

const onLinux = it.live.skipIf(process.platform !== "linux")

const listen = (host: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer().listen(0, host)
      await once(server, "listening")
      return server
    }),
    (server) => Effect.sync(() => server.close())
  )

const endpointOf = (server: Server) => {
  const address = server.address()
  return typeof address === "object" && address !== null
    ? { address: address.address, port: address.port }
    : { address: "", port: 0 }
}

describe("the listening sockets of a process", () => {
  onLinux("are found with their addresses, of both families, until they are closed", () =>
    Effect.gen(function* () {
      const servers = yield* Effect.forEach(["127.0.0.1", "127.3.2.1", "::1", "::", "0.0.0.0"], listen)
      const wanted = servers.map(endpointOf)
      const found = (): ReadonlyArray<object> => listeningSockets().map(({ address }) => address)
      for (const address of wanted) assert.deepInclude(found(), address)
      const own = listeningSockets().filter(({ address }) => address.port === wanted[2]?.port)
      assert.lengthOf(own, 1)
      assert.deepStrictEqual(
        listeningSockets(own.map(({ fd }) => fd)).map(({ address }) => address),
        [wanted[2]]
      )
      const again = copyFd(own[0]?.fd ?? -1) ?? -1
      assert.lengthOf(
        listeningSockets().filter(({ address }) => address.port === wanted[2]?.port),
        1
      )
      closeSync(again)
      yield* Effect.promise(async () => {
        const closed = once(servers[0] ?? createServer(), "close")
        servers[0]?.close()
        await closed
      })
      assert.notDeepInclude(found(), wanted[0])
    }).pipe(Effect.scoped)
  )
})

describe("sockets that are passed on", () => {
  it("are each taken once, by the address as it is bound", () => {
    const sockets = passed([
      { fd: 40, address: { address: "::", port: 80 } },
      { fd: 41, address: { address: "127.0.0.1", port: 80 } },
      { fd: 42, address: { address: "127.0.0.1", port: 80 } },
      { fd: 43, address: { address: "2001:db8::1", port: 443 } }
    ])
    assert.isUndefined(sockets.take({ address: "0.0.0.0", port: 80 }))
    assert.isUndefined(sockets.take({ address: "127.0.0.1", port: 0 }))
    assert.strictEqual(sockets.take({ address: "127.0.0.1", port: 80 }), 41)
    assert.strictEqual(sockets.take({ address: "127.0.0.1", port: 80 }), 42)
    assert.isUndefined(sockets.take({ address: "127.0.0.1", port: 80 }))
    assert.strictEqual(sockets.take({ address: "2001:0db8:0:0::1", port: 443 }), 43)
    assert.strictEqual(sockets.take({ address: "::", port: 80 }), 40)
  })

  it.each([
    ["nothing", {}],
    ["another process's", { LISTEN_FDS: "3", LISTEN_PID: "1" }],
    ["another one's successor's", { LISTEN_FDS: "3", HANDOVER_FROM: "1" }],
    ["garbage", { LISTEN_FDS: "-7", LISTEN_PID: String(process.pid) }],
    ["too many", { LISTEN_FDS: "1e9", LISTEN_PID: String(process.pid) }]
  ])("are none by an environment with %s, and no child gets to see it", (_, given) => {
    const env: NodeJS.ProcessEnv = { ...given, PATH: "/bin" }
    const { serving, sockets } = inheritance(env)
    assert.deepStrictEqual(sockets.closeRest(), [])
    serving()
    assert.deepStrictEqual(env, { PATH: "/bin" })
  })
})
