import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as BirdAnnouncer from "../../layers/bird/BirdAnnouncer.ts"
import type { Level } from "../../src/anycast/Level.ts"
import { RouteAnnouncer } from "../../src/anycast/RouteAnnouncer.ts"
import { scratch } from "../support/EdgeProcess.ts"
import { eventually } from "../support/Watch.ts"
import { type Behaviour, fakeBird, goodBird, table } from "./fakeBird.ts"

const announcer = (socket: string) =>
  RouteAnnouncer.use(Effect.succeed).pipe(Effect.provide(BirdAnnouncer.layer({ socket, protocol: "edgeproxy" })))

/** Applies levels one after the other; what each had to change. */
const changes = Effect.fnUntraced(function* (protocols: Record<string, boolean>, levels: ReadonlyArray<Level>) {
  const bird = yield* fakeBird(goodBird(protocols))
  const { apply } = yield* announcer(bird.path)
  return yield* Effect.forEach(levels, apply)
})

describe("BIRD's protocols", () => {
  it.live("are switched in an order that leaves no gap, and only where they are otherwise", () =>
    Effect.gen(function* () {
      const both = { edgeproxy_4: false, edgeproxy_6: false, edgeproxy_degraded_4: false, edgeproxy_degraded_6: false }
      const got = yield* changes(both, ["announced", "announced", "degraded", "announced", "withdrawn", "withdrawn"])
      assert.deepStrictEqual(got, [
        [
          'enable "edgeproxy_4"',
          'enable "edgeproxy_6"',
          'enable "edgeproxy_degraded_4"',
          'enable "edgeproxy_degraded_6"'
        ],
        [],
        ['disable "edgeproxy_6"', 'disable "edgeproxy_4"'],
        ['enable "edgeproxy_4"', 'enable "edgeproxy_6"'],
        [
          'disable "edgeproxy_degraded_6"',
          'disable "edgeproxy_degraded_4"',
          'disable "edgeproxy_6"',
          'disable "edgeproxy_4"'
        ],
        []
      ])
    })
  )

  it.live("that can't step down stay announced", () =>
    Effect.gen(function* () {
      const got = yield* changes({ edgeproxy: false }, ["degraded", "announced", "withdrawn"])
      assert.deepStrictEqual(got, [['enable "edgeproxy"'], [], ['disable "edgeproxy"']])
    })
  )

  it.live("of others are left alone", () =>
    Effect.gen(function* () {
      const others = { edgeproxy_upstream: true, edgeproxyx: true, edgeproxy_4: false, edgeproxy_46: true }
      const got = yield* changes(others, ["announced", "withdrawn"])
      assert.deepStrictEqual(got.flat(), ['enable "edgeproxy_4"', 'disable "edgeproxy_4"'])
    })
  )

  it.live("tell where the POP stands", () =>
    Effect.gen(function* () {
      const at = Effect.fnUntraced(function* (protocols: Record<string, boolean>) {
        return yield* (yield* announcer((yield* fakeBird(goodBird(protocols))).path)).current
      })
      assert.strictEqual(yield* at({ edgeproxy_4: true, edgeproxy_degraded_4: true }), "announced")
      assert.strictEqual(yield* at({ edgeproxy_4: false, edgeproxy_degraded_4: true }), "degraded")
      assert.strictEqual(yield* at({ edgeproxy_4: false, edgeproxy_degraded_4: false }), "withdrawn")
    })
  )
})

describe("a control socket that is not as it should be", () => {
  const good = table({ edgeproxy: false })
  it.live.each([
    ["greets otherwise", { greeting: "220 smtp ready\n" }, "protocol"],
    ["greets with an error", { greeting: "0016 Access restricted\n" }, "protocol"],
    ["says nothing", { greeting: "" }, "timeout"],
    ["answers nothing", { answer: () => undefined }, "timeout"],
    ["never ends its answer", { answer: () => "1002-x y z up\n" }, "timeout"],
    ["floods", { answer: () => "1002-edgeproxy Static master4 up\n".repeat(10_000) }, "protocol"],
    ["floods without a line", { greeting: "x".repeat(200_000) }, "protocol"],
    ["answers before it is asked", { greeting: `0001 BIRD ready.\n${good}` }, "protocol"],
    ["hangs up", { answer: (_, socket) => void socket.destroy() }, "unreachable"],
    ["hangs up in the middle", { answer: (_, socket) => void socket.end(good.slice(0, 90)) }, "unreachable"],
    ["knows no such protocol", { answer: () => "8003 No protocols match\n" }, "unknown-protocol"],
    ["has only others", { answer: () => table({ edgeproxy_x: true, 'edgeproxy";down': true }) }, "unknown-protocol"],
    [
      "lets us only look",
      { answer: (command) => (command.startsWith("show") ? good : "8007 Access denied\n") },
      "refused"
    ]
  ] as ReadonlyArray<readonly [string, Behaviour, string]>)("fails when it %s", ([, behaviour, reason]) =>
    Effect.gen(function* () {
      const bird = yield* fakeBird(behaviour)
      const { apply } = yield* announcer(bird.path)
      const result = yield* Effect.result(apply("announced"))
      assert.strictEqual(Result.isFailure(result) ? result.failure.reason : "none", reason)
      // And lets go of it.
      yield* eventually("an end of the connection", () => bird.open() === 0)
    })
  )

  it.live("fails when there is none, or no socket", () =>
    Effect.gen(function* () {
      const file = join(yield* scratch, "bird.ctl")
      const reason = Effect.gen(function* () {
        const result = yield* Effect.result((yield* announcer(file)).apply("announced"))
        return Result.isFailure(result) ? result.failure.message : undefined
      })
      assert.strictEqual(yield* reason, `bird at ${file}: no such socket; is BIRD running?`)
      writeFileSync(file, "")
      assert.match((yield* reason) ?? "", /nobody listens there|not a socket/)
    })
  )

  it.live("a slow one is waited for, byte by byte", () =>
    Effect.gen(function* () {
      const slowly = (text: string, socket: Parameters<NonNullable<Behaviour["answer"]>>[1]): undefined => {
        for (const [index, character] of Array.from(text).entries()) setTimeout(() => socket.write(character), index)
        return undefined
      }
      const bird = yield* fakeBird({
        answer: (command, socket) =>
          slowly(command.startsWith("show") ? good : "0011-edgeproxy: enabled\n0000 \n", socket)
      })
      const { apply } = yield* announcer(bird.path)
      assert.deepStrictEqual(yield* apply("announced"), ['enable "edgeproxy"'])
    })
  )
})
