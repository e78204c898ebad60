import * as Effect from "effect/Effect"
import * as IpNetwork from "effect/net/IpNetwork"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { DatabaseSync } from "node:sqlite"
import { createBackends, createStates } from "../../layers/sqlite/schema.ts"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import * as addressPolicy from "../../src/backends/addressPolicy.ts"
import { BackendStore, type StoreChange, StoreError } from "../../src/backends/BackendStore.ts"
import { Registry } from "../../src/backends/Registry.ts"
import { statementsOf } from "../../src/backends/statements.ts"
import type { BackendRow } from "../../src/domain/Backend.ts"
import { RoutingTable } from "../../src/routing/RoutingTable.ts"
import { TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import * as ScriptedSource from "./ScriptedSource.ts"
import { settled } from "./settled.ts"

/** A database that several POPs share, in memory; they see of it what and when the test shows them. */
export interface World {
  readonly db: DatabaseSync
  /** Everything that was written, in order; one entry for each write. */
  readonly writes: Array<ReadonlyArray<StoreChange>>
  /** With it nothing can be written. */
  failing: StoreError["reason"] | undefined
  readonly rows: () => ReadonlyArray<BackendRow>
  readonly states: () => ReadonlyArray<BackendRow>
}

export const makeWorld = (): World => {
  const db = new DatabaseSync(":memory:")
  db.exec(createBackends)
  db.exec(createStates)
  return {
    db,
    writes: [],
    failing: undefined,
    rows: () => db.prepare("SELECT * FROM backends").all(),
    states: () => db.prepare("SELECT * FROM edgeproxy_backend_state").all()
  }
}

const storeOf = (world: World): Layer.Layer<BackendStore> =>
  Layer.succeed(BackendStore, {
    name: "world",
    write: (changes) =>
      Effect.suspend(() => {
        const { failing } = world
        if (failing !== undefined) {
          return Effect.fail(new StoreError({ store: "world", target: "test", reason: failing, detail: "told to" }))
        }
        world.writes.push(changes)
        for (const { params, sql } of changes.flatMap((change) => statementsOf(change)))
          world.db.prepare(sql).run(...params)
        return Effect.void
      })
  })

export const TTL_MS = 60_000

const policy = addressPolicy.make({
  allowed: [Result.getOrThrow(IpNetwork.fromString("10.0.0.0/8"))],
  loopback: false,
  listeners: [],
  hostAddresses: []
})

/** One POP of the world; `show` lets it see the database as it is now. */
export const makePop = Effect.fnUntraced(function* (world: World, pop: string, ttlMs = TTL_MS, most = 1_000_000) {
  const source = yield* ScriptedSource.make({ shared: true })
  const services = yield* Layer.build(
    Registry.layer({ pop, ttlMs, policy, most }).pipe(
      Layer.provideMerge(RoutingTable.layer({ maxShrink: 0.5, holdMs: 60_000, refuses: policy })),
      Layer.provideMerge(
        Layer.mergeAll(
          source.layer,
          storeOf(world),
          Upstreams.layer({ spillAt: "hard" }),
          TableSnapshotStore.layerMemory()
        )
      ),
      Layer.provideMerge(Supervisor.layer)
    )
  )
  yield* settled
  const show = Effect.suspend(() => source.tables(world.rows(), world.states()))
  return yield* Effect.gen(function* () {
    const supervisor = yield* Supervisor
    return {
      registry: yield* Registry,
      table: yield* RoutingTable,
      upstreams: yield* Upstreams,
      source,
      show,
      sound: (): boolean => supervisor.list().every(({ restarts }) => restarts === 0)
    }
  }).pipe(Effect.provideContext(services))
})
