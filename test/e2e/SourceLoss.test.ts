import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { copyFileSync, mkdirSync, rmdirSync, rmSync, truncateSync, unlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { scratch, spawnEdge, startEdge } from "../support/EdgeProcess.ts"
import { seededBytes } from "../support/bytes.ts"
import { rowOf, runSql } from "../support/routingDb.ts"
import { connect, greet, serve } from "../support/tcp.ts"
import { defaults, type Edge, greeted, refusalOf, startWith, why } from "./setup.ts"

/** What happens to the file, and how it comes back. `kept` is a copy of it. */
interface Loss {
  readonly name: string
  readonly says: RegExp
  readonly lose: (database: string) => Effect.Effect<unknown, never, Scope.Scope>
  readonly restore: (database: string, kept: string) => void
}

const sync = (work: () => void): Effect.Effect<void> => Effect.sync(work)

const copyBack = (database: string, kept: string): void => copyFileSync(kept, database)

let lock: DatabaseSync | undefined

const losses: ReadonlyArray<Loss> = [
  {
    name: "removed",
    says: /missing: no such file/,
    lose: (database) => sync(() => unlinkSync(database)),
    restore: copyBack
  },
  {
    name: "cut to nothing",
    says: /no table/,
    lose: (database) => sync(() => truncateSync(database, 0)),
    restore: copyBack
  },
  {
    name: "cut in the middle",
    says: /corrupt|damaged|malformed/,
    lose: (database) => sync(() => truncateSync(database, 4_096)),
    restore: copyBack
  },
  {
    name: "overwritten with garbage",
    says: /corrupt: not an SQLite database/,
    lose: (database) => sync(() => writeFileSync(database, seededBytes(1, 20_000))),
    restore: copyBack
  },
  {
    name: "replaced by a directory",
    says: /it is a directory/,
    lose: (database) =>
      sync(() => {
        unlinkSync(database)
        mkdirSync(database)
      }),
    restore: (database, kept) => {
      rmdirSync(database)
      copyFileSync(kept, database)
    }
  },
  {
    name: "without its table",
    says: /no table/,
    lose: (database) => sync(() => runSql(database, "ALTER TABLE backends RENAME TO elsewhere")),
    restore: (database) => runSql(database, "ALTER TABLE elsewhere RENAME TO backends")
  },
  {
    name: "without a column it needs",
    says: /wg_ip/,
    lose: (database) => sync(() => runSql(database, "ALTER TABLE backends RENAME COLUMN wg_ip TO address")),
    restore: (database) => runSql(database, "ALTER TABLE backends RENAME COLUMN address TO wg_ip")
  },
  {
    name: "locked by another program",
    says: /locked/,
    lose: (database) =>
      Effect.acquireRelease(
        sync(() => {
          lock = new DatabaseSync(database)
          lock.exec("BEGIN EXCLUSIVE; UPDATE backends SET weight = 2")
        }),
        () => sync(() => lock?.close())
      ),
    restore: () => lock?.exec("COMMIT")
  }
]

const serves = Effect.fnUntraced(function* (edge: Edge, from: string) {
  const { name } = yield* Effect.scoped(greeted(edge.address, { from }))
  assert.strictEqual(name, "a")
})

describe("a database that is", () => {
  for (const { lose, name, restore, says } of losses) {
    it.live(`${name}: traffic goes on, the log names the file, and it comes back`, () =>
      Effect.gen(function* () {
        const server = yield* serve({ onPeer: greet("a") })
        const edge = yield* startWith(
          // Enough rows for more than one page of the file.
          Array.from({ length: 100 }, (_, index) => rowOf(`node-${index}`, server)),
          { TABLE_MAX_SHRINK: "1" }
        )
        const { peer } = yield* greeted(edge.address)
        const kept = join(edge.directory, "kept.db")
        copyFileSync(edge.database, kept)
        const lines = edge.logs.length
        yield* lose(edge.database)
        const line = yield* edge.log(
          ({ level, message }) => level === "error" && message.includes("source lost"),
          lines
        )
        assert.include(line.message, edge.database)
        assert.match(line.message, says)
        yield* serves(edge, "127.1.0.1")
        yield* serves(edge, "127.3.0.1")
        yield* peer.send("still there")
        yield* peer.awaitText("still there")

        restore(edge.database, kept)
        yield* edge.log("source is back", lines)
        yield* serves(edge, "127.4.0.1")
        assert.lengthOf(
          edge.logs.slice(lines).filter(({ message }) => message.includes("source lost")),
          1
        )

        // And what changes now is seen.
        const after = edge.logs.length
        runSql(edge.database, "UPDATE backends SET weight = 3 WHERE id = 'node-1'")
        yield* edge.log(({ message }) => message === "routing table", after)
      })
    )
  }
})

describe("a start without the database", () => {
  it.live("serves the table of the last run, and creates no empty file", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const edge = yield* startWith([rowOf("a", server)])
      yield* serves(edge, "127.1.0.1")
      assert.strictEqual((yield* edge.stop).code, 0)
      const kept = join(edge.directory, "kept.db")
      copyFileSync(edge.database, kept)
      unlinkSync(edge.database)

      const again = yield* startEdge({ env: defaults(edge.database) })
      const stored = yield* again.log("serving the stored table")
      assert.strictEqual(stored.level, "warn")
      yield* again.log(({ message }) => message.includes("source lost") && message.includes(edge.database))
      assert.strictEqual((yield* Effect.scoped(greeted(again.address))).name, "a")
      assert.isUndefined(again.logs.find(({ message }) => message.includes("database created")))

      copyFileSync(kept, edge.database)
      runSql(edge.database, "UPDATE backends SET healthy = 0")
      yield* again.log(({ message, origin }) => message === "routing table" && origin === "source")
      assert.strictEqual(yield* refusalOf(again.address), "ECONNRESET")
    })
  )

  it.live("and with a damaged stored table too says so, and clients wait a while for the first table", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: greet("a") })
      const edge = yield* startWith([rowOf("a", server)])
      assert.strictEqual((yield* edge.stop).code, 0)
      const kept = join(edge.directory, "kept.db")
      copyFileSync(edge.database, kept)
      rmSync(edge.database)
      mkdirSync(edge.database)
      truncateSync(`${edge.database}.snapshot`, 30)

      const again = yield* spawnEdge({ env: { ...defaults(edge.database), LISTEN_ADDR: "127.0.0.1:0" } })
      yield* again.log(({ level, message }) => level === "error" && message.includes("stored table can't be read"))
      yield* again.log("listening")
      const early = yield* connect(again.address)
      yield* again.log("source lost")
      rmdirSync(edge.database)
      copyFileSync(kept, edge.database)
      yield* early.awaitText("a\n")
      assert.isUndefined(again.logs.find(({ message }) => message.includes("no routing table yet")))
    })
  )

  it.live("with no table at all, clients are told after five seconds", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const edge = yield* spawnEdge({ env: { ...defaults(directory), LISTEN_ADDR: "127.0.0.1:0", SNAPSHOT_PATH: "" } })
      yield* edge.log("listening")
      const startedAt = performance.now()
      assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
      assert.isAbove(performance.now() - startedAt, 4_000)
      assert.strictEqual(yield* refusalOf(edge.address), "ECONNRESET")
      const entries = yield* edge.entryCount(2)
      assert.deepStrictEqual(entries.map(why), ["proxy route no-backend", "proxy route no-backend"])
      assert.isBelow(entries[1]?.duration_ms ?? Infinity, 2_000)
      yield* edge.log(({ message }) => message.includes("source lost") && message.includes(directory))
    })
  )
})
