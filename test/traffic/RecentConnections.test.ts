import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { endedConnection, openConnection } from "../../src/traffic/ConnectionExplanation.ts"
import * as RecentConnections from "../../src/traffic/RecentConnections.ts"
import { settled } from "../support/settled.ts"
import * as trafficRig from "../support/trafficRig.ts"

describe("what is noted down of a connection", () => {
  it.effect("is there while it is open, and after its end, with the figures of its choice", () =>
    Effect.gen(function* () {
      const { connections, recent, transport, upstreams } = yield* trafficRig.withBackends(2)
      const first = transport.accept("198.51.100.1")
      yield* settled
      const failed = connections.get(first)?.route?.lease.upstream.backend.id
      transport.dial().fail("Refused")
      yield* settled
      const chosen = connections.get(first)?.route?.lease.upstream.backend.id ?? ""
      const record = connections.get(first)
      assert.isDefined(record)
      const open = openConnection(record, "x-1")
      assert.deepInclude(open, { state: "open", country: "BR", attempts: 2, end: null })
      assert.deepStrictEqual(
        open.failures.map(({ backend, reason }) => [backend, reason]),
        [[failed, "refused"]]
      )
      assert.deepInclude(open.decision, { backend: chosen, connections: 0, candidates: 2, candidates_up: 2, load: 0 })

      transport.dial().succeed(1_000)
      yield* settled
      // What happens later changes nothing of it.
      upstreams.drop(failed ?? "")
      transport.end(first, { bytesIn: 5 })
      const past = recent.find(first)
      assert.isDefined(past)
      const ended = endedConnection(past)
      assert.deepStrictEqual(ended.decision, open.decision)
      assert.deepStrictEqual(ended.failures, open.failures)
      assert.deepInclude(ended.end, { by: "client", phase: "relay", cause: "fin", bytes_in: 5 })
    })
  )

  it.effect("tells of one that was refused, and of one that found nobody", () =>
    Effect.gen(function* () {
      const { recent, transport } = yield* trafficRig.make({ clients: { maxConnections: 1 } })
      const nobody = transport.accept()
      yield* settled
      assert.deepInclude(recent.find(nobody)?.entry, { end_cause: "no-backend" })
      assert.isUndefined(recent.find(nobody)?.decision)
    })
  )
})

describe("the memory of connections", () => {
  const past = (conn: string, cause: "fin" | "refused") => ({
    entry: { conn, end_by: "backend", end_cause: cause },
    decision: undefined,
    failures: []
  })

  it("is bounded, and good ones do not push out those that failed", () => {
    const recent = RecentConnections.make("boot", 3)
    // Only these fields are looked at.
    const add = (one: ReturnType<typeof past>): void => recent.add(one as unknown as RecentConnections.PastConnection)
    add(past("boot-1", "refused"))
    for (let id = 2; id <= 9; id++) add(past(`boot-${id}`, "fin"))
    assert.isDefined(recent.find(1))
    assert.isUndefined(recent.find(6))
    for (const id of [7, 8, 9]) assert.isDefined(recent.find(id))
  })

  it("knows connections by their names in the log and in the list, and those of another process not", () => {
    const { idOf } = RecentConnections.make("boot")
    assert.deepStrictEqual([idOf("boot-zz"), idOf("zz"), idOf("0")], [1_295, 1_295, 0])
    for (const name of ["other-zz", "boot-", "", "-1", "ZZ", "zz!", "01", "z".repeat(40)])
      assert.isUndefined(idOf(name), name)
  })
})
