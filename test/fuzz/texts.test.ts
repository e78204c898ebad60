import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { parse } from "smol-toml"
import { MAX_STATUS_LINE, statusOf } from "../../layers/probe/statusLine.ts"
import { loadFile } from "../../src/config/configFile.ts"
import { load } from "../../src/config/load.ts"
import { fields, variableOf } from "../../src/config/variables.ts"
import { decodeBackend } from "../../src/domain/Backend.ts"
import { decodeState } from "../../src/domain/BackendState.ts"
import { beginnings, mutants } from "../support/mutants.ts"

const loadWith = (env: Readonly<Record<string, string>>) => load({ env, hostname: "edge-1" })

/** Bounded: whoever waits meanwhile waits for the control thread. */
const within = <A>(ms: number, what: string, work: () => A): A => {
  const startedAt = performance.now()
  const result = work()
  assert.isBelow(performance.now() - startedAt, ms, what)
  return result
}

const examples = [
  "10.9.0.0/16=DE,2001:db8::/32=BR",
  "[::1]:5432=pg,0.0.0.0:8080",
  "sa=203.0.113.1|2001:db8::1,us=198.51.100.1",
  "db.example.com=pg,*.shop.example.com=shop",
  "https://user:secret@example.com:8443/path",
  "a=b,c=%20d",
  "30.5",
  "true",
  "DE,BR",
  "/etc/edgeproxy/config.toml"
]

describe("a configuration", () => {
  for (const field of fields) {
    const { name } = variableOf(field)
    it(`${name}: any text is a value or an error that names it`, () => {
      const nameless: Array<string> = []
      for (const example of examples) {
        for (const mutant of mutants(Buffer.from(example), 12)) {
          const text = mutant.toString()
          const loaded = loadWith({ [name]: text })
          if (Result.isFailure(loaded) && !loaded.failure.message.includes(name)) nameless.push(text)
        }
      }
      assert.deepStrictEqual(nameless, [])
    })
  }
})

/** Of a text: what a TOML file comes to, as the program reads it. */
const fromToml = (text: string): "taken" | "left aside" | "no TOML" => {
  let decoded: object
  try {
    decoded = parse(text)
  } catch {
    return "no TOML"
  }
  return Result.isSuccess(loadFile(decoded, loadWith)) ? "taken" : "left aside"
}

const toml = `# settings
deny_countries = ["BR", "DE"]
geo_overrides = "127.1.0.0/16=US,127.2.0.0/16=BR"
spill_at = 'soft'
[rate_limit]
enabled = true
burst = 1_000
window_secs = 1.5
[health]
check = { enabled = true, interval_secs = 0.5, path = """/health""" }
`

describe("a configuration file", () => {
  it("is taken as it is, and at each cut and change or left aside, never more", () => {
    assert.strictEqual(fromToml(toml), "taken")
    const seen = new Set<string>()
    for (const part of beginnings(Buffer.from(toml))) seen.add(fromToml(part.toString()))
    for (const mutant of mutants(Buffer.from(toml), 1_500)) seen.add(fromToml(mutant.toString()))
    assert.deepStrictEqual([...seen].sort(), ["left aside", "no TOML", "taken"])
  })

  /** As much as is read of a file. */
  const MUCH = 260_000
  for (const [name, text] of [
    ["of nested lists", `a = ${"[".repeat(MUCH)}`],
    ["of nested tables", "a={".repeat(MUCH / 3)],
    ["of one long path", `${"a.".repeat(MUCH / 2 - 4)}a = 1`],
    ["of one long header", `[${"a.".repeat(MUCH / 2 - 4)}a]\nb = 1`],
    ["of names that nobody knows", Array.from({ length: MUCH / 16 }, (_, index) => `naame_${index} = 1`).join("\n")],
    ["of one long name", `${"a".repeat(MUCH)} = 1`],
    ["of one long value", `deny_countries = "${"BR,".repeat(MUCH / 3)}"`],
    ["of one long list", `deny_cidrs = [${'"10.0.0.0/8",'.repeat(MUCH / 14)}]`],
    ["of garbage", "\u0001\u0002".repeat(MUCH / 2)]
  ] as const) {
    it(`as large as may be, ${name}, is judged soon`, () => {
      assert.include(
        ["taken", "left aside", "no TOML"],
        within(8_000, name, () => fromToml(text))
      )
    })
  }
})

describe("the first bytes of an answer to a check", () => {
  const line = Buffer.from("HTTP/1.1 200 OK\r\nServer: x\r\n")

  it("are incomplete until the line ends, and never more than a status", () => {
    for (const part of beginnings(line)) {
      const status = statusOf(part.toString("latin1"))
      assert.strictEqual(status, part.includes(0x0a) ? 200 : "incomplete")
    }
    for (const mutant of mutants(line, 5_000)) {
      const status = statusOf(mutant.toString("latin1"))
      if (typeof status === "number") assert.isTrue(status >= 0 && status <= 999)
    }
  })

  it("without an end are malformed, and soon", () => {
    for (const tail of [" ", "\r", "1", " \r"]) {
      const text = `HTTP/1.1 200${tail.repeat(MAX_STATUS_LINE)}`
      assert.strictEqual(
        within(50, tail, () => statusOf(text)),
        "malformed"
      )
      within(50, tail, () => statusOf(`${text}\n`))
    }
  })
})

describe("a row", () => {
  const texts = [
    "",
    "a",
    "sa",
    "10.0.0.1",
    "::1",
    "BR",
    "x".repeat(100_000),
    "\ud800",
    "\u0000",
    "1",
    "-1",
    "NaN",
    "1e400"
  ]
  const figures = [0, 1, -1, 80, 65_536, 0.5, -0, NaN, Infinity, Number.MAX_SAFE_INTEGER, 2n ** 64n, -1n, true, false]
  const others = [null, undefined, [], {}, new Uint8Array(3), Symbol.iterator, () => 1]
  const values: ReadonlyArray<unknown> = [...texts, ...figures, ...others]
  const columns =
    "id app region country wg_ip port healthy weight soft_limit hard_limit deleted owner source draining expired registered_at heartbeat_at"
  const good = { id: "a", app: "", region: "sa", wg_ip: "10.0.0.1", port: 80 }

  it("of whatever values is a backend, a deleted one or a bad one; and a state or none", () => {
    for (const column of columns.split(" ")) {
      for (const value of values) {
        const row = { ...good, [column]: value }
        const decoded = decodeBackend(row)
        assert.include(["Backend", "Deleted", "Bad"], decoded._tag)
        if (decoded._tag === "Bad") assert.isBelow(decoded.reason.length + decoded.id.length, 1_000)
        const state = decodeState(row)
        if (state === undefined) continue
        assert.isTrue(Number.isSafeInteger(state.registeredAt) && state.registeredAt >= 0)
        assert.isTrue(Number.isSafeInteger(state.heartbeatAt) && state.heartbeatAt >= 0)
        assert.isTrue(typeof state.draining === "boolean" && typeof state.expired === "boolean")
      }
    }
  })
})
