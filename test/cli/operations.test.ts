import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as schemas from "../../src/api/schemas.ts"
import type { ConnectionEntry } from "../../src/cli/EdgeApi.ts"
import { run } from "./rig.ts"

type Explanation = typeof schemas.Explanation.Type

const candidate = (fields: Partial<Explanation["candidates"]["shown"][number]>) => ({
  rank: 1,
  id: "n1",
  app: "shop",
  region: "sa",
  country: "BR",
  tier: 0 as const,
  connections: 1,
  soft_limit: 3,
  hard_limit: 0,
  weight: 1,
  load: 1 / 3,
  score: 1 / 3,
  spilled: false,
  bound: false,
  ...fields
})

const explanation: Explanation = {
  client: { address: "2001:db8::7", key: "2001:db8::/64", country: "BR", region: "sa", refused: null },
  sni: null,
  app: "shop",
  pop_region: "eu",
  panic: false,
  binding: { backend: "n9", open_connections: 0, seconds_left: 41.2, unused: "draining" },
  choice: { backend: "n1", tier: 0, affinity: "rebound" },
  candidates: { total: 7, shown: [candidate({}), candidate({ rank: 2, id: "n2", tier: 3, score: null, load: null })] },
  out: { total: 1, shown: [{ id: "n9", app: "shop", reason: "draining", connections: 4, hard_limit: 0 }] }
}

describe("D4: explain", () => {
  it.effect("tells people who, where and why", () =>
    Effect.gen(function* () {
      const asked: Array<unknown> = []
      const edge = {
        explain: (...question: ReadonlyArray<unknown>) => {
          asked.push(question)
          return Effect.succeed(explanation)
        }
      }
      const { out } = yield* run(["explain", "2001:db8::7", "--app", "shop", "--limit", "1000"], { edge })
      assert.deepStrictEqual(asked, [["2001:db8::7", "shop", 100, undefined]])
      assert.strictEqual(
        out,
        [
          "client   2001:db8::7 (as 2001:db8::/64), in BR, sa",
          "pop      eu; backends of app shop",
          "binding  n9, 42 s left, not used: draining",
          "choice   n1, tier 0 (same country), chosen afresh, its binding no longer serves",
          "",
          "7 candidates, in the order they would be tried, 2 shown",
          "#  ID  APP   TIER                CONNECTIONS  SOFT  HARD  WEIGHT      LOAD     SCORE",
          "1  n1  shop  0 same country                1     3     -       1  0.333333  0.333333",
          "2  n2  shop  3 any other region            1     3     -       1         -         -",
          "",
          "1 out",
          "ID  APP   OUT BECAUSE  CONNECTIONS",
          "n9  shop  draining               4"
        ].join("\n")
      )
      const json = yield* run(["explain", "2001:db8::7", "--json"], { edge })
      assert.deepStrictEqual(JSON.parse(json.out), explanation)
      assert.deepStrictEqual(asked[1], ["2001:db8::7", undefined, 20, undefined])
      const named: Explanation = { ...explanation, sni: { name: "db.example.com", routed: true, refused: false } }
      const bySni = yield* run(["explain", "2001:db8::7", "--sni", "db.example.com"], {
        edge: {
          explain: (...question) => {
            asked.push(question)
            return Effect.succeed(named)
          }
        }
      })
      assert.deepStrictEqual(asked[2], ["2001:db8::7", undefined, 20, "db.example.com"])
      assert.include(bySni.out, "\nsni      db.example.com; a route leads to the app\n")
    })
  )

  it.effect("tells why there is no way, and of a client that nobody knows", () =>
    Effect.gen(function* () {
      const nowhere: Explanation = {
        ...explanation,
        client: { address: "10.0.0.1", key: "10.0.0.1", country: null, region: null, refused: "denied-network" },
        app: null,
        binding: null,
        choice: { backend: null, reason: "no-capacity" },
        candidates: { total: 0, shown: [] },
        out: { total: 0, shown: [] }
      }
      const { out } = yield* run(["explain", "10.0.0.1"], { edge: { explain: () => Effect.succeed(nowhere) } })
      assert.strictEqual(
        out,
        [
          "client   10.0.0.1, in no known place",
          "refused  its network may not connect; what follows is how it would be otherwise",
          "pop      eu; backends of all apps",
          "binding  none",
          "choice   none: all that are eligible are full; the client would be reset"
        ].join("\n")
      )
    })
  )

  it.effect("keeps hostile names from the terminal", () =>
    Effect.gen(function* () {
      const id = "\u001b[2J\u009b1m\u202e\r\n"
      const hostile: Explanation = {
        ...explanation,
        app: id,
        binding: { backend: id, open_connections: 1, seconds_left: null, unused: null },
        choice: { backend: id, tier: 0, affinity: "hit" },
        candidates: { total: 1, shown: [candidate({ id, app: id, bound: true })] },
        out: { total: 1, shown: [{ id, app: id, reason: "full", connections: 1, hard_limit: 1 }] }
      }
      for (const more of [[], ["--json"]]) {
        const { out } = yield* run(["explain", "10.0.0.1", ...more], {
          edge: { explain: () => Effect.succeed(hostile) }
        })
        for (const line of out.split("\n")) assert.match(line, /^[^\p{C}\p{Zl}\p{Zp}]*$/u)
      }
    })
  )
})

describe("D3: health", () => {
  const health = {
    status: "ok",
    version: "0.1.0",
    pop: "pop-a",
    region: "sa",
    registered_backends: 3,
    uptime_secs: 60
  } as const

  it.effect("fails when nobody answers, else tells", () =>
    Effect.gen(function* () {
      const dead = yield* run(["health"])
      assert.strictEqual(dead.failure, "no edgeproxy answers at 127.0.0.1:8081: connection refused; is it running?")
      const { failure, out } = yield* run(["health"], { edge: { health: Effect.succeed(health) } })
      assert.isUndefined(failure)
      assert.include(out, "pop-a")
    })
  )

  it.effect("of readiness: not being ready is a failure, being degraded is none", () =>
    Effect.gen(function* () {
      const ready = { ready: true, reasons: [], degraded: ["source-lost"] } as const
      const good = yield* run(["health", "--ready"], { edge: { ready: Effect.succeed(ready) } })
      assert.deepStrictEqual([good.failure, good.out], [undefined, "ready     yes\ndegraded  source-lost"])
      const notReady = { ready: false, reasons: ["draining"], degraded: [] } as const
      const bad = yield* run(["health", "--ready", "--json"], { edge: { ready: Effect.succeed(notReady) } })
      assert.deepStrictEqual([bad.failure, JSON.parse(bad.out)], ["not ready", notReady])
    })
  )
})

describe("T5: table", () => {
  const table: typeof schemas.Table.Type = {
    version: 4,
    origin: "source",
    backends: 12,
    quarantined: 1,
    age_secs: 0.25,
    lost: { source: "sqlite", target: "routing.db", reason: "locked", detail: "\u001b[31mlocked" },
    held: { eligible: 12, lost: 10 }
  }

  it.effect("shows what is held, and confirms it", () =>
    Effect.gen(function* () {
      const edge = { table: Effect.succeed(table), confirmTable: Effect.succeed(true) }
      const { out } = yield* run(["table", "show"], { edge })
      assert.include(out, "would remove 10 of 12 eligible backends; `edgeproxy table confirm` takes it")
      assert.include(out, "lost: sqlite routing.db: locked: \\x1b[31mlocked")
      assert.strictEqual((yield* run(["table", "confirm"], { edge })).out, "the held update is taken")
      const nothing = yield* run(["table", "confirm", "--json"], { edge: { confirmTable: Effect.succeed(false) } })
      assert.deepStrictEqual(JSON.parse(nothing.out), { confirmed: false })
    })
  )
})

describe("D5: connections", () => {
  const connection = (fields: Partial<ConnectionEntry>): ConnectionEntry => ({
    id: "1",
    phase: "relay",
    client: "203.0.113.7",
    client_port: 5_000,
    peer: null,
    country: "BR",
    region: "sa",
    app: "shop",
    listener: "0.0.0.0:80",
    sni: null,
    backend: "n1",
    backend_addr: "10.0.0.1:80",
    tier: 0,
    affinity: "hit",
    attempts: 1,
    connect_ms: 1.5,
    age_ms: 65_400,
    idle_ms: 1_250,
    bytes_in: 9_999,
    bytes_out: 123_456_789,
    ...fields
  })

  it.effect("are listed by page up to the limit", () =>
    Effect.gen(function* () {
      const edge = {
        connections: ({ after, limit }: { readonly after: string | undefined; readonly limit: number }) =>
          Effect.succeed({
            connections: Array.from({ length: Math.min(limit, 2) }, (_, at) =>
              connection({ id: String(Number(after ?? 0) + at), client: at === 0 ? "203.0.113.7" : "::1" })
            ),
            total: 9,
            next: String(Number(after ?? 0) + 2)
          })
      }
      const { out } = yield* run(["connections", "--limit", "3"], { edge })
      assert.strictEqual(
        out,
        [
          "ID  PHASE  CLIENT            COUNTRY  APP   BACKEND   AGE   IDLE      IN     OUT",
          "0   relay  203.0.113.7:5000  BR       shop  n1       65 s  1.3 s  9999 B  123 MB",
          "1   relay  [::1]:5000        BR       shop  n1       65 s  1.3 s  9999 B  123 MB",
          "2   relay  203.0.113.7:5000  BR       shop  n1       65 s  1.3 s  9999 B  123 MB",
          "",
          "6 more; --limit shows them"
        ].join("\n")
      )
      const none = yield* run(["connections"], {
        edge: { connections: () => Effect.succeed({ connections: [], total: 0 }) }
      })
      assert.strictEqual(none.out, "no connections")
    })
  )

  it.effect("are killed by id", () =>
    Effect.gen(function* () {
      const killed: Array<string> = []
      const edge = { kill: (id: string) => Effect.sync(() => void killed.push(id)) }
      const { out } = yield* run(["connections", "kill", "a-17"], { edge })
      assert.deepStrictEqual([killed, out], [["a-17"], "killed a-17"])
    })
  )
})

describe("X1: the command line", () => {
  it.effect("tells what it takes", () =>
    Effect.gen(function* () {
      const help = yield* run(["--help"])
      for (const name of [
        "serve",
        "check",
        "config",
        "health",
        "backends",
        "table",
        "explain",
        "connections",
        "demo"
      ]) {
        assert.match(help.out, new RegExp(`\\n  ${name} +\\S`))
      }
      for (const verb of ["list", "add", "set", "drain", "undrain", "remove"]) {
        const { failure, out } = yield* run(["backends", verb, "--help"])
        assert.isUndefined(failure)
        assert.include(out, `edgeproxy backends ${verb} `)
        assert.notInclude(out, "--token ")
      }
      assert.include((yield* run(["--version"])).out, "1.2.3")
    })
  )

  it.effect.each([
    [["backends"]],
    [["backends", "add", "n1"]],
    [["backends", "add", "n1", "--region", "mars", "--ip", "10.0.0.1", "--port", "1"]],
    [["backends", "set", "n1", "--port", "many"]],
    [["backends", "list", "--limit", "0"]],
    [["backends", "list", "--token", "secret"]],
    [["explain"]],
    [["table", "drop"]],
    [["nonsense"]]
  ] as const)("refuses %j", ([line]) =>
    Effect.gen(function* () {
      const { asked, failure, written } = yield* run([...line])
      assert.isDefined(failure)
      assert.deepStrictEqual([asked, written], [[], []])
    })
  )
})
