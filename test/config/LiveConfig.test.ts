import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "smol-toml"
import * as TomlFile from "../../layers/config/TomlFile.ts"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import { type FileSettings, loadFile } from "../../src/config/configFile.ts"
import { EdgeConfig } from "../../src/config/EdgeConfig.ts"
import { ConfigFile, LiveConfig } from "../../src/config/LiveConfig.ts"
import { load } from "../../src/config/load.ts"
import { Conditions } from "../../src/observe/Conditions.ts"
import { settled } from "../support/settled.ts"
import { tempDirectory } from "../support/tempDirectory.ts"

const loadWith = (settings: FileSettings) => load({ env: settings, hostname: "here" })

const namesOf = (toml: string): ReadonlyArray<string> => {
  const found = loadFile(parse(toml), loadWith)
  return Result.isFailure(found) ? found.failure.problems.map(({ name }) => name) : []
}

describe("the settings of a file", () => {
  it("have the names of the variables, in tables or not, and texts as the environment would have them", () => {
    const toml = `
      rate_limit_enabled = true
      geo_overrides = ["10.0.0.0/8=DE", "fd00::/8=BR"]
      spill_at = "soft"
      [rate_limit]
      burst = 20
      window_secs = 0.5
      [circuit.failure]
      threshold = 7`
    let settings: FileSettings | undefined
    const { config } = Result.getOrThrow(loadFile(parse(toml), (found) => loadWith((settings = found))))
    assert.strictEqual(config.circuitFailureThreshold, 7)
    assert.deepStrictEqual(
      { ...settings },
      {
        EDGEPROXY_RATE_LIMIT_ENABLED: "true",
        EDGEPROXY_GEO_OVERRIDES: "10.0.0.0/8=DE,fd00::/8=BR",
        EDGEPROXY_SPILL_AT: "soft",
        EDGEPROXY_RATE_LIMIT_BURST: "20",
        EDGEPROXY_RATE_LIMIT_WINDOW_SECS: "0.5",
        EDGEPROXY_CIRCUIT_FAILURE_THRESHOLD: "7"
      }
    )
  })

  it("are refused as a whole, each one that is wrong named", () => {
    assert.deepStrictEqual(
      namesOf(`
        spill_at = "sideways"
        rate_limit_brust = 1
        listen_addr = "0.0.0.0:1"
        api_token = "secret"
        rate_limit_burst = 1979-05-27
        Circuit_timeout_secs = 3
        __proto__ = 1
        [rate_limit]
        max_requests = [[1], {a = 1}]`),
      [
        "rate_limit_brust",
        "listen_addr",
        "api_token",
        "rate_limit_burst",
        "Circuit_timeout_secs",
        "__proto__",
        "rate_limit_max_requests",
        "EDGEPROXY_SPILL_AT"
      ]
    )
    assert.deepStrictEqual(namesOf("rate_limit_burst = 1\n[rate_limit]\nburst = 2"), ["rate_limit_burst"])
  })
})

const INTERVAL_MS = 5_000

/** A configuration whose file the test writes. */
const make = Effect.fnUntraced(function* (env: Readonly<Record<string, string>> = {}) {
  let next: object | Error | undefined
  const file = Layer.succeed(ConfigFile, {
    path: "config.toml",
    read: Effect.suspend(() => {
      const found = next
      next = undefined
      return found instanceof Error ? Effect.die(found) : Effect.succeed(found)
    })
  })
  const loadWith = (settings: Readonly<Record<string, string>>) =>
    load({ env: { ...env, ...settings }, hostname: "here" })
  const config = yield* Effect.fromResult(loadWith({}))
  const services = yield* Layer.build(
    LiveConfig.layer({ loadWith }).pipe(
      Layer.provide([file, EdgeConfig.layer(config.config), Supervisor.layer]),
      Layer.provideMerge(Conditions.layer)
    )
  )
  const live = yield* Effect.provide(LiveConfig, services)
  const { present } = yield* Effect.provide(Conditions, services)
  return {
    live,
    present,
    put: (content: object): void => {
      next = content
    },
    write: (content: object) => {
      next = content
      return Effect.andThen(TestClock.adjust(INTERVAL_MS), settled)
    }
  }
})

describe("the live configuration", () => {
  it.effect("takes a file that is right, tells of it, and goes back to the environment without it", () =>
    Effect.gen(function* () {
      const { live, write } = yield* make({ EDGEPROXY_RATE_LIMIT_BURST: "11" })
      const seen: Array<number> = []
      live.onChange(({ rateLimitBurst }) => Effect.sync(() => void seen.push(rateLimitBurst)))
      yield* write({ rate_limit: { burst: 22 } })
      assert.strictEqual(live.current().rateLimitBurst, 22)
      yield* write({})
      assert.deepStrictEqual([live.current().rateLimitBurst, seen], [11, [22, 11]])
    })
  )

  it.effect("leaves everything as it was for a file that is wrong anywhere", () =>
    Effect.gen(function* () {
      const { live, present, write } = yield* make()
      yield* write({ rate_limit_burst: 22 })
      const before = live.current()
      for (const wrong of [
        { rate_limit_burst: 33, spill_at: "sideways" },
        { rate_limit_burst: 33, listen_addr: "0.0.0.0:1" },
        { rate_limit_burst: -1 }
      ]) {
        yield* write(wrong)
        assert.strictEqual(live.current(), before)
        assert.deepStrictEqual(present(), ["config-file"])
      }
      yield* write({ rate_limit_burst: 33 })
      assert.strictEqual(live.current().rateLimitBurst, 33)
      assert.deepStrictEqual(present(), [])
    })
  )

  it.effect("tells of one change after the other, however many look at once", () =>
    Effect.gen(function* () {
      const { live, put } = yield* make({ EDGEPROXY_CONFIG_WATCH_INTERVAL_SECS: "3600" })
      const told: Array<number> = []
      live.onChange(() => Effect.sleep(100))
      live.onChange(({ rateLimitBurst }) => Effect.sync(() => void told.push(rateLimitBurst)))
      put({ rate_limit_burst: 11 })
      const first = yield* Effect.forkScoped(live.look)
      yield* settled
      put({ rate_limit_burst: 22 })
      const second = yield* Effect.forkScoped(live.look)
      yield* settled
      yield* TestClock.adjust(200)
      yield* Effect.all([Fiber.join(first), Fiber.join(second)])
      assert.deepStrictEqual(told, [11, 22])
    }).pipe(Effect.scoped)
  )
})

describe("a file in TOML", () => {
  it.effect("is read when it has changed, and says where it is wrong", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDirectory, "config.toml")
      const { read } = yield* Effect.provide(ConfigFile, TomlFile.layer(path))
      assert.deepStrictEqual(yield* read, {})
      assert.isUndefined(yield* read)
      writeFileSync(path, "rate_limit_burst = 1")
      assert.deepStrictEqual({ ...(yield* read) }, { rate_limit_burst: 1 })
      assert.isUndefined(yield* read)
      writeFileSync(`${path}.new`, "a = 1\n\nb = [")
      renameSync(`${path}.new`, path)
      assert.match((yield* Effect.flip(read)).message, /config\.toml: line 3: /)
      // Wrong until it changes; nobody wants to hear it every few seconds.
      assert.isUndefined(yield* read)
      rmSync(path)
      assert.deepStrictEqual(yield* read, {})
      mkdirSync(path)
      assert.match((yield* Effect.flip(read)).message, /not a regular file/)
      rmSync(path, { recursive: true })
      writeFileSync(path, Buffer.alloc(2_000_000, "#"))
      assert.match((yield* Effect.flip(read)).message, /larger/)
    })
  )
})
