import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { greeted, startWith } from "../e2e/setup.ts"
import { line } from "../replay/rig.ts"
import { createDatabase, rowOf } from "../support/routingDb.ts"
import { greet, serve } from "../support/tcp.ts"
import { scratch } from "../support/EdgeProcess.ts"
import { edgeproxy } from "./program.ts"

type Report = Readonly<Record<string, unknown>>

describe("edgeproxy replay", () => {
  it.live("sends what a running proxy has logged through its own table, and through it without a backend", () =>
    Effect.gen(function* () {
      const [br, us] = [yield* serve({ onPeer: greet("br") }), yield* serve({ onPeer: greet("us") })]
      const edge = yield* startWith([
        rowOf("br", br, { country: "BR" }),
        rowOf("us", us, { region: "us", country: "US" })
      ])
      for (const from of ["127.1.0.1", "127.1.0.2", "127.2.0.1", "127.5.0.1"]) {
        const { peer } = yield* greeted(edge.address, { from })
        yield* peer.finish
        yield* peer.awaitClosed
      }
      yield* edge.stop
      const log = join(edge.directory, "access.jsonl")
      writeFileSync(log, edge.entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""))
      const cli = (...more: ReadonlyArray<string>) =>
        edgeproxy(["replay", "--log", log, "--table", edge.database, ...more], {
          cwd: edge.directory,
          env: { REGION: "sa" }
        })
      const json = (...more: ReadonlyArray<string>) =>
        Effect.map(cli("--json", ...more), ({ code, err, out }) => {
          assert.deepStrictEqual([code, err], [0, ""])
          return JSON.parse(out) as Report
        })
      assert.deepInclude(yield* json(), { routed: 4, same: 4, moved: 0, lost: 0, pop_region: "sa" })
      const without = yield* json("--without-backend", "br")
      assert.deepInclude(without, { routed: 4, same: 1, moved: 3 })
      assert.deepStrictEqual(without["moves"], [{ from: "br", to: "us", connections: 3 }])
      assert.deepInclude(yield* json("--without-pop", "us", "--region", "eu"), { routed: 4, same: 3, moved: 1 })
      const { out } = yield* cli("--without-pop", "sa", "--without-pop", "us")
      assert.include(out, "POP and backends of sa, POP and backends of us")
      assert.include(out, "4: 4 no backend")
      const unknown = yield* cli("--without-backend", "nix")
      assert.deepStrictEqual([unknown.code, unknown.out], [1, ""])
      assert.include(unknown.err, "nix")
    })
  )

  it.live("reads standard input, counts what is no line, and cuts its lists", () =>
    Effect.gen(function* () {
      const cwd = yield* scratch
      const rows = Array.from({ length: 30 }, (_, at) => ({
        id: `b${at}`,
        region: "sa",
        country: "BR",
        wg_ip: `10.0.0.${at}`,
        port: 80
      }))
      createDatabase(join(cwd, "next.db"), rows)
      const input = ["garbage", ...Array.from({ length: 200 }, (_, at) => line(at, 1, { client: `203.0.113.${at}` }))]
      const { code, err, out } = yield* edgeproxy(["replay", "--table", "next.db", "--limit", "3"], {
        cwd,
        input: input.join("\n")
      })
      assert.deepStrictEqual([code, err], [0, ""])
      assert.include(out, "200 connections of 200 clients")
      assert.include(out, "1 bad lines")
      assert.include(out, "Backends, 3 of 30 shown")
    })
  )

  it.live("says what is missing, and makes nothing", () =>
    Effect.gen(function* () {
      const cwd = yield* scratch
      const noTable = yield* edgeproxy(["replay", "--table", "next.db"], { cwd, input: "" })
      assert.deepStrictEqual([noTable.code, noTable.out], [1, ""])
      assert.include(noTable.err, "next.db")
      createDatabase(join(cwd, "next.db"), [])
      const noLog = yield* edgeproxy(["replay", "--table", "next.db", "--log", "nix.jsonl"], { cwd })
      assert.deepStrictEqual([noLog.code, noLog.out], [1, ""])
      assert.strictEqual(noLog.err, "nix.jsonl can't be read: no such file\n")
      // A log that was rotated, and what is none at all, are no quiet night.
      writeFileSync(join(cwd, "access.jsonl.1.gz"), gzipSync(line(0, 1)))
      const rotated = yield* edgeproxy(["replay", "--table", "next.db", "--log", "access.jsonl.1.gz"], { cwd })
      assert.deepStrictEqual([rotated.code, rotated.out], [1, ""])
      assert.include(rotated.err, "compressed (gzip): unpack it and pipe it in")
      const other = yield* edgeproxy(["replay", "--table", "next.db"], { cwd, input: "one\ntwo\n" })
      assert.deepStrictEqual([other.code, other.out], [1, ""])
      assert.include(other.err, "none of the 2 lines of standard input is of an access log")
      const folder = yield* edgeproxy(["replay", "--table", "next.db", "--log", "."], { cwd })
      assert.strictEqual(folder.err, ". can't be read: not a file\n")
      const quiet = yield* edgeproxy(["replay", "--table", "next.db"], { cwd, input: "" })
      assert.deepStrictEqual([quiet.code, quiet.err], [0, ""])
      // A terminal is not to be written to by what stands in a log.
      writeFileSync(join(cwd, "evil.jsonl"), line(0, 1, { backend: "\u001b[31mred" }))
      const { out } = yield* edgeproxy(["replay", "--table", "next.db", "--log", "evil.jsonl"], { cwd })
      assert.notInclude(out, "\u001b")
    })
  )
})
