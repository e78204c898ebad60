import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { defaultRestartPolicy, Supervisor } from "../../../src/actor/Supervisor.ts"
import * as SpliceTransport from "../../../layers/transport-splice/SpliceTransport.ts"
import type { Engine } from "../Engine.ts"
import * as Rig from "../Rig.ts"

/** Threads that die again and again come again soon; what the supervisor writes of it is left aside. */
const supervisor = Supervisor.layerWith({ ...defaultRestartPolicy, firstDelayMs: 50, maxDelayMs: 50 }).pipe(
  Layer.provideMerge(Logger.layer([]))
)

const layer = (options: { readonly threads: number; readonly maxConnections: number }) =>
  SpliceTransport.layer({ ...options, maxWarm: 1_000, fdLimit: 100_000 }).pipe(Layer.provide(supervisor), Layer.fresh)

/** The thread is at work and has all the descriptors it needs: cases count them. */
const warmedUp = layer({ threads: 1, maxConnections: 20_000 }).pipe(
  Layer.tap((context) =>
    Effect.scoped(Effect.flatMap(Rig.make(), (rig) => rig.client())).pipe(Effect.provideContext(context), Effect.orDie)
  )
)

export const engine: Engine = {
  name: "splice",
  layer: warmedUp,
  abilities: [
    "hears a reset behind unread bytes",
    "hears a reset after a FIN",
    "keeps connections out of threads' heaps",
    "leaves clients in the backlog",
    "obeys at once",
    "opens connections ahead",
    "sees a slow receiver take bytes",
    "says that it can't accept",
    "sets a user timeout"
  ],
  other: layer,
  killThread: (transport, index) => SpliceTransport.killThread.get(transport)?.(index)
}
