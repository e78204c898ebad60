import * as Effect from "effect/Effect"
import { monotonicMs } from "../actor/Monotonic.ts"
import { readinessOf } from "../api/readiness.ts"
import { RoutingTable } from "../routing/RoutingTable.ts"
import { Admission } from "../traffic/Admission.ts"
import { Transport } from "../traffic/Transport.ts"
import { watchPauses } from "../traffic/watchPauses.ts"

/** Why clients should not be sent here, as `/ready` says it, draining aside: also where there is no API to say it. */
export const notReadyOf = Effect.fnUntraced(function* (wanted: number) {
  const table = yield* RoutingTable
  const transport = yield* Transport
  const pausedMs = watchPauses(yield* Admission, yield* monotonicMs)
  return (): ReadonlyArray<string> =>
    readinessOf({
      draining: false,
      table: table.status(),
      listeners: { wanted, open: transport.census().listeners },
      pausedMs: pausedMs(),
      actors: [],
      threadsBehind: false,
      storeFails: false,
      others: []
    }).reasons
})
