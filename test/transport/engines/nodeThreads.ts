import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { defaultRestartPolicy, Supervisor } from "../../../src/actor/Supervisor.ts"
import * as ThreadedTransport from "../../../layers/transport-node/ThreadedTransport.ts"
import type { Transport } from "../../../src/traffic/Transport.ts"
import type { Engine } from "../Engine.ts"
import * as Rig from "../Rig.ts"

/** Threads that die again and again come again soon; what the supervisor writes of it is left aside. */
const supervisor = Supervisor.layerWith({ ...defaultRestartPolicy, firstDelayMs: 50, maxDelayMs: 50 }).pipe(
  Layer.provideMerge(Logger.layer([]))
)

export const layer = (options: { readonly threads: number; readonly maxConnections: number }) =>
  ThreadedTransport.layer({ ...options, firstId: 2 ** 52 }).pipe(Layer.provide(supervisor), Layer.fresh)

/** The thread is at work and has all the descriptors it needs: cases count them. */
const warmedUp = layer({ threads: 1, maxConnections: 20_000 }).pipe(
  Layer.tap((context) =>
    Effect.scoped(Effect.flatMap(Rig.make(), (rig) => rig.client())).pipe(Effect.provideContext(context), Effect.orDie)
  )
)

export const engine: Engine = {
  name: "node in threads",
  layer: warmedUp,
  abilities: []
}

/** Dies as by a fault. */
export const kill = (transport: Transport["Service"], index: number): void =>
  ThreadedTransport.killThread.get(transport)?.(index)
