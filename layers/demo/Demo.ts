import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { mkdtemp, rm } from "node:fs/promises"
import * as http from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { AccessEntry } from "../../src/observe/AccessLog.ts"
import { startMockBackend } from "./MockBackend.ts"
import { type Pop, startPop } from "./Pop.ts"
import { formatTable } from "./table.ts"

class DemoError extends Data.TaggedError("DemoError")<{ readonly detail: string }> {
  override get message(): string {
    return `demo: ${this.detail}`
  }
}

const pops = ["sa", "us", "eu"] as const

/** Region -> the countries its three backends stand in. */
const backendCountries = { sa: ["BR", "AR", "CL"], us: ["US", "US", "CA"], eu: ["DE", "FR", "GB"] } as const

/** Loopback source addresses that stand for clients of these countries; the last one is in no database. */
const clients = [
  ["127.1.0.1", "BR"],
  ["127.1.1.1", "AR"],
  ["127.1.2.1", "PE"],
  ["127.2.0.1", "US"],
  ["127.2.1.1", "MX"],
  ["127.3.0.1", "DE"],
  ["127.3.1.1", "NG"],
  ["127.4.0.1", "JP"],
  ["127.9.0.1", undefined]
] as const

const overrides = clients.flatMap(([address, country]) => (country === undefined ? [] : [`${address}=${country}`]))

const tiers = ["same country", "client's region", "POP's region", "any other"] as const

/**
 * Three POPs and nine mock backends on loopback in one command: shows where sample clients go and why, then stays up to
 * be played with, unless `once`.
 */
export const demo = Effect.fnUntraced(function* (options: { readonly once: boolean }) {
  const directory = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "edgeproxy-demo-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const database = join(directory, "routing.db")
  const rows = yield* Effect.forEach(pops, startBackends)
  yield* Effect.sync(() => fillDatabase(database, rows.flat()))
  const running = yield* Effect.forEach(
    pops,
    (region) =>
      startPop({
        name: region,
        env: {
          EDGEPROXY_REGION: region,
          EDGEPROXY_POP_ID: `pop-${region}`,
          EDGEPROXY_DB_PATH: database,
          EDGEPROXY_DB_RELOAD_SECS: "0.5",
          EDGEPROXY_SNAPSHOT_PATH: join(directory, `pop-${region}.snapshot`),
          EDGEPROXY_GEO_OVERRIDES: overrides.join(",")
        }
      }),
    { concurrency: "unbounded" }
  )
  const backends = rows
    .flat()
    .map(({ address, country, id, port, region }) => ({ id, region, country, address: `${address}:${port}` }))
  const listening = running.map(({ name, port }) => ({ pop: name, address: `127.0.0.1:${port}` }))
  yield* Console.log(`\nBackends\n${formatTable(backends)}\n\nPOPs\n${formatTable(listening)}`)

  for (const pop of running) {
    for (const [address] of clients) yield* request(pop, address)
    yield* request(pop, clients[0][0])
  }
  const decisions = running.flatMap(({ entries }) => entries.map(decision))
  yield* Console.log(`\nWhere sample clients went (the first one of each POP came twice)\n${formatTable(decisions)}`)

  if (options.once) return
  const port = running[0]?.port ?? 0
  yield* Console.log(`
Try it:
  curl --interface 127.3.0.1 http://127.0.0.1:${port}/api/info      a client from Germany at the first POP
  sqlite3 ${database} "UPDATE backends SET healthy = 0 WHERE id = 'eu-node-1'"
Ctrl-C ends the demo.`)
  return yield* Effect.never
}, Effect.scoped)

interface BackendRow {
  readonly id: string
  readonly region: string
  readonly country: string
  readonly address: string
  readonly port: number
  readonly weight: number
}

const startBackends = Effect.fnUntraced(function* (region: (typeof pops)[number]) {
  return yield* Effect.forEach(backendCountries[region], (country, index) => {
    const id = `${region}-node-${index + 1}`
    return Effect.map(startMockBackend({ id, region, host: "127.0.0.1", port: 0 }), ({ address }): BackendRow => ({
      id,
      region,
      country,
      address: address.host,
      port: address.port,
      weight: index === 0 ? 2 : 1
    }))
  })
})

const fillDatabase = (path: string, rows: ReadonlyArray<BackendRow>): void => {
  const database = new DatabaseSync(path)
  database.exec(`CREATE TABLE backends (id TEXT PRIMARY KEY, app TEXT, region TEXT, country TEXT, wg_ip TEXT, port INTEGER,
    healthy INTEGER, weight INTEGER, soft_limit INTEGER, hard_limit INTEGER, deleted INTEGER DEFAULT 0)`)
  const insert = database.prepare("INSERT INTO backends VALUES (?, 'demo', ?, ?, ?, ?, 1, ?, 50, 100, 0)")
  for (const { address, country, id, port, region, weight } of rows)
    insert.run(id, region, country, address, port, weight)
  database.close()
}

/** One request through a POP from a client's address; completes when the POP has logged the connection. */
const request = Effect.fnUntraced(function* (pop: Pop, localAddress: string) {
  const before = pop.entries.length
  yield* Effect.callback<void, DemoError>((resume) => {
    const call = http.get(
      { host: "127.0.0.1", port: pop.port, path: "/api/latency", localAddress, agent: false },
      (response) => response.resume().once("end", () => resume(Effect.void))
    )
    call.once("error", ({ message }) => resume(Effect.fail(new DemoError({ detail: `${localAddress}: ${message}` }))))
  })
  const logged = Effect.suspend(() => (pop.entries.length > before ? Effect.void : Effect.fail("not yet" as const)))
  yield* logged.pipe(
    Effect.retry(Schedule.max([Schedule.spaced("10 millis"), Schedule.recurs(500)])),
    Effect.mapError(() => new DemoError({ detail: `POP ${pop.name} has not logged a connection` }))
  )
})

const decision = ({ affinity, backend, client, country, pop, tier }: AccessEntry) => ({
  pop,
  client,
  country: country ?? "unknown",
  backend: backend ?? "none",
  why: tier === null ? "" : `tier ${tier}: ${tiers[tier] ?? ""}`,
  affinity: affinity ?? ""
})
