import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import type { BackendRow } from "../../src/domain/Backend.ts"
import { RoutingTable } from "../../src/routing/RoutingTable.ts"
import { TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import * as Upstreams from "../../src/routing/Upstreams.ts"
import { row } from "./fixtures.ts"
import * as ScriptedSource from "./ScriptedSource.ts"
import { settled } from "./settled.ts"

/** `b0`, `b1` ... */
export const rows = (count: number, fields: BackendRow = {}): ReadonlyArray<BackendRow> =>
  Array.from({ length: count }, (_, index) => row({ id: `b${index}`, ...fields }))

export const HOLD_MS = 60_000

/** A store that holds these rows. */
export const holding = (rows: ReadonlyArray<BackendRow>): Layer.Layer<TableSnapshotStore> =>
  TableSnapshotStore.layerMemory({ savedAt: 0, rows })

/** A routing table fed by a script, with a record of what is done to the upstreams. */
export const make = Effect.fnUntraced(function* (
  store: Layer.Layer<TableSnapshotStore> = TableSnapshotStore.layerMemory()
) {
  const source = yield* ScriptedSource.make()
  const calls: Array<string> = []
  const upstreams = Upstreams.make({ spillAt: "hard" })
  const recording = Layer.succeed(Upstreams.Upstreams, {
    ...upstreams,
    put: (backend) => {
      calls.push(`put ${backend.id}`)
      upstreams.put(backend)
    },
    drop: (id) => {
      calls.push(`drop ${id}`)
      upstreams.drop(id)
    }
  })
  const services = yield* Layer.build(
    RoutingTable.layer({ maxShrink: 0.5, holdMs: HOLD_MS }).pipe(
      Layer.provideMerge(Layer.mergeAll(source.layer, recording, store)),
      Layer.provideMerge(Supervisor.layer)
    )
  )
  yield* settled
  return yield* Effect.gen(function* () {
    const table = yield* RoutingTable
    const supervisor = yield* Supervisor
    const { load } = yield* TableSnapshotStore
    const ids = (): ReadonlyArray<string> =>
      Array.from(upstreams.all(), (upstream) => upstream.backend.id).filter((id) => upstreams.get(id) !== undefined)
    const storedIds = Effect.map(load, (saved) => saved?.rows.map(({ id }) => id))
    const current = SubscriptionRef.get(table.snapshot)
    /** What has been done to the upstreams since the last look. */
    const done = (): ReadonlyArray<string> => calls.splice(0)
    /** No message has made the actor fail. */
    const sound = (): boolean => supervisor.list().every(({ restarts }) => restarts === 0)
    return { source, table, ids, load, storedIds, current, done, sound }
  }).pipe(Effect.provideContext(services))
})
