import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { Ready } from "../../src/api/Ready.ts"
import { BackendEvents } from "../../src/backends/BackendEvents.ts"
import { Registry } from "../../src/backends/Registry.ts"
import { Live } from "../../src/dashboard/Live.ts"
import type { LiveMessage } from "../../src/dashboard/LiveMessage.ts"
import * as LiveView from "../../src/dashboard/LiveView.ts"
import { AccessLog } from "../../src/observe/AccessLog.ts"
import { Conditions } from "../../src/observe/Conditions.ts"
import { LoopDelay } from "../../src/observe/LoopDelay.ts"
import { GeoResolver } from "../../src/routing/GeoResolver.ts"
import { RoutingTable, type TableSnapshot } from "../../src/routing/RoutingTable.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { Admission } from "../../src/traffic/Admission.ts"
import { Connections } from "../../src/traffic/Connections.ts"
import * as Shutdown from "../../src/traffic/Shutdown.ts"
import { TrafficCounters } from "../../src/traffic/TrafficCounters.ts"
import { Transport } from "../../src/traffic/Transport.ts"
import type { Certificate } from "../../src/tls/Certificate.ts"
import { type CertificateSet, Certificates } from "../../src/tls/Certificates.ts"
import * as MemoryRegistry from "../api/MemoryRegistry.ts"
import { routing } from "../support/routing.ts"
import * as ScriptedTransport from "../support/ScriptedTransport.ts"
import { hostless } from "../support/hostless.ts"

const emptyTable: TableSnapshot = {
  version: 0,
  origin: "none",
  backends: new Map(),
  quarantined: new Map(),
  badIds: new Set(),
  states: new Map()
}

/** A viewer: what it was told and what it makes of it. */
export interface Viewer {
  readonly view: LiveView.LiveView
  readonly messages: Array<LiveMessage>
  /** Bytes of each message. */
  readonly sizes: Array<number>
}

const certificate = (source: string, notAfter: number): Certificate => ({
  source,
  notAfter,
  notBefore: 0,
  names: [],
  chain: "",
  key: "the-secret-key"
})

const certificates: CertificateSet = {
  tls: {
    pairs: [],
    minVersion: "1.2",
    protocols: [],
    clientCa: undefined,
    ticketKey: new Uint8Array(),
    maxHandshakes: 1
  },
  certificates: [certificate("shop.crt", 3_000), certificate("db.crt", 2_000), certificate("www.crt", 4_000)],
  pairOf: () => undefined
}

const decoder = new TextDecoder()

/** The live view over services in the hands of a test. */
export const make = Effect.fnUntraced(function* () {
  const registry = MemoryRegistry.make()
  const closing = yield* Deferred.make<void>()
  const snapshot = yield* SubscriptionRef.make(emptyTable)
  let looks = 0
  const table = RoutingTable.of({
    ...hostless,
    snapshot,
    firstTable: Effect.void,
    status: () => ({
      version: 1,
      origin: "source",
      backends: registry.views.size,
      quarantined: registry.quarantined.size,
      ageMs: 0,
      lost: undefined,
      held: undefined
    }),
    confirm: Effect.succeed(false),
    reconsider: Effect.void,
    apply: () => Effect.void
  })
  const script = ScriptedTransport.make(() => 0)
  const layer = Live.layer({
    version: "1.2.3",
    pop: "gru1",
    region: "sa",
    vitals: Effect.sync(() => ({ cpuSeconds: ++looks, rss: 2, heap: 3, heapLimit: 4, fds: undefined, fdLimit: 6 })),
    closing: Deferred.await(closing)
  }).pipe(
    Layer.provide(Ready.layer({ listeners: 0 })),
    Layer.provideMerge(
      Layer.mergeAll(
        BackendEvents.layer({ apps: [undefined] }),
        TrafficCounters.layer,
        LoopDelay.layer,
        Connections.layer,
        Admission.layer(100),
        AccessLog.layerOff,
        GeoResolver.layerFixed(new Map()),
        Layer.succeed(Certificates, { current: () => certificates })
      )
    ),
    Layer.provideMerge(
      Layer.mergeAll(
        Layer.succeed(Registry, registry.service),
        Layer.succeed(RoutingTable, table),
        Layer.succeed(Transport, script.service),
        Layer.succeed(Shutdown.Shutdown, Shutdown.make()),
        Conditions.layer,
        routing()
      )
    )
  )
  const services = yield* Layer.build(layer)
  return yield* Effect.gen(function* () {
    const live = yield* Live
    return {
      live,
      registry,
      upstreams: yield* Upstreams,
      counters: yield* TrafficCounters,
      /** Another table is in force. */
      publish: SubscriptionRef.set(snapshot, { ...emptyTable, version: 1 }),
      close: Deferred.succeed(closing, undefined),
      /** How often everything was read. */
      looks: () => looks,
      /** Somebody who reads as fast as there is something, until the scope ends. */
      watch: Effect.gen(function* () {
        const viewer: Viewer = { view: LiveView.empty(), messages: [], sizes: [] }
        const stream = yield* live.join
        const fiber = yield* stream.pipe(
          Stream.runForEach((bytes) =>
            Effect.sync(() => {
              const [, json = ""] = /^data: ([^\n]*)\n\n$/.exec(decoder.decode(bytes)) ?? []
              const message = JSON.parse(json) as LiveMessage
              viewer.messages.push(message)
              viewer.sizes.push(bytes.length)
              LiveView.add(viewer.view, message)
            })
          ),
          Effect.forkScoped
        )
        return { ...viewer, fiber }
      })
    }
  }).pipe(Effect.provideContext(services))
})
