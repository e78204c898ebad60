import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { appendFileSync, closeSync, openSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { AccessEntry } from "../../src/observe/AccessLog.ts"
import { defaults } from "../e2e/setup.ts"
import { apiOf } from "../support/edgeApi.ts"
import { scratch, startEdge } from "../support/EdgeProcess.ts"
import { countFds } from "../support/fds.ts"
import { createDatabase } from "../support/routingDb.ts"
import { eventually } from "../support/Watch.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { engines, mishaps, patience, rounds, timed } from "./scene.ts"
import { brazilian, load, upTo, visit } from "./visit.ts"

/** Mounting takes root, and a kernel that lets it. */
const canMount =
  process.platform === "linux" &&
  spawnSync("unshare", ["-m", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]).status === 0

const DISK = "600k"
const ROWS = 400
const PAGE = 4_096

/** Writes until no more than this fits; to the last byte for nothing. */
const fill = (path: string, spare = 0): void => {
  const { bavail, bsize } = statfsSync(join(path, ".."))
  const size = Math.floor((bavail * bsize - spare) / PAGE) * PAGE
  try {
    writeFileSync(path, Buffer.alloc(Math.max(0, size)))
    while (spare === 0) appendFileSync(path, Buffer.alloc(512))
  } catch {
    // Somebody else was quicker, or no space is left.
  }
}

/** As it vouches for itself. */
const isWhole = (snapshot: string): boolean => {
  const text = readFileSync(snapshot, "utf8")
  const end = text.lastIndexOf("\n", text.length - 2) + 1
  const { sha256 } = JSON.parse(text.slice(end)) as { readonly sha256: string }
  return sha256 === createHash("sha256").update(text.slice(0, end)).digest("hex")
}

/** Undefined for what was cut off when the disk was full. */
const entryOf = (line: string): AccessEntry | undefined => {
  try {
    return JSON.parse(line) as AccessEntry
  } catch {
    return undefined
  }
}

const linesOf = (path: string): ReadonlyArray<string> =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")

for (const engine of engines) {
  describe.skipIf(!canMount)(`a full disk, engine ${engine}`, () => {
    it.live(
      "under the database, the stored table and the log costs clients nothing, and what can't be kept is refused",
      () =>
        Effect.gen(function* () {
          const directory = yield* scratch
          const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
          const database = join(directory, "routing.db")
          // So many more that the stored table needs pages that the database has no use for.
          const fillers = Array.from({ length: ROWS }, (_, index) => ({
            id: `filler-${index}-${"x".repeat(60)}`,
            app: "other",
            region: "us",
            wg_ip: "10.0.0.1",
            port: 1
          }))
          createDatabase(database, [...all.map(({ row }) => row()), ...fillers])
          const mount = `mount -t tmpfs -o size=${DISK} none /mnt && cp "$0" /mnt/routing.db && mkdir /mnt/log &&
            mount -t tmpfs -o size=4m none /mnt/log && exec "$@"`
          const edge = yield* startEdge({
            through: ["unshare", "-m", "sh", "-c", mount, database],
            env: {
              ...defaults("/mnt/routing.db"),
              TRANSPORT: engine,
              ACCESS_LOG: "/mnt/log/access.log",
              APP: "test"
            }
          })
          /** What it has there, seen from outside. */
          const disk = `/proc/${edge.pid}/root/mnt`
          const [log, snapshot] = [join(disk, "log/access.log"), join(disk, "routing.db.snapshot")]
          const [ballast, logBallast] = [join(disk, "ballast"), join(disk, "log/ballast")]
          const api = yield* apiOf(edge)
          const drain = (what: "drain" | "undrain") => api.call("POST", "/api/v1/backends/b/" + what)
          yield* visit(edge.address, brazilian(0), 0)
          yield* api.until("/api/v1/connections", ({ body }) => body["total"] === 0)
          const fds = countFds(edge.pid) ?? 0
          const clients = yield* load(edge.address)
          yield* clients.more(10)
          for (const _ of upTo(rounds)) {
            const from = edge.logs.length
            // Nothing fits any more: neither a change of the database nor a line of the log.
            for (const path of [ballast, logBallast]) fill(path)
            assert.strictEqual((yield* drain("drain")).status, 503)
            const registration = { id: "new", app: "other", region: "sa", ip: "127.0.0.1", port: 9 }
            assert.strictEqual((yield* api.call("POST", "/api/v1/register", registration)).status, 503)
            const ready = yield* api.call("GET", "/ready")
            assert.strictEqual(ready.status, 200)
            assert.match(String(ready.body["degraded"]), /store/)
            yield* clients.more(40)
            const lines = edge.logs.slice(from).filter(({ level }) => level === "error")
            assert.deepStrictEqual(lines, [])

            // A change fits, and the table that is to be stored after it does not.
            rmSync(ballast)
            const before = readFileSync(snapshot)
            fill(ballast, 10 * PAGE)
            assert.strictEqual((yield* drain("drain")).status, 200)
            yield* edge.log("the table could not be stored", from)
            assert.isTrue(before.equals(readFileSync(snapshot)))
            assert.isTrue(isWhole(snapshot))
            yield* clients.more(20)

            for (const path of [ballast, logBallast]) rmSync(path)
            yield* timed(
              `${engine}: a change is taken when there is space again`,
              Effect.map(drain("undrain"), ({ status }) => assert.strictEqual(status, 200))
            )
            yield* timed(`${engine}: the table is stored again`, edge.log("the table is stored again", from))
            assert.isFalse(before.equals(readFileSync(snapshot)))
            const start = linesOf(log).length
            yield* clients.more(20)
            yield* api.until("/api/v1/connections", () => linesOf(log).length > start + 5)
          }
          const visits = yield* clients.stop
          assert.deepStrictEqual(mishaps(visits), {})
          assert.isTrue(isWhole(snapshot))
          yield* api.until("/api/v1/connections", ({ body }) => body["total"] === 0)
          yield* eventually("no descriptors left over", () => (countFds(edge.pid) ?? Infinity) <= fds)
          // The disk goes with the process: another name for its file does not.
          const copy = openSync(log, "r")
          assert.strictEqual((yield* edge.stop).code, 0)
          const entries = readFileSync(copy, "utf8").split("\n").map(entryOf)
          closeSync(copy)
          const whole = entries.filter((entry) => entry !== undefined)
          assert.isTrue(whole.every(({ end_by }) => end_by !== "proxy"))
          // Every connection is in the log, or was counted as lost.
          const dropped = edge.logs.findLast(({ message }) => message.startsWith("access-log lines lost"))?.["dropped"]
          assert.strictEqual(whole.length + Number(dropped), visits.length + 1)
          assert.strictEqual(edge.errorText(), "")
        }),
      patience
    )
  })
}
