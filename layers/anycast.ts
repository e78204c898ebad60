import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Anycast from "../src/anycast/Anycast.ts"
import { notReadyOf } from "../src/anycast/notReady.ts"
import { EdgeConfig } from "../src/config/EdgeConfig.ts"
import { servedApps, trafficListeners } from "../src/config/listeners.ts"
import { Upstreams } from "../src/routing/Upstreams.ts"
import { Admission } from "../src/traffic/Admission.ts"
import { Overload, resources } from "../src/traffic/Overload.ts"
import * as BirdAnnouncer from "./bird/BirdAnnouncer.ts"
import { Parent } from "./handover/Parent.ts"

/** The announcement of the anycast addresses. A file of its own, which only who wants it loads. */
export const AnycastRoute = Layer.unwrap(
  Effect.gen(function* () {
    const config = yield* EdgeConfig
    const upstreams = yield* Upstreams
    const admission = yield* Admission
    const overload = yield* Overload
    const notReady = yield* notReadyOf(trafficListeners(config).length)
    const apps = new Set(servedApps(config))
    // A listener for all apps serves those of the others too.
    const served = apps.has(undefined) ? [undefined] : Array.from(apps)
    const { handsOver } = yield* Parent
    return Anycast.layer({
      adopts: handsOver,
      holdMs: config.anycastHoldMs,
      withdrawMs: config.anycastWithdrawMs,
      health: () => ({
        notReady: notReady(),
        backends: served.reduce((sum, app) => sum + (upstreams.pool(app)?.up ?? 0), 0),
        minBackends: config.anycastMinBackends,
        overloads: resources.filter(overload.isOver),
        fullness: admission.active() / admission.limit
      })
    }).pipe(Layer.provide(BirdAnnouncer.layer({ socket: config.anycastBirdSocket, protocol: config.anycastProtocol })))
  })
)
