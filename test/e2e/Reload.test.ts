import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync, spawnSync } from "node:child_process"
import { renameSync } from "node:fs"
import { join } from "node:path"
import { scratch, startEdge } from "../support/EdgeProcess.ts"
import { createDatabase, insertRows, rowOf, runSql } from "../support/routingDb.ts"
import { connect, greet, serve } from "../support/tcp.ts"
import { defaults, greeted, refusalOf, startWith, why } from "./setup.ts"

// What a busy machine may add to any time.
const SLACK_MS = 1_000

const noSqlite3 = spawnSync("sqlite3", ["--version"]).status !== 0

const greeting = Effect.fnUntraced(function* (id: string) {
  return { id, server: yield* serve({ onPeer: greet(id) }) }
})

const isTable = ({ message }: { readonly message: string }): boolean => message === "routing table"

describe("the routing table", () => {
  it.live.skipIf(noSqlite3)("an edit with sqlite3 is in effect within the reload interval (needs sqlite3)", () =>
    Effect.gen(function* () {
      const both = yield* Effect.forEach(["a", "b"], greeting)
      const edge = yield* startWith(
        both.map(({ id, server }) => rowOf(id, server)),
        { DB_RELOAD_SECS: "0.5" }
      )
      const first = yield* Effect.scoped(greeted(edge.address))
      const lines = edge.logs.length
      execFileSync("sqlite3", [edge.database, `UPDATE backends SET healthy = 0 WHERE id = '${first.name}'`])
      const since = performance.now()
      const line = yield* edge.log(isTable, lines)
      assert.isBelow(performance.now() - since, 500 + SLACK_MS)
      assert.deepStrictEqual([line["changed"], line["removed"], line["backends"]], [1, 0, 2])
      const second = yield* Effect.scoped(greeted(edge.address))
      assert.notStrictEqual(second.name, first.name)
      const entry = yield* edge.entry(({ backend }) => backend === second.name)
      assert.strictEqual(entry.affinity, "rebound")
    })
  )

  it.live("running connections outlive the row of their backend", () =>
    Effect.gen(function* () {
      const { server } = yield* greeting("a")
      const edge = yield* startWith([rowOf("a", server)])
      const { peer } = yield* greeted(edge.address)
      const lines = edge.logs.length
      runSql(edge.database, "DELETE FROM backends")
      yield* edge.log(isTable, lines)
      yield* peer.send("still there")
      yield* peer.awaitText("still there")
      assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
      const refused = yield* edge.entry(({ end_cause }) => end_cause === "no-backend")
      assert.strictEqual(why(refused), "proxy route no-backend")
      yield* peer.finish
      const ended = yield* edge.entry(({ backend }) => backend === "a")
      assert.strictEqual(why(ended), "client relay fin")
    })
  )

  it.live("rows that are deleted, unhealthy or of weight 0 take no new clients", () =>
    Effect.gen(function* () {
      const all = yield* Effect.forEach(["deleted", "unhealthy", "weightless", "good"], greeting)
      const changes = [{ deleted: 1 }, { healthy: 0 }, { weight: 0 }, {}]
      const edge = yield* startWith(all.map(({ id, server }, index) => rowOf(id, server, changes[index])))
      for (let host = 1; host <= 20; host++) {
        const { name } = yield* Effect.scoped(greeted(edge.address, { from: `127.1.0.${host}` }))
        assert.strictEqual(name, "good")
      }
    })
  )

  it.live("a bad row is left out and named with its reason; the others serve", () =>
    Effect.gen(function* () {
      const { server } = yield* greeting("good")
      const good = rowOf("good", server)
      const edge = yield* startWith([
        { ...good, id: "bad-port", port: 70_000 },
        { ...good, id: "bad-region", region: "mars" },
        { ...good, id: "bad-address", wg_ip: "no address" },
        { ...good, id: "bad-text", port: "eighty" },
        { ...good, id: "bad-country", country: "Brazil" },
        good
      ])
      const wrong = [
        ["bad-port", /port/],
        ["bad-region", /region/],
        ["bad-address", /wg_ip/],
        ["bad-text", /port/],
        ["bad-country", /country/]
      ] as const
      for (const [id, reason] of wrong) {
        const line = yield* edge.log(({ row }) => String(row).includes(id))
        assert.match(String(line["reason"]), reason)
        assert.strictEqual(line.level, "warn")
      }
      const table = yield* edge.log(isTable)
      assert.deepStrictEqual([table["backends"], table["quarantined"]], [1, 5])
      assert.strictEqual((yield* greeted(edge.address)).name, "good")

      // Repaired, it joins; and what is still bad is not told again.
      const lines = edge.logs.length
      runSql(edge.database, `UPDATE backends SET port = ${server.endpoint.port} WHERE id = 'bad-port'`)
      const next = yield* edge.log(isTable, lines)
      assert.deepStrictEqual([next["backends"], next["quarantined"]], [2, 4])
      assert.lengthOf(
        edge.logs.slice(lines).filter(({ message }) => message.includes("bad row")),
        0
      )
    })
  )

  it.live("a file moved into place is taken, and the former one forgotten", () =>
    Effect.gen(function* () {
      const [before, after] = yield* Effect.forEach(["before", "after"], greeting)
      assert.isDefined(before)
      assert.isDefined(after)
      const edge = yield* startWith([rowOf("before", before.server)])
      assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "before")
      const lines = edge.logs.length
      const beside = join(edge.directory, "next.db")
      createDatabase(beside, [rowOf("after", after.server)])
      renameSync(beside, edge.database)
      yield* edge.log(isTable, lines)
      assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "after")
      insertRows(edge.database, [rowOf("more", before.server)])
      yield* edge.log(({ backends }) => backends === 2, lines)
    })
  )

  it.live.each([
    [
      "without country and defaults",
      `CREATE TABLE backends (id TEXT PRIMARY KEY, app TEXT, region TEXT, wg_ip TEXT, port INTEGER, healthy INTEGER,
        weight INTEGER, soft_limit INTEGER, hard_limit INTEGER, deleted INTEGER DEFAULT 0)`,
      "id, region, wg_ip, port"
    ],
    [
      "with columns of their own and no nulls",
      `CREATE TABLE backends (id TEXT PRIMARY KEY, app TEXT NOT NULL, region TEXT NOT NULL, country TEXT NOT NULL,
        wg_ip TEXT NOT NULL, port INTEGER NOT NULL, healthy INTEGER NOT NULL DEFAULT 1, weight INTEGER NOT NULL DEFAULT 1,
        soft_limit INTEGER NOT NULL DEFAULT 100, hard_limit INTEGER NOT NULL DEFAULT 150,
        deleted INTEGER NOT NULL DEFAULT 0, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP) WITHOUT ROWID`,
      "app, country, id, region, wg_ip, port"
    ],
    [
      "behind a view",
      `CREATE TABLE servers (name TEXT, host TEXT, port INTEGER);
       CREATE VIEW backends AS SELECT name AS id, 'sa' AS region, host AS wg_ip, port FROM servers;
       CREATE TRIGGER add_backend INSTEAD OF INSERT ON backends BEGIN
         INSERT INTO servers VALUES (NEW.id, NEW.wg_ip, NEW.port); END`,
      "id, region, wg_ip, port"
    ]
  ] as const)("tables %s work as they are", ([, schema, columns]) =>
    Effect.gen(function* () {
      const { server } = yield* greeting("a")
      const directory = yield* scratch
      const database = join(directory, "routing.db")
      const { address, port } = server.endpoint
      const values = `${columns.startsWith("app") ? "'', ''," : ""} 'a', 'sa', '${address}', ${port}`
      runSql(database, `${schema}; INSERT INTO backends (${columns}) VALUES (${values})`)
      const edge = yield* startEdge({ env: defaults(database) })
      assert.strictEqual((yield* greeted(edge.address)).name, "a")
    })
  )

  it.live("a database that is missing is created with its schema, and filled by others", () =>
    Effect.gen(function* () {
      const { server } = yield* greeting("a")
      const directory = yield* scratch
      const database = join(directory, "routing.db")
      const edge = yield* startEdge({ env: defaults(database) })
      yield* edge.log(({ message, path }) => message.includes("database created") && path === database)
      assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
      const lines = edge.logs.length
      insertRows(database, [rowOf("a", server)])
      yield* edge.log(isTable, lines)
      assert.strictEqual((yield* greeted(edge.address)).name, "a")
    })
  )

  it.live(
    "100,000 rows load, also all at once while traffic flows",
    () =>
      Effect.gen(function* () {
        const { server } = yield* greeting("a")
        const edge = yield* startWith([rowOf("a", server)], { TABLE_MAX_SHRINK: "1" })
        const { peer } = yield* greeted(edge.address)
        let slowest = 0
        let rounds = 0
        const chatter = Effect.gen(function* () {
          while (true) {
            const sent = performance.now()
            const target = peer.received() + 1
            yield* peer.send("x")
            yield* peer.awaitBytes(target)
            slowest = Math.max(slowest, performance.now() - sent)
            rounds++
            yield* Effect.sleep(1)
          }
        })
        const lines = edge.logs.length
        const rows = Array.from({ length: 100_000 }, (_, index) => rowOf(`b${index}`, server, { country: "BR" }))
        insertRows(edge.database, rows)
        const began = performance.now()
        const loaded = yield* Effect.raceFirst(
          edge.log(({ backends }) => backends === 100_001, lines, 50_000),
          chatter
        )
        assert.strictEqual(loaded["quarantined"], 0)
        assert.isAbove(rounds, 20)
        // A load in one go would stop everything for most of its time, be the machine slow or fast.
        assert.isBelow(slowest, (performance.now() - began) / 2)
        const { name } = yield* greeted(edge.address, { from: "127.1.0.1" })
        assert.strictEqual(name, "a")
        const again = edge.logs.length
        runSql(edge.database, "DELETE FROM backends WHERE id <> 'a'")
        yield* edge.log(({ backends }) => backends === 1, again, 50_000)
      }),
    110_000
  )

  it.live("a mass delete is held, and taken when it stands", () =>
    Effect.gen(function* () {
      const { server } = yield* greeting("a")
      const rows = Array.from({ length: 10 }, (_, index) => rowOf(`n${index}`, server))
      const edge = yield* startWith(rows, { TABLE_HOLD_SECS: "1.5" })
      yield* Effect.scoped(connect(edge.address))
      const lines = edge.logs.length
      runSql(edge.database, "DELETE FROM backends")
      const held = yield* edge.log(({ message }) => message.startsWith("update held"), lines)
      assert.deepStrictEqual([held.level, held["lost"], held["eligible"]], ["error", 10, 10])
      assert.strictEqual((yield* greeted(edge.address)).name, "a")
      const taken = yield* edge.log(isTable, lines)
      assert.deepStrictEqual([taken["backends"], taken["removed"]], [0, 10])
      const told = edge.logs.slice(lines).filter(({ message }) => message.startsWith("update held"))
      assert.lengthOf(told, 1)
      assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
    })
  )

  it.live("a mass delete that is undone in time never happened", () =>
    Effect.gen(function* () {
      const { server } = yield* greeting("a")
      const rows = Array.from({ length: 10 }, (_, index) => rowOf(`n${index}`, server))
      const edge = yield* startWith(rows, { TABLE_HOLD_SECS: "0.8" })
      const lines = edge.logs.length
      runSql(edge.database, "UPDATE backends SET healthy = 0 WHERE id <> 'n0'")
      yield* edge.log(({ message }) => message.startsWith("update held"), lines)
      runSql(edge.database, "UPDATE backends SET healthy = 1")
      insertRows(edge.database, [rowOf("new", server)])
      const table = yield* edge.log(isTable, lines)
      assert.deepStrictEqual([table["backends"], table["changed"], table["removed"]], [11, 1, 0])
      yield* Effect.sleep(1_000)
      assert.lengthOf(
        edge.logs.slice(lines).filter(({ message }) => message.startsWith("held update taken")),
        0
      )
    })
  )
})
