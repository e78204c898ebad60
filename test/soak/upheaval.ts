import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { renameSync, writeFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import type { ChaosBackend } from "../chaos/chaosBackend.ts"
import type { Edge } from "../e2e/setup.ts"
import { refusing } from "../support/tcp.ts"
import type { Ledger } from "./Ledger.ts"

/** Again and again until it is told to stop, with a pause after each. */
const every = <A, E, R>(ms: number, stopped: () => boolean, work: (round: number) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    for (let round = 0; !stopped(); round++) {
      yield* work(round)
      yield* Effect.sleep(ms)
    }
  })

/** Kills the backends in turn, with a pause, and starts each again before the next. */
export const deaths = (mortals: ReadonlyArray<ChaosBackend>, ledger: Ledger, stopped: () => boolean) =>
  every(
    6_000,
    stopped,
    Effect.fnUntraced(function* (round): Effect.fn.Return<void, never, Scope.Scope> {
      const mortal = mortals[round % mortals.length]
      if (mortal === undefined) return
      const killed = ledger.killing(mortal.name)
      yield* mortal.kill
      killed()
      ledger.count("backend killed")
      yield* Effect.sleep(3_000)
      yield* mortal.start
    })
  )

const FILLERS = 150

/** What an operator writes into the table: weights, backends that come, are unhealthy or go, and rows of no account. */
export const tableChanges = Effect.fnUntraced(function* (
  edge: Edge,
  mortals: ReadonlyArray<ChaosBackend>,
  ledger: Ledger,
  stopped: () => boolean
) {
  const database = yield* Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(edge.database, { timeout: 5_000 })),
    (database) => Effect.sync(() => database.close())
  )
  const filler = database.prepare(
    `INSERT INTO backends (id, app, region, wg_ip, port, weight) VALUES (?, 'other', 'ap', '127.0.0.77', ?, ?)
     ON CONFLICT (id) DO UPDATE SET port = excluded.port, weight = excluded.weight`
  )
  const remove = database.prepare("DELETE FROM backends WHERE id = ?")
  const weight = database.prepare("UPDATE backends SET weight = ? WHERE id = ?")
  const healthy = database.prepare("UPDATE backends SET healthy = ? WHERE id = ?")
  yield* every(700, stopped, (round) =>
    Effect.sync(() => {
      const name = mortals[round % mortals.length]?.name ?? ""
      database.exec("BEGIN IMMEDIATE")
      for (let index = 0; index < 20; index++) {
        const id = (round * 131 + index * 17) % FILLERS
        if (index % 5 === 0) remove.run(`filler-${id}`)
        else filler.run(`filler-${id}`, 1 + ((round + index) % 60_000), round % 5)
      }
      weight.run(1 + (round % 3), name)
      if (round % 8 === 0) healthy.run(0, name)
      if (round % 8 === 3) database.exec("UPDATE backends SET healthy = 1 WHERE app = 'test'")
      database.exec("COMMIT")
      ledger.count("table changed")
    })
  )
})

const REGISTERED = 60

/** What the API is asked for, right and wrong; the access log is rotated meanwhile. */
export const operators = (
  edge: Edge,
  api: string,
  metrics: string,
  accessLog: string,
  mortals: ReadonlyArray<ChaosBackend>,
  { ledger, stopped }: { readonly ledger: Ledger; readonly stopped: () => boolean }
) => {
  const call = (method: string, path: string, body?: unknown) =>
    Effect.promise(async () => {
      const headers = { "content-type": "application/json" }
      const answer = await fetch(`${api}${path}`, {
        method,
        ...(body === undefined ? {} : { headers, body: typeof body === "string" ? body : JSON.stringify(body) })
      })
      await answer.arrayBuffer()
      return answer.status
    })
  const expect = (statuses: ReadonlyArray<number>, method: string, path: string, body?: unknown) =>
    Effect.tap(call(method, path, body), (status) =>
      Effect.sync(() => {
        if (statuses.includes(status)) ledger.count(`${method} ${path.split(/[/?]/, 4).slice(0, 4).join("/")}`)
        else ledger.wrong(`${method} ${path}: ${status}`)
      })
    )
  return every(
    250,
    stopped,
    Effect.fnUntraced(function* (round) {
      const id = `registered-${round % REGISTERED}`
      const self = { id, app: "other", region: "us", ip: refusing.address, port: 1 + (round % 60_000) }
      yield* expect([200, 201], "POST", "/api/v1/register", self)
      for (let back = 0; back < 5; back++) {
        yield* expect(
          [200, 404],
          "POST",
          `/api/v1/heartbeat/registered-${(round - back * 3 + REGISTERED) % REGISTERED}`
        )
      }
      yield* expect([200], "GET", `/api/v1/explain?ip=127.1.${round % 250}.7`)
      yield* expect([200], "GET", "/api/v1/backends?limit=50")
      yield* expect([200], "GET", "/api/v1/connections?limit=20")
      yield* expect([200], "GET", "/api/v1/actors")
      yield* expect([400], "POST", "/api/v1/register", "{".repeat(round % 5_000) + "}")
      if (round % 3 === 0) yield* expect([200, 404], "DELETE", `/api/v1/backends/${id}`)
      if (round % 20 === 0) {
        const mortal = mortals[round % mortals.length]?.name ?? ""
        yield* expect([200], "POST", `/api/v1/backends/${mortal}/drain`)
        yield* Effect.sleep(2_000)
        yield* expect([200], "POST", `/api/v1/backends/${mortal}/undrain`)
      }
      if (round % 50 === 0) {
        yield* Effect.sync(() => {
          renameSync(accessLog, `${accessLog}.old`)
          edge.signal("SIGHUP")
        })
        ledger.count("log rotated")
      }
      yield* Effect.promise(() => fetch(metrics).then((answer) => answer.arrayBuffer()))
    })
  )
}

/** Settings that an operator changes while the program runs; every third file is wrong, and changes nothing. */
export const reloads = (path: string, ledger: Ledger, stopped: () => boolean) =>
  every(3_000, stopped, (round) =>
    Effect.sync(() => {
      const text = `rate_limit_burst = ${1_000 + round}
health_check_interval_secs = ${1 + (round % 3)}
circuit_timeout_secs = ${1 + (round % 2)}
slow_start_secs = ${round % 3}
deny_cidrs = "192.0.2.${round % 250}/32"
`
      writeFileSync(path, round % 3 === 2 ? text.slice(0, -3) : text)
      ledger.count("configuration changed")
    })
  )
