import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import { monotonicMs } from "../actor/Monotonic.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { Registry } from "../backends/Registry.ts"
import { Conditions } from "../observe/Conditions.ts"
import { RoutingTable } from "../routing/RoutingTable.ts"
import { Admission } from "../traffic/Admission.ts"
import { Shutdown } from "../traffic/Shutdown.ts"
import { Transport } from "../traffic/Transport.ts"
import { Api } from "./Api.ts"
import { readinessOf } from "./readiness.ts"

/** Who this POP is. */
export interface Identity {
  readonly version: string
  readonly pop: string
  readonly region: string
  /** TCP listeners that it should have. */
  readonly listeners: number
}

/** How long accepting has been paused, told by the pauses themselves. */
const watchPauses = (admission: Admission["Service"], now: () => number): (() => number | undefined) => {
  let since: number | undefined
  admission.attach({
    address: { address: "", port: 0 },
    pause: () => void (since ??= now()),
    resume: () => void (since = undefined),
    close: Effect.void
  })
  return () => (since === undefined ? undefined : now() - since)
}

export const layer = (
  identity: Identity
): Layer.Layer<
  HttpApiGroup.Service<"edgeproxy", "probes">,
  never,
  Admission | Conditions | Registry | RoutingTable | Shutdown | Supervisor | Transport
> =>
  HttpApiBuilder.group(
    Api,
    "probes",
    Effect.fnUntraced(function* (handlers) {
      const registry = yield* Registry
      const table = yield* RoutingTable
      const transport = yield* Transport
      const supervisor = yield* Supervisor
      const shutdown = yield* Shutdown
      const conditions = yield* Conditions
      const now = yield* monotonicMs
      const pausedMs = watchPauses(yield* Admission, now)
      const { listeners, pop, region, version } = identity
      const startedAt = now()

      return handlers.handleAll({
        health: () =>
          Effect.sync(() => ({
            status: "ok" as const,
            version,
            pop,
            region,
            registered_backends: registry.registered(),
            uptime_secs: Math.floor((now() - startedAt) / 1_000)
          })),
        ready: () =>
          Effect.sync(() => {
            const { degraded, reasons } = readinessOf({
              draining: Deferred.isDoneUnsafe(shutdown.requested),
              table: table.status(),
              listeners: { wanted: listeners, open: transport.census().listeners },
              pausedMs: pausedMs(),
              actors: supervisor.list(),
              storeFails: registry.storeFails(),
              others: conditions.present()
            })
            return reasons.length === 0
              ? { ready: true as const, reasons, degraded }
              : { ready: false as const, reasons, degraded }
          })
      })
    })
  )
