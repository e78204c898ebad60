import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { forEachSliced } from "../actor/Sliced.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import type { Termination } from "../domain/Termination.ts"
import type { Upstream } from "../routing/Upstream.ts"
import { Upstreams } from "../routing/Upstreams.ts"
import { type ConnectionRecord, Connections } from "./Connections.ts"
import * as ForcedClose from "./ForcedClose.ts"
import { Transport } from "./Transport.ts"

const LOOK_MS = 500
/** All connections of a backend are closed within this time, however many they are ... */
const SPREAD_MS = 5_000
/** ... and none sooner than this after the one before: clients that come back must not come all at once. */
const APART_MS = 10

const backendDown: Termination = { by: "proxy", phase: "relay", cause: "backend-down" }

export interface CloseOnDownOptions {
  /** Read at each look. */
  readonly enabled: boolean
}

/**
 * With EDGEPROXY_ON_BACKEND_DOWN=close: ends the connections of a backend that is down by checks, that the table says is
 * unhealthy, or that has left the table, one after the other, the longest idle first. One that drains or is not heard of
 * keeps its connections; so do those of a pool in panic (H3), and those of a backend that comes back in time.
 */
const make = Effect.fnUntraced(
  function* (options: CloseOnDownOptions) {
    const upstreams = yield* Upstreams
    const connections = yield* Connections
    const transport = yield* Transport
    const supervisor = yield* Supervisor
    const forced = ForcedClose.make(transport)

    const isDown = ({ backend, listed, observed }: Upstream): boolean =>
      !listed || !backend.healthy || (!observed.up && upstreams.pool(backend.app)?.panic !== true)

    const isLost = ({ ended, route }: ConnectionRecord): boolean =>
      !ended && route !== undefined && isDown(route.lease.upstream)

    let seen = -1

    const look = Effect.gen(function* () {
      const version = upstreams.version()
      if (!options.enabled) seen = -1
      if (!options.enabled || version === seen) return
      const lost: Array<ConnectionRecord> = []
      let dialling = false
      // A copy: connections come and go while others have their turns.
      yield* forEachSliced(Array.from(connections.all()), (record) => {
        if (!isLost(record)) return
        // It fails by itself, or is looked at again once it runs.
        if (record.connectUs === undefined) dialling = true
        else lost.push(record)
      })
      if (!dialling) seen = version
      if (lost.length === 0) return
      yield* Effect.logWarning("connections of backends that are down are closed", { connections: lost.length })
      const apartMs = Math.min(APART_MS, SPREAD_MS / lost.length)
      let owed = 0
      for (const record of forced.inOrder(lost)) {
        if (options.enabled && isLost(record)) forced.close(record, backendDown)
        owed += apartMs
        if (owed < 1) continue
        yield* Effect.sleep(Math.floor(owed))
        owed -= Math.floor(owed)
      }
    })

    yield* supervisor.supervise("close-on-down", Effect.forever(Effect.andThen(look, Effect.sleep(LOOK_MS))))
  },
  Effect.annotateLogs({ service: "traffic" })
)

export const layer = (
  options: CloseOnDownOptions
): Layer.Layer<never, never, Connections | Supervisor | Transport | Upstreams> => Layer.effectDiscard(make(options))
