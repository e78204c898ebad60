import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { DnsCounters } from "../../src/dns/DnsCounters.ts"
import { DnsServer } from "../../src/dns/DnsServer.ts"
import { DnsSocketError, DnsTransport } from "../../src/dns/DnsTransport.ts"
import type { Responder } from "../../src/dns/Responder.ts"
import { RCODE } from "../../src/dns/wire.ts"
import { GeoResolver } from "../../src/routing/GeoResolver.ts"
import { RoutingTable } from "../../src/routing/RoutingTable.ts"
import { TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import * as Shutdown from "../../src/traffic/Shutdown.ts"
import { listenError } from "../../src/traffic/errno.ts"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { question, readMessage } from "../support/dnsMessage.ts"
import { row } from "../support/fixtures.ts"
import * as ScriptedSource from "../support/ScriptedSource.ts"
import { settled } from "../support/settled.ts"

/** Sockets that the test loses and asks through. */
const scripted = () => {
  const opened: Array<Endpoint> = []
  let open = 0
  let failing: string | undefined
  let answer: Responder | undefined
  let lost: Deferred.Deferred<never, DnsSocketError> | undefined
  const layer = Layer.succeed(DnsTransport, {
    listen: (address, responder) =>
      Effect.gen(function* () {
        if (failing !== undefined) return yield* Effect.fail(listenError(address, failing))
        opened.push(address)
        answer = responder
        const gone = (lost = yield* Deferred.make<never, DnsSocketError>())
        yield* Effect.acquireRelease(
          Effect.sync(() => void open++),
          () => Effect.sync(() => void open--)
        )
        return { address: { ...address, port: 5_353 }, lost: Deferred.await(gone) }
      })
  })
  return {
    layer,
    opened,
    isOpen: () => open,
    fail: (code: string | undefined) => void (failing = code),
    ask: (name: string, from = "10.0.0.9") => answer?.(question(name), from, "udp"),
    lose: Effect.suspend(() => {
      const address = { address: "127.0.0.1", port: 5_353 }
      return lost === undefined
        ? Effect.void
        : Deferred.done(lost, Exit.fail(new DnsSocketError({ address, code: "EIO" })))
    })
  }
}

const address = { address: "127.0.0.1", port: 0 }

const serverLayer = DnsServer.layer({
  address,
  domain: "internal",
  ttlMs: 30_000,
  rateLimit: 100,
  pops: [],
  popRegion: "sa",
  spillAt: () => "hard",
  cookieSecret: new Uint8Array(16)
})

const rigged = (
  sockets: ReturnType<typeof scripted>,
  source: ScriptedSource.ScriptedSource,
  geo = GeoResolver.layerFixed(new Map())
) =>
  serverLayer.pipe(
    Layer.provide(sockets.layer),
    Layer.provideMerge(RoutingTable.layer({ maxShrink: 0.5, holdMs: 60_000 })),
    Layer.provideMerge(Layer.mergeAll(source.layer, TableSnapshotStore.layerOff, Upstreams.layer({ spillAt: "hard" }))),
    Layer.provideMerge(
      Layer.mergeAll(Supervisor.layer, DnsCounters.layer, geo, Layer.sync(Shutdown.Shutdown, Shutdown.make))
    )
  )

const rcodeOf = (bytes: Uint8Array | undefined): number | undefined =>
  bytes === undefined ? undefined : readMessage(bytes).rcode

describe("the DNS server", () => {
  it.effect("says nothing of a table that is not there yet, and all of it from then on", () =>
    Effect.gen(function* () {
      const sockets = scripted()
      const source = yield* ScriptedSource.make()
      yield* Effect.gen(function* () {
        assert.strictEqual(rcodeOf(sockets.ask("web.internal")), RCODE.SERVFAIL)
        yield* source.rows(row())
        yield* settled
        assert.strictEqual(rcodeOf(sockets.ask("web.internal")), RCODE.NOERROR)
        assert.strictEqual(rcodeOf(sockets.ask("other.internal")), RCODE.NXDOMAIN)
      }).pipe(Effect.provide(rigged(sockets, source)))
      assert.strictEqual(sockets.isOpen(), 0)
    })
  )

  it.effect("opens sockets that were lost again, on the same port, for as long as it takes", () =>
    Effect.gen(function* () {
      const sockets = scripted()
      const source = yield* ScriptedSource.make()
      yield* Effect.gen(function* () {
        yield* sockets.lose
        yield* settled
        assert.strictEqual(sockets.isOpen(), 0)
        sockets.fail("EADDRINUSE")
        yield* TestClock.adjust("1 second")
        assert.strictEqual(sockets.isOpen(), 0)
        sockets.fail(undefined)
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(sockets.isOpen(), 1)
        assert.deepStrictEqual(sockets.opened, [address, { ...address, port: 5_353 }])
        assert.strictEqual(rcodeOf(sockets.ask("internal")), RCODE.NOERROR)
      }).pipe(Effect.provide(rigged(sockets, source)))
    })
  )

  it.effect("leaves its sockets to the process that has taken over", () =>
    Effect.gen(function* () {
      const sockets = scripted()
      const source = yield* ScriptedSource.make()
      yield* Effect.gen(function* () {
        Shutdown.handOver(yield* Shutdown.Shutdown)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(sockets.isOpen(), 0)
        assert.lengthOf(sockets.opened, 1)
      }).pipe(Effect.provide(rigged(sockets, source)))
    })
  )

  it.effect("that can't listen is an error of the start", () =>
    Effect.gen(function* () {
      const sockets = scripted()
      sockets.fail("EADDRINUSE")
      const source = yield* ScriptedSource.make()
      const failed = yield* Effect.flip(Effect.provide(Effect.void, rigged(sockets, source)))
      assert.include(failed.message, "can't listen on 127.0.0.1:0")
    })
  )

  it.effect("answers with a server failure when answering fails, and lives on", () =>
    Effect.gen(function* () {
      const sockets = scripted()
      const source = yield* ScriptedSource.make()
      const geo = Layer.succeed(GeoResolver, {
        builtAt: () => undefined,
        resolve: () => {
          throw new Error("a broken page")
        }
      })
      yield* Effect.gen(function* () {
        yield* source.rows(row())
        yield* settled
        const answer = readMessage(sockets.ask("web.internal") ?? new Uint8Array())
        assert.deepInclude(answer, { rcode: RCODE.SERVFAIL, id: 4_711, bytes: 12 })
        assert.strictEqual(rcodeOf(sockets.ask("internal")), RCODE.NOERROR)
        assert.strictEqual((yield* DnsCounters).answers.udp.SERVFAIL, 1)
      }).pipe(Effect.provide(rigged(sockets, source, geo)))
    })
  )
})
