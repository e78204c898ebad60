import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { existsSync, readFileSync, renameSync } from "node:fs"
import { join } from "node:path"
import type { AccessEntry } from "../../src/observe/AccessLog.ts"
import { type Row, rowOf } from "../support/routingDb.ts"
import { greet, serve } from "../support/tcp.ts"
import { scratch } from "../support/EdgeProcess.ts"
import { countFds } from "../support/fds.ts"
import { eventually } from "../support/Watch.ts"
import { greeted, startWith } from "./setup.ts"

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const entriesOf = (path: string): ReadonlyArray<AccessEntry> =>
  existsSync(path)
    ? readFileSync(path, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as AccessEntry)
    : []

const greeting = Effect.fnUntraced(function* (id: string): Effect.fn.Return<Row, NodeJS.ErrnoException, Scope> {
  return rowOf(id, yield* serve({ onPeer: greet(id) }), { hard_limit: 0 })
})

describe("the access log", () => {
  it.live("has one line for each connection, with these fields", () =>
    Effect.gen(function* () {
      const edge = yield* startWith([yield* greeting("a")])
      const { peer } = yield* greeted(edge.address, { from: "127.1.2.3" })
      yield* peer.send("12345")
      yield* peer.awaitText("12345")
      const port = peer.socket.localPort
      yield* peer.finish
      const [entry] = yield* edge.entryCount(1)
      assert.isDefined(entry)
      const { backend_addr, connect_ms, conn, duration_ms, ts, ...rest } = entry
      assert.deepStrictEqual(rest, {
        pop: "test-pop",
        client: "127.1.2.3",
        client_port: port ?? 0,
        peer: null,
        country: "BR",
        region: "sa",
        app: "",
        listener: `127.0.0.1:${edge.address.port}`,
        sni: null,
        backend: "a",
        tier: 1,
        affinity: "new",
        attempts: 1,
        bytes_in: 5,
        bytes_out: 7,
        end_by: "client",
        end_phase: "relay",
        end_cause: "fin"
      })
      assert.match(backend_addr ?? "", /^127\.0\.0\.1:\d+$/)
      assert.isBelow(Math.abs(Date.parse(ts) - Date.now()), 60_000)
      assert.isAtLeast(duration_ms, connect_ms ?? 0)
      assert.notStrictEqual(conn, "")
    })
  )

  it.live("to a file is opened again at SIGHUP: no line is lost over a rotation", () =>
    Effect.gen(function* () {
      const path = join(yield* scratch, "access.log")
      const edge = yield* startWith([yield* greeting("a")], { ACCESS_LOG: path })
      const connections = (network: number) =>
        Effect.forEach(upTo(5), (host) =>
          Effect.scoped(greeted(edge.address, { from: `127.1.${network}.${host + 1}` }))
        )
      yield* connections(1)
      yield* eventually("the first five lines", () => entriesOf(path).length === 5)
      renameSync(path, `${path}.1`)
      yield* connections(2)
      yield* eventually("ten lines in the renamed file", () => entriesOf(`${path}.1`).length === 10)
      edge.signal("SIGHUP")
      yield* eventually("the new file", () => existsSync(path))
      yield* connections(3)
      yield* eventually("five lines in the new file", () => entriesOf(path).length === 5)
      assert.deepStrictEqual(
        entriesOf(path).map(({ client }) => client),
        upTo(5).map((host) => `127.1.3.${host + 1}`)
      )
      assert.lengthOf(entriesOf(`${path}.1`), 10)
      assert.strictEqual((yield* edge.stop).code, 0)
    })
  )

  it.live.each(["socket", "pipe"] as const)("a %s whose reader stalls stops neither traffic nor the end", (kind) =>
    Effect.gen(function* () {
      const edge = yield* startWith([yield* greeting("a")], {}, { stalledStdout: kind })
      // Sockets hold some 200 kB, pipes 64 kB; these lines are more.
      yield* Effect.forEach(upTo(1_200), () => Effect.scoped(greeted(edge.address)), { concurrency: 20, discard: true })
      const { peer } = yield* greeted(edge.address)
      yield* peer.send("still there")
      yield* peer.awaitText("still there")
      yield* peer.finish
      const startedAt = performance.now()
      edge.signal("SIGTERM")
      yield* edge.log("drained")
      yield* eventually("end of the process", () => countFds(edge.pid) === undefined, 8_000)
      assert.isBelow(performance.now() - startedAt, 8_000)
    })
  )
})
