import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { type BackendEntry, EdgeError } from "../../src/cli/EdgeApi.ts"
import { backend } from "../support/fixtures.ts"
import { row, run } from "./rig.ts"

const add = (...more: ReadonlyArray<string>) =>
  ["backends", "add", "n2", "--region", "eu", "--ip", "10.0.0.2", "--port", "9000", ...more] as const

const entry = (fields: Partial<Exclude<BackendEntry, { readonly state: "quarantined" }>>): BackendEntry => ({
  id: "n1",
  app: "shop",
  region: "sa",
  country: "BR",
  ip: "10.0.0.1",
  port: 8080,
  healthy: true,
  weight: 2,
  soft_limit: 10,
  hard_limit: 0,
  connections: 7,
  warm: 0,
  last_heartbeat_secs: null,
  registered_secs: null,
  source: "table",
  state: "active",
  circuit: null,
  check_error: null,
  share: null,
  owner: null,
  ...fields
})

describe("X1: backends add", () => {
  it.effect("writes a row as if by hand, with the defaults of the table", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust(5_000)
      const { err, failure, out, written } = yield* run(add())
      assert.deepStrictEqual([failure, err, out], [undefined, "", "added n2 to memory"])
      assert.deepStrictEqual(written, [
        {
          _tag: "Put",
          backend: backend({ id: "n2", region: "eu", address: "10.0.0.2", port: 9000, hardLimit: 150 }),
          owner: "",
          source: "",
          at: 5_000
        }
      ])
    })
  )

  it.effect("takes every field", () =>
    Effect.gen(function* () {
      const fields = ["--app", "shop", "--country", "de", "--weight", "0", "--soft-limit", "5", "--hard-limit", "0"]
      const { written } = yield* run(add(...fields))
      const [change] = written
      assert.deepStrictEqual(
        change?._tag === "Put" ? change.backend : undefined,
        backend({
          id: "n2",
          app: "shop",
          region: "eu",
          country: "DE",
          address: "10.0.0.2",
          port: 9000,
          weight: 0,
          softLimit: 5
        })
      )
    })
  )

  it.effect("leaves an id that is there alone, also one whose row is bad; a deleted one is free", () =>
    Effect.gen(function* () {
      const table = { rows: [row({ id: "n2" })] }
      const known = yield* run(add(), { table })
      assert.deepStrictEqual([known.written, known.failure?.includes("already")], [[], true])
      const bad = yield* run(add(), { table: { rows: [row({ id: "n2", port: 0 })] } })
      assert.deepStrictEqual([bad.written, bad.failure?.includes("already")], [[], true])
      const gone = yield* run(add(), { table: { rows: [row({ id: "n2", deleted: 1 })] } })
      assert.deepStrictEqual([gone.written.length, gone.failure], [1, undefined])
    })
  )

  it.effect.each([
    [["--port", "0"], "port: Expected an integer from 1 to 65535"],
    [["--ip", "10.0.0.300"], "ip: Expected an IPv4 or IPv6 address"],
    [["--ip", "0.0.0.0"], "ip: Expected the address of one host"],
    [["--country", "Brazil"], "country: Expected an ISO 3166 code"],
    [["--weight", "1001"], "weight: Expected an integer from 0 to 1000"],
    [["--hard-limit", "-1"], "hard_limit: Expected an integer"],
    [["--app", "\u001b[31m"], "app: expected printable text"]
  ] as const)("says what can't be: %j", ([fields, message]) =>
    Effect.gen(function* () {
      const usual = { "--ip": "10.0.0.2", "--port": "9000", "--region": "eu" }
      const [name, value] = fields
      const line = Object.entries({ ...usual, [name]: value }).flat()
      const { failure, written } = yield* run(["backends", "add", "n2", ...line])
      assert.deepStrictEqual(written, [])
      assert.include(failure, message)
    })
  )

  it.effect("refuses an address where no backend of a shared table may live", () =>
    Effect.gen(function* () {
      const refuses = ({ address }: { readonly address: string }) => `${address} is not allowed`
      const { failure, written } = yield* run(add(), { table: { refuses } })
      assert.deepStrictEqual([failure, written], ["this can't be: ip: 10.0.0.2 is not allowed", []])
    })
  )

  it.effect("says why the store did not take it, or can't be read", () =>
    Effect.gen(function* () {
      const replica = yield* run(add(), { table: { readonly: true } })
      assert.strictEqual(replica.failure, "not changed: memory it: readonly: a replica")
      const lost = yield* run(add(), { table: { lost: true } })
      assert.strictEqual(lost.failure, "memory it: unreachable: gone")
    })
  )
})

describe("X1: backends set, remove", () => {
  const table = { rows: [row()], states: [{ id: "n1", owner: "pop-a", source: "api", draining: 0, expired: 0 }] }

  it.effect("sets what is given and nothing else", () =>
    Effect.gen(function* () {
      const { err, out, written } = yield* run(["backends", "set", "n1", "--weight", "3", "--no-healthy"], {
        table: { rows: [row()] }
      })
      assert.deepStrictEqual(written, [{ _tag: "Set", id: "n1", fields: { healthy: false, weight: 3 } }])
      assert.deepStrictEqual([out, err], ["set healthy, weight of n1 in memory", ""])
      const country = yield* run(["backends", "set", "n1", "--country", ""], { table })
      assert.deepStrictEqual(country.written, [{ _tag: "Set", id: "n1", fields: { country: "" } }])
    })
  )

  it.effect("says that a backend which registers itself will undo it", () =>
    Effect.gen(function* () {
      const set = yield* run(["backends", "set", "n1", "--weight", "3"], { table })
      assert.include(set.err, "registered itself at pop-a")
      const removed = yield* run(["backends", "remove", "n1"], { table })
      assert.deepStrictEqual(removed.written, [{ _tag: "Remove", id: "n1" }])
      assert.include(removed.err, "comes back")
    })
  )

  it.effect("mends a bad row when all that is bad in it is set", () =>
    Effect.gen(function* () {
      const bad = { rows: [row({ port: 0, region: "mars" })] }
      const half = yield* run(["backends", "set", "n1", "--port", "80"], { table: bad })
      assert.deepStrictEqual([half.written, half.failure?.includes("region")], [[], true])
      const whole = yield* run(["backends", "set", "n1", "--port", "80", "--region", "eu"], { table: bad })
      assert.deepStrictEqual(whole.written, [{ _tag: "Set", id: "n1", fields: { region: "eu", port: 80 } }])
    })
  )

  it.effect("says so when there is no such backend, or nothing to set", () =>
    Effect.gen(function* () {
      for (const verb of ["set", "remove", "drain", "undrain"]) {
        const more = verb === "set" ? ["--port", "1"] : verb === "remove" ? [] : ["--store"]
        const { failure, written } = yield* run(["backends", verb, "nix", ...more], { table })
        assert.deepStrictEqual([failure, written], ["memory has no backend nix", []])
      }
      assert.include((yield* run(["backends", "set", "n1"], { table })).failure, "nothing to set")
    })
  )
})

describe("H6, X1: backends drain, undrain", () => {
  it.effect("asks the running process", () =>
    Effect.gen(function* () {
      const drained: Array<unknown> = []
      const edge = {
        setDraining: (id: string, draining: boolean) => Effect.sync(() => void drained.push([id, draining]))
      }
      const on = yield* run(["backends", "drain", "n1", "--api", "http://pop:1", "--token-file", "secret"], { edge })
      assert.strictEqual(on.out, "n1 is draining")
      assert.deepStrictEqual(on.asked, [{ url: "http://pop:1", tokenFile: "secret" }])
      yield* run(["backends", "undrain", "n1"], { edge })
      assert.deepStrictEqual(drained, [
        ["n1", true],
        ["n1", false]
      ])
      assert.deepStrictEqual(on.written, [])
    })
  )

  it.effect("goes to the store when told, and says so when nobody answers", () =>
    Effect.gen(function* () {
      const nobody = yield* run(["backends", "drain", "n1"])
      assert.strictEqual(
        nobody.failure,
        "no edgeproxy answers at 127.0.0.1:8081: connection refused; is it running? --store takes the table itself."
      )
      const { asked, out, written } = yield* run(["backends", "drain", "n1", "--store", "--json"], {
        table: { rows: [row()] }
      })
      assert.deepStrictEqual(written, [{ _tag: "Drain", id: "n1", draining: true }])
      assert.deepStrictEqual([JSON.parse(out), asked], [{ id: "n1", done: "n1 is draining in memory", notes: [] }, []])
    })
  )

  it.effect("a refusal is told as it is", () =>
    Effect.gen(function* () {
      const no = Effect.fail(new EdgeError({ reason: "refused", where: "x", detail: "backend not registered: n1" }))
      const { failure } = yield* run(["backends", "drain", "n1"], { edge: { setDraining: () => no } })
      assert.strictEqual(failure, "backend not registered: n1")
    })
  )
})

describe("X1: backends list", () => {
  it.effect("shows what the running process has, page by page", () =>
    Effect.gen(function* () {
      const asked: Array<unknown> = []
      const edge = {
        backends: (query: { readonly after: string | undefined; readonly limit: number }) => {
          asked.push(query)
          const first = Number(query.after ?? "0")
          const size = Math.min(query.limit, 1_000)
          const backends = Array.from({ length: size }, (_, at) => entry({ id: `n${first + at}` }))
          return Effect.succeed({ backends, total: 5_000, next: String(first + size) })
        }
      }
      const { out } = yield* run(["backends", "list", "--app", "shop", "--limit", "1500", "--json"], { edge })
      const { backends, total } = JSON.parse(out) as { backends: ReadonlyArray<{ id: string }>; total: number }
      assert.deepStrictEqual([backends.length, backends[1_499]?.id, total], [1_500, "n1499", 5_000])
      assert.deepStrictEqual(asked, [
        { app: "shop", state: undefined, limit: 1_000, after: undefined },
        { app: "shop", state: undefined, limit: 500, after: "1000" }
      ])
      const text = yield* run(["backends", "list", "--limit", "2"], { edge })
      assert.strictEqual(
        text.out,
        [
          "ID  APP   REGION  COUNTRY  ADDRESS        STATE   WEIGHT  SOFT  HARD  CONNECTIONS  SOURCE  HEARD",
          "n0  shop  sa      BR       10.0.0.1:8080  active       2    10     -            7  table       -",
          "n1  shop  sa      BR       10.0.0.1:8080  active       2    10     -            7  table       -",
          "",
          "4998 more; --limit shows them"
        ].join("\n")
      )
    })
  )

  it.effect("keeps what a hostile row holds from the terminal", () =>
    Effect.gen(function* () {
      const hostile = entry({ id: "\u001b[2J\u009b1m", app: "\u202egpj", owner: "\r\nn9", source: "api" })
      const bad = { id: "\u0007", reason: "\u001b]0;title\u0007", state: "quarantined" as const }
      const edge = { backends: () => Effect.succeed({ backends: [hostile, bad], total: 2 }) }
      for (const more of [[], ["--json"]]) {
        const { out } = yield* run(["backends", "list", ...more], { edge })
        for (const line of out.split("\n")) assert.match(line, /^[^\p{C}\p{Zl}\p{Zp}]*$/u)
      }
    })
  )

  const table = {
    rows: [
      row(),
      row({ id: "reg", app: "b", wg_ip: "fd00::1" }),
      row({ id: "late", healthy: 0 }),
      row({ id: "idle", weight: 0 }),
      row({ id: "off", deleted: 1 }),
      row({ id: "bad", port: 0 })
    ],
    states: [
      { id: "reg", owner: "pop-a", source: "api", draining: 1, expired: 0, registered_at: 1_000, heartbeat_at: 4_000 }
    ]
  }

  it.effect("shows the store itself when told, and how much of it is not used", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust(10_500)
      const { asked, err, out } = yield* run(["backends", "list", "--store"], { table })
      assert.strictEqual(
        out,
        [
          "ID    APP   REGION  COUNTRY  ADDRESS         STATE      WEIGHT  SOFT  HARD  CONNECTIONS  SOURCE         HEARD",
          "n1    shop  sa      BR       10.0.0.1:8080   active          2    10     -            -  table              -",
          "reg   b     sa      BR       [fd00::1]:8080  draining        2    10     -            -  api (pop-a)  6 s ago",
          "late  shop  sa      BR       10.0.0.1:8080   unhealthy       2    10     -            -  table              -",
          "idle  shop  sa      BR       10.0.0.1:8080   standby         0    10     -            -  table              -"
        ].join("\n")
      )
      assert.strictEqual(err, "1 row of memory not used; --state quarantined shows why")
      assert.deepStrictEqual(asked, [])
    })
  )

  it.effect("of a running process, how many rows it does not use", () =>
    Effect.gen(function* () {
      const edge = {
        backends: () => Effect.succeed({ backends: [], total: 0 }),
        table: Effect.succeed({
          version: 1,
          origin: "source" as const,
          backends: 0,
          quarantined: 2,
          age_secs: 0,
          lost: null,
          held: null
        })
      }
      const { err, out } = yield* run(["backends", "list"], { edge })
      assert.deepStrictEqual([out, err], ["no backends", "2 rows of the table not used; --state quarantined shows why"])
      assert.strictEqual((yield* run(["backends", "list", "--state", "active"], { edge })).err, "")
    })
  )

  it.effect("of the store, by app and state", () =>
    Effect.gen(function* () {
      const idsOf = Effect.fnUntraced(function* (...filter: ReadonlyArray<string>) {
        const { out } = yield* run(["backends", "list", "--store", "--json", ...filter], { table })
        const { backends, total } = JSON.parse(out) as { backends: ReadonlyArray<{ id: string }>; total: number }
        return [total, ...backends.map(({ id }) => id)]
      })
      assert.deepStrictEqual(yield* idsOf("--app", "b"), [1, "reg"])
      assert.deepStrictEqual(yield* idsOf("--state", "unhealthy"), [1, "late"])
      assert.deepStrictEqual(yield* idsOf("--state", "quarantined"), [1, '"bad"'])
      assert.deepStrictEqual(yield* idsOf("--limit", "1"), [4, "n1"])
      const { out } = yield* run(["backends", "list", "--store", "--app", "nix"], { table })
      assert.strictEqual(out, "no backends")
    })
  )
})
