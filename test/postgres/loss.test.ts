import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { SourceEvent } from "../../src/routing/BackendSource.ts"
import { postgresAbsent } from "../support/postgres.ts"
import { hangingProxy } from "./hangingProxy.ts"
import { follow, insert, put, storeOf, summary, TestServer, skipped } from "./rig.ts"

/** Without what is repeated while it lasts. */
const course = (events: ReadonlyArray<SourceEvent>): ReadonlyArray<string> =>
  events
    .filter(({ _tag }) => _tag !== "Unchanged")
    .map(summary)
    .filter((event, index, all) => event !== all[index - 1])

describe.skipIf(postgresAbsent !== undefined)(`PostgreSQL, lost and found${skipped}`, () => {
  layer(TestServer.layer(), { excludeTestServices: true, timeout: 60_000 })((it) => {
    it.effect("follows and writes again when the server was stopped and is back (T3)", () =>
      Effect.gen(function* () {
        const { createDatabase, query, start, stop, url } = yield* TestServer
        const database = yield* createDatabase
        const source = yield* follow(url(database))
        const store = yield* storeOf(url(database), { minConnections: 2 })
        yield* source.sees()
        yield* store.write([put("a")])
        yield* source.sees("a")

        const { error: lost } = yield* source.next("Lost", stop)
        assert.strictEqual(lost.reason, "unreachable")
        const error = yield* Effect.flip(store.write([put("b")]))
        assert.strictEqual(error.reason, "unavailable")
        assert.notInclude(`${lost.message} ${error.message}`, "ge:he")

        yield* source.next("Rows", start)
        yield* store.write([put("b")])
        yield* source.sees("a", "b")
        yield* query(database, "DELETE FROM backends WHERE id = 'a'")
        yield* source.sees("b")
      })
    )

    it.effect("notices a connection that hangs, says so in time, and starts anew", () =>
      Effect.gen(function* () {
        const { createDatabase, port, query, url } = yield* TestServer
        const database = yield* createDatabase
        const proxy = yield* hangingProxy(port)
        const through = url(database).replace(`:${port}/`, `:${proxy.port}/`)
        const limits = { queryTimeoutMs: 300, connectTimeoutMs: 300 }
        const source = yield* follow(through, { ...limits, reloadMs: 50 })
        const store = yield* storeOf(through, limits)
        yield* source.sees()
        yield* store.write([put("a")])
        yield* source.sees("a")

        const { error: lost } = yield* source.next(
          "Lost",
          Effect.sync(() => proxy.hang(true))
        )
        assert.strictEqual(lost.reason, "unreachable")
        assert.include(lost.message, "no answer within 300 ms")
        assert.strictEqual((yield* Effect.flip(store.write([put("b")]))).reason, "timeout")

        yield* query(database, insert("c"))
        yield* source.next(
          "Rows",
          Effect.sync(() => proxy.hang(false))
        )
        yield* source.sees("a", "c")
        yield* store.write([put("b")])
        yield* source.sees("a", "b", "c")
      })
    )

    it.effect("ends at once while the server does not answer", () =>
      Effect.gen(function* () {
        const { createDatabase, port, url } = yield* TestServer
        const database = yield* createDatabase
        const proxy = yield* hangingProxy(port)
        const through = url(database).replace(`:${port}/`, `:${proxy.port}/`)
        yield* Effect.gen(function* () {
          const store = yield* storeOf(through, { queryTimeoutMs: 600_000 })
          const source = yield* follow(through, { queryTimeoutMs: 600_000, reloadMs: 20 })
          yield* source.sees()
          yield* store.write([put("a")])
          yield* source.next("Unchanged")
          proxy.hang(true)
          yield* Effect.forkScoped(store.write([put("b")]))
        }).pipe(Effect.scoped)
      })
    )

    it.effect("reads a standby, where nothing can be written, and listens when it was promoted", () =>
      Effect.gen(function* () {
        const { createDatabase, directory, query, start, stop, url } = yield* TestServer
        const database = yield* createDatabase
        const first = yield* follow(url(database), { reloadMs: 20 })
        yield* first.sees()
        yield* query(database, insert("a"))
        yield* first.sees("a")

        const signal = join(directory, "data", "standby.signal")
        yield* stop
        writeFileSync(signal, "")
        yield* start
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(signal, { force: true })))
        const source = yield* follow(url(database), { reloadMs: 20 })
        yield* source.sees("a")
        yield* source.next("Unchanged")
        const store = yield* storeOf(url(database))
        assert.strictEqual((yield* Effect.flip(store.write([put("b")]))).reason, "readonly")

        yield* query(database, "SELECT pg_promote()")
        yield* store.write([put("b")])
        yield* source.sees("a", "b")
        yield* first.sees("a", "b")
        assert.deepStrictEqual(course(source.events), ["rows a", "rows a,b"])
        assert.deepStrictEqual(
          source.logs.filter((line) => line.includes("announce")).map((line) => line.includes("standby")),
          [true, false]
        )
      })
    )
  })
})
