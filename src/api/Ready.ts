import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { monotonicMs } from "../actor/Monotonic.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { Registry } from "../backends/Registry.ts"
import { Conditions } from "../observe/Conditions.ts"
import { RoutingTable } from "../routing/RoutingTable.ts"
import { Admission } from "../traffic/Admission.ts"
import { Shutdown } from "../traffic/Shutdown.ts"
import { Transport } from "../traffic/Transport.ts"
import { watchPauses } from "../traffic/watchPauses.ts"
import { type Readiness, readinessOf } from "./readiness.ts"

/** Whether clients should be sent here now (D3). */
export class Ready extends Context.Service<Ready, { readonly now: () => Readiness }>()("edgeproxy/api/Ready") {
  /** `listeners`: TCP listeners that there should be. */
  static readonly layer = (options: {
    readonly listeners: number
  }): Layer.Layer<Ready, never, Admission | Conditions | Registry | RoutingTable | Shutdown | Supervisor | Transport> =>
    Layer.effect(Ready, make(options.listeners))
}

const make = Effect.fnUntraced(function* (wanted: number) {
  const registry = yield* Registry
  const table = yield* RoutingTable
  const transport = yield* Transport
  const supervisor = yield* Supervisor
  const shutdown = yield* Shutdown
  const conditions = yield* Conditions
  const pausedMs = watchPauses(yield* Admission, yield* monotonicMs)

  return Ready.of({
    now: () => {
      const { listeners, waitingMessages } = transport.census()
      return readinessOf({
        draining: Deferred.isDoneUnsafe(shutdown.requested),
        table: table.status(),
        listeners: { wanted, open: listeners },
        pausedMs: pausedMs(),
        actors: supervisor.list(),
        threadsBehind: waitingMessages > 0,
        storeFails: registry.storeFails(),
        others: conditions.present()
      })
    }
  })
})
