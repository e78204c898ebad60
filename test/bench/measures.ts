import { bindings } from "./bindings.ts"
import { bulk, bulkUser } from "./bulk.ts"
import { clients } from "./clients.ts"
import { connections } from "./connections.ts"
import { decision } from "./decision.ts"
import { idle } from "./idle.ts"
import type { Measure } from "./Measure.ts"
import { observability } from "./observability.ts"
import { overhead } from "./overhead.ts"
import { passthrough } from "./passthrough.ts"
import { proxyProtocol } from "./proxyProtocol.ts"
import { reload } from "./reload.ts"
import { requests } from "./requests.ts"
import { start } from "./start.ts"
import { terminated, terminatedIdle } from "./terminated.ts"

/** In the order in which they are run and reported. */
export const measures: ReadonlyArray<Measure> = [
  decision,
  bindings,
  reload,
  start,
  overhead,
  connections,
  clients,
  observability,
  requests,
  bulk,
  bulkUser,
  passthrough,
  proxyProtocol,
  idle,
  terminated,
  terminatedIdle
]
