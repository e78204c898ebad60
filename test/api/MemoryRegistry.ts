import * as Effect from "effect/Effect"
import { type BackendView } from "../../src/backends/BackendView.ts"
import { Registry, RegistryError } from "../../src/backends/Registry.ts"
import { decodeBackend } from "../../src/domain/Backend.ts"

/** A registry of a map: what it is told stands, and a test says what it can't do. */
export interface MemoryRegistry {
  readonly service: Registry["Service"]
  readonly views: Map<string, BackendView>
  readonly quarantined: Map<string, string>
  /** The next calls fail so. */
  failWith: RegistryError["reason"] | undefined
  /** The next calls die of it. */
  dieOf: unknown
  /** The next calls wait for it. */
  waitFor: Effect.Effect<void>
  heartbeats: number
}

export const viewOf = (fields: Partial<BackendView> & { readonly id: string }): BackendView => ({
  app: "web",
  region: "eu",
  country: "DE",
  address: "10.0.0.1",
  addresses: undefined,
  port: 8080,
  healthy: true,
  weight: 2,
  softLimit: 100,
  hardLimit: 150,
  connections: 0,
  warm: 0,
  source: "api",
  owner: "gru1",
  state: "active",
  circuit: "closed",
  checkError: undefined,
  share: 1,
  registeredAt: 0,
  lastHeartbeatAt: 0,
  ...fields
})

export const make = (): MemoryRegistry => {
  const views = new Map<string, BackendView>()
  const quarantined = new Map<string, string>()

  const fail = (reason: RegistryError["reason"], id: string, detail: string = reason) =>
    Effect.fail(new RegistryError({ reason, id, detail }))

  const guarded = <A>(id: string, act: Effect.Effect<A, RegistryError>) =>
    Effect.suspend(() => {
      if (registry.dieOf !== undefined) return Effect.die(registry.dieOf)
      if (registry.failWith !== undefined) return fail(registry.failWith, id)
      return Effect.andThen(registry.waitFor, act)
    })

  const known = <A>(id: string, act: (view: BackendView) => A) =>
    guarded(
      id,
      Effect.suspend(() => {
        const view = views.get(id)
        return view === undefined ? fail("unknown", id) : Effect.succeed(act(view))
      })
    )

  const registry: MemoryRegistry = {
    views,
    quarantined,
    failWith: undefined,
    dieOf: undefined,
    waitFor: Effect.void,
    heartbeats: 0,
    service: Registry.of({
      register: (row) =>
        guarded(
          String(row["id"]),
          Effect.suspend((): Effect.Effect<"created" | "known", RegistryError> => {
            const decoded = decodeBackend(row)
            if (decoded._tag !== "Backend") {
              return fail("invalid", String(row["id"]), decoded._tag === "Bad" ? decoded.reason : "deleted")
            }
            const { backend } = decoded
            const was = views.get(backend.id)
            views.set(
              backend.id,
              viewOf({
                ...backend,
                hardLimit: backend.hardLimit === Infinity ? 0 : backend.hardLimit,
                connections: was?.connections ?? 0
              })
            )
            return Effect.succeed(was === undefined ? "created" : "known")
          })
        ),
      heartbeat: (id) => known(id, () => void registry.heartbeats++),
      deregister: (id) => known(id, () => void views.delete(id)),
      setDraining: (id, draining) =>
        known(id, (view) => void views.set(id, { ...view, state: draining ? "draining" : "active" })),
      get: (id) => views.get(id),
      list: () => views.values(),
      quarantined: () => quarantined,
      registered: () => Array.from(views.values()).filter(({ source }) => source === "api").length,
      storeFails: () => false,
      store: () => ({ waiting: 0, done: 0, failed: 0 })
    })
  }
  return registry
}
