import { bindings } from "./bindings.ts"
import { connections } from "./connections.ts"
import { decision } from "./decision.ts"
import { idle } from "./idle.ts"
import type { Measure } from "./Measure.ts"
import { pingPong } from "./pingPong.ts"
import { reload } from "./reload.ts"
import { start } from "./start.ts"
import { bulk } from "./bulk.ts"

/** In the order in which they are run and reported. */
export const measures: ReadonlyArray<Measure> = [decision, bindings, reload, start, connections, pingPong, bulk, idle]
