import { assert, describe, it } from "@effect/vitest"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { DatabaseSync } from "node:sqlite"
import { eventually } from "../support/Watch.ts"
import { anycastBed, missingForAnycast, SERVICE, SERVICE6, type Visit } from "./bed.ts"

const missing = missingForAnycast()

/** Visits that did not even connect. */
const refused = (visits: ReadonlyArray<Visit>): ReadonlyArray<Visit> => visits.filter(({ connected }) => !connected)

/** Milliseconds between the last good visit before the first bad one and the first good one after the last bad one. */
const gapOf = (visits: ReadonlyArray<Visit>): number => {
  const bad = visits.findIndex(({ id }) => id === null)
  if (bad < 0) return 0
  const lastBad = visits.findLastIndex(({ id }) => id === null)
  return (visits[lastBad + 1]?.at ?? Infinity) - (visits[bad]?.at ?? 0)
}

/** 28 connections of 30, from the POP itself, which last until they are killed. */
const holdOpen = `echo $$ >/run/hold.pid; exec ${process.execPath} -e '
  for (let i = 0; i < 28; i++) require("node:net").connect(8080, "127.0.0.1").on("error", () => {})'`

const setHealthy = (database: string, healthy: boolean): void => {
  const db = new DatabaseSync(database)
  db.exec(`UPDATE backends SET healthy = ${healthy ? 1 : 0}`)
  db.close()
}

describe.skipIf(missing !== undefined)(`anycast by BIRD${missing === undefined ? "" : `: ${missing}`}`, () => {
  it.live(
    "clients come to the nearest POP, to the other while it drains, is killed, hangs, is full or has no backend, and back again",
    () =>
      Effect.gen(function* () {
        const { a, b, router, servedBy, visits } = yield* anycastBed
        let edge = a.startEdge()
        b.startEdge()
        yield* servedBy("pop-a")
        for (const address of [SERVICE, SERVICE6]) {
          yield* router.retry(`test $(birdc show route for ${address} all | grep -c BGP.as_path) = 2`)
        }
        assert.include(router.run(`ip -6 route get ${SERVICE6}`), "via 2001:db8::2")

        const during = Effect.fnUntraced(function* (what: string, work: Effect.Effect<unknown>) {
          const from = visits().length
          yield* work
          const seen = visits().slice(from)
          const lost = seen.filter(({ id }) => id === null).length
          yield* Console.log(
            `${what}: ${seen.length} visits, ${refused(seen).length} without a connection, ${lost} without an answer, ${gapOf(seen)} ms`
          )
          return seen
        })
        const back = Effect.gen(function* () {
          edge = a.startEdge()
          yield* servedBy("pop-a")
        })

        const drained = yield* during(
          "drain",
          Effect.gen(function* () {
            a.signalEdge("TERM")
            yield* servedBy("pop-b")
            yield* eventually("end of the drained one", () => edge.exitCode !== null)
          })
        )
        assert.deepStrictEqual(refused(drained), [])
        assert.strictEqual(edge.exitCode, 0)
        assert.include(a.log(), "anycast route withdrawn")

        const returned = yield* during("return", back)
        assert.deepStrictEqual(refused(returned), [])

        yield* during(
          "kill -9",
          Effect.gen(function* () {
            a.signalEdge("KILL")
            yield* servedBy("pop-b")
          })
        )
        yield* back

        yield* during(
          "hang",
          Effect.gen(function* () {
            a.signalEdge("STOP")
            yield* servedBy("pop-b")
          })
        )
        a.signalEdge("CONT")
        // The watchdog has taken the route down; it finds that out, and earns it anew.
        yield* servedBy("pop-a")
        assert.include(a.log(), "somebody else has taken the anycast route down")

        const handedOver = yield* during(
          "handover",
          Effect.gen(function* () {
            const mark = a.log().length
            const logged = () => a.log().slice(mark)
            a.signalEdge("USR2")
            yield* eventually("end of the predecessor", () => edge.exitCode !== null)
            assert.include(logged(), "handed over")
            yield* eventually("a successor that is sure of the route", () =>
              /edgeproxy_anycast_confirmed 1/.test(a.machine.run("curl -s -m 1 http://127.0.0.1:9090/metrics || true"))
            )
            assert.notInclude(logged(), "anycast route")
          })
        )
        assert.deepStrictEqual(
          handedOver.filter(({ id }) => id !== "pop-a"),
          []
        )

        yield* during(
          "no backend",
          Effect.gen(function* () {
            setHealthy(a.database, false)
            yield* servedBy("pop-b")
          })
        )
        assert.deepStrictEqual(a.ready()?.degraded.includes("anycast-withdrawn"), true)
        setHealthy(a.database, true)
        yield* servedBy("pop-a")

        const full = yield* during(
          "nearly full",
          Effect.gen(function* () {
            a.machine.start("sh", ["-c", holdOpen])
            yield* servedBy("pop-b")
          })
        )
        assert.deepStrictEqual(refused(full), [])
        // It is there still, for whoever knows no other way.
        const routes = router.run(`birdc 'show route for ${SERVICE} all'`)
        assert.match(routes, /BGP\.as_path: 64512 64512 64512 64512\n/)
        assert.match(routes, /BGP\.community: \(65535,0\)/)
        assert.isTrue(a.ready()?.degraded.includes("anycast-degraded"))
        a.machine.run("kill $(cat /run/hold.pid)")
        yield* servedBy("pop-a")

        yield* during(
          "BIRD begins anew",
          Effect.gen(function* () {
            a.birdc("down")
            yield* servedBy("pop-b")
            yield* eventually("a word on it", () => a.ready()?.degraded.includes("anycast-unreachable"))
            yield* a.startBird
            yield* servedBy("pop-a", 30_000)
          })
        )

        yield* during(
          "host gone",
          Effect.gen(function* () {
            a.machine.run("iptables -A INPUT -i c+ -j DROP; iptables -A OUTPUT -o c+ -j DROP")
            yield* servedBy("pop-b")
          })
        )
      }),
    180_000
  )
})
