import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { hasProc } from "../../support/kernelSockets.ts"
import { getOption, type SocketOption } from "../../support/socketOptions.ts"
import { type Reading, serve } from "../../support/tcp.ts"
import { eventually } from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import * as Rig from "../Rig.ts"

/** The options of the engine's two sockets of a connection, to its client and to its backend. */
const bridged = Effect.fnUntraced(function* (
  options: Rig.RigOptions,
  limits: Rig.BridgeLimits,
  reading: Reading = "fast"
) {
  const rig = yield* Rig.make(options)
  const server = yield* serve()
  const client = yield* rig.client({ reading })
  // Some options of the backend's side may be left until the connection is older than a dial may take.
  yield* rig.bridge(client.id, server.endpoint, { connectMs: 300, ...limits })
  const [clientPort, listenerPort] = client.peer.ports
  const backend = yield* server.peer(0)
  const [backendPort, ownPort] = backend.ports
  return {
    client: client.peer,
    backend,
    ofClient: (option: SocketOption) => getOption(listenerPort, clientPort, option),
    ofBackend: (option: SocketOption) => getOption(ownPort, backendPort, option)
  }
})

export const cases: ReadonlyArray<Case> = [
  {
    name: "no delay on both sides",
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { ofBackend, ofClient } = yield* bridged({}, {})
      assert.notStrictEqual(ofClient("TCP_NODELAY"), 0)
      assert.notStrictEqual(ofBackend("TCP_NODELAY"), 0)
    })
  },
  {
    name: "keepalive on both sides, each with its own time",
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { ofBackend, ofClient } = yield* bridged({ keepaliveMs: 47_000 }, { keepaliveMs: 83_000 })
      assert.deepStrictEqual([ofClient("SO_KEEPALIVE"), ofClient("TCP_KEEPIDLE")], [1, 47])
      yield* eventually("keepalive of the backend", () => ofBackend("SO_KEEPALIVE") === 1)
      assert.strictEqual(ofBackend("TCP_KEEPIDLE"), 83)
    })
  },
  {
    name: "no keepalive where it is off",
    skip: !hasProc,
    run: Effect.gen(function* () {
      const { ofBackend, ofClient } = yield* bridged({ keepaliveMs: 0 }, { keepaliveMs: 0 })
      assert.deepStrictEqual([ofClient("SO_KEEPALIVE"), ofBackend("SO_KEEPALIVE")], [0, 0])
    })
  },
  {
    // With the same limit always in force, the kernel would let it decide how many keepalive probes may be lost.
    name: "how long bytes may be unacknowledged, as long as there are some",
    needs: "sets a user timeout",
    skip: !hasProc,
    run: Effect.gen(function* () {
      const stallMs = 2_000
      const { backend, client, ofBackend, ofClient } = yield* bridged({}, { stallMs }, "stalled")
      assert.deepStrictEqual([ofClient("TCP_USER_TIMEOUT"), ofBackend("TCP_USER_TIMEOUT")], [0, 0])
      // More than the client's kernel takes for it, and less than what its own and the engine's take together.
      yield* backend.send(Buffer.alloc(600_000))
      // A receiver whose window opens little by little is not to be given up by the kernel at the stall limit itself.
      yield* eventually("the limit", () => ofClient("TCP_USER_TIMEOUT") === 4 * stallMs)
      assert.strictEqual(ofBackend("TCP_USER_TIMEOUT"), 0)
      client.socket.resume()
      yield* client.awaitBytes(600_000)
      yield* eventually("no limit", () => ofClient("TCP_USER_TIMEOUT") === 0)
    })
  }
]
