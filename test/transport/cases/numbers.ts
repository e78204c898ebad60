import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Termination } from "../../../src/domain/Termination.ts"
import {
  type BridgeOptions,
  type ConnectionId,
  type Ended,
  type Endpoint,
  Transport
} from "../../../src/traffic/Transport.ts"
import { farEnd } from "../../support/farEnd.ts"
import { fdLimit } from "../../support/fdLimit.ts"
import { countFds } from "../../support/fds.ts"
import { liveBytes, residentBytes } from "../../support/heap.ts"
import * as Watch from "../../support/Watch.ts"
import type { Case } from "../Case.ts"
import { EngineUnderTest } from "../Engine.ts"
import * as Rig from "../Rig.ts"

const skip = countFds() === undefined

const killed: Termination = { by: "proxy", phase: "relay", cause: "killed" }

const CONNECTIONS = 10_000
/** For the engine's own and the test's. */
const SPARE_FDS = 1_000
/** A bridged one costs a descriptor more: as many as this process may have, and the far end, which has them too. */
const BRIDGED = Math.min(CONNECTIONS, Math.max(0, fdLimit() - SPARE_FDS - CONNECTIONS))

const minute = { idleMs: 60_000, finMs: 60_000, stallMs: 60_000, maxAgeMs: 60_000 }

/** A listener that counts and keeps nothing, so that what stays in memory is the engine's. */
const counting = Effect.fnUntraced(function* (backend: Endpoint) {
  const transport = yield* Transport
  const watch = Watch.make()
  const open = new Set<ConnectionId>()
  const counts = { accepted: 0, ended: 0, unknown: 0 }
  const bridge: BridgeOptions = { address: backend, connectMs: 5_000, keepaliveMs: 0, limits: minute }
  const listener = yield* transport.listen(
    {
      address: { address: "127.0.0.1", port: 0 },
      ipv6Only: false,
      backlog: 4_096,
      prerouteMs: 10_000,
      keepaliveMs: 0
    },
    {
      onAccept: (batch) => {
        for (const { id } of batch) {
          open.add(id)
          const fate = counts.accepted++ % 10
          if (fate === 0) transport.abort(id, "rst", killed)
          else {
            const aborted = fate === 5 ? Effect.sync(() => transport.abort(id, "rst", killed)) : Effect.void
            Effect.runFork(Effect.ignore(Effect.andThen(transport.bridge(id, bridge), aborted)))
          }
        }
      },
      onEnd: (batch) => {
        for (const { id } of batch) if (!open.delete(id)) counts.unknown++
        counts.ended += batch.length
        watch.touch()
      },
      onUnbridged: (id) => transport.abort(id, "rst", killed),
      onAcceptError: () => undefined
    }
  )
  return { to: listener.address, counts, open, watch }
})

/** Connections of every fate, until nothing is left of them. */
const live = Effect.fnUntraced(function* (count: number) {
  const far = yield* farEnd
  const { counts, open, to, watch } = yield* counting(far.backend)
  const report = yield* far.send({ do: "live", to, count })
  yield* watch.until(
    () => `end of ${counts.accepted} connections, but of ${counts.ended}`,
    () => counts.ended >= counts.accepted
  )
  assert.deepStrictEqual([counts.unknown, open.size], [0, 0])
  return report
}, Effect.scoped)

/** More than the runtime's own caches come to, less than a record of each connection would. */
const MOST_BYTES = 3_000_000
/** Outside of this thread's heap: the kernel's pages of all others, of which nobody can ask for less. */
const MOST_RESIDENT_BYTES = 24_000_000
/** Nor of a thread, that it collect its heap: 31 MB were seen there with nothing left behind. */
const MOST_RESIDENT_BYTES_OF_HEAPS = 48_000_000

export const cases: ReadonlyArray<Case> = [
  {
    name: `${CONNECTIONS} idle connections, ${BRIDGED} of them bridged, and traffic among them`,
    timeoutMs: 60_000,
    // With a limit of 1,024 descriptors there is nothing to be seen.
    skip: skip || BRIDGED < CONNECTIONS / 4,
    run: Effect.gen(function* () {
      const far = yield* farEnd
      const rig = yield* Rig.make({ prerouteMs: 60_000 })
      const { transport } = rig
      const accept = Effect.fnUntraced(function* (count: number) {
        const all = rig.accepted.length + count
        assert.deepStrictEqual(yield* far.send({ do: "connect", to: rig.listener.address, count }), {
          connected: count
        })
        yield* rig.watch.until(
          () => `${all} connections, but ${rig.accepted.length}`,
          () => rig.accepted.length === all
        )
      })
      yield* accept(BRIDGED)
      yield* Effect.forEach(rig.accepted, ({ id }) => rig.bridge(id, far.backend, minute), {
        concurrency: 100,
        discard: true
      })
      yield* accept(CONNECTIONS - BRIDGED)
      const { connections, fds, heldBytes } = transport.census()
      assert.deepStrictEqual([connections, heldBytes], [CONNECTIONS, 0])
      assert.isAtLeast(fds, CONNECTIONS + BRIDGED)
      assert.deepStrictEqual(yield* far.send({ do: "ping", first: BRIDGED, every: 20 }), {
        answered: Math.ceil(BRIDGED / 20)
      })
      assert.lengthOf(rig.ends, 0)
      assert.deepStrictEqual(yield* far.send({ do: "leave" }), { left: CONNECTIONS })
      yield* rig.watch.until(
        () => `${CONNECTIONS} ends, but ${rig.ends.length}`,
        () => rig.ends.length === CONNECTIONS
      )
      const ends = (phase: Ended["phase"]) =>
        rig.ends.filter((ended) => Rig.why(ended) === `client ${phase} rst`).length
      assert.deepStrictEqual([ends("relay"), ends("pre-route")], [BRIDGED, CONNECTIONS - BRIDGED])
    })
  },
  {
    name: "20,000 connections of every fate leave no descriptor, no record and no memory behind",
    timeoutMs: 90_000,
    skip,
    run: Effect.gen(function* () {
      const transport = yield* Transport
      // Caches fill, code is compiled.
      yield* live(5_000)
      const noPipes = Watch.eventually("end of the pipes", () => transport.census().pipes === 0)
      yield* noPipes
      const before = { fds: countFds() ?? 0, census: transport.census(), bytes: liveBytes(), resident: residentBytes() }
      const report = yield* live(20_000)
      const { left = 0, served = 0, cut = 0, ...others } = report
      assert.deepStrictEqual([others, left + served + cut], [{}, 20_000])
      assert.isAtLeast(served, 5_000)
      assert.isAtLeast(cut, 5_000)
      assert.isAtLeast(left, 2_000)
      yield* noPipes
      assert.deepStrictEqual(transport.census(), before.census)
      yield* Watch.eventually(
        () => `as many descriptors as before: ${before.fds}, now ${countFds()}`,
        () => (countFds() ?? 0) <= before.fds
      )
      assert.isBelow(liveBytes() - before.bytes, MOST_BYTES)
      const { abilities } = yield* EngineUnderTest
      const own = abilities.includes("keeps connections out of threads' heaps")
      assert.isBelow(residentBytes() - before.resident, own ? MOST_RESIDENT_BYTES : MOST_RESIDENT_BYTES_OF_HEAPS)
    })
  }
]
