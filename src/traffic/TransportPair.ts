import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Census, type ConnectionId, Transport } from "./Transport.ts"

/** Connections of the engine for TLS are numbered from here on, all others below. */
export const TLS_IDS: ConnectionId = 2 ** 52

const sum = (one: Census, other: Census): Census => ({
  connections: one.connections + other.connections,
  warm: one.warm + other.warm,
  listeners: one.listeners + other.listeners,
  fds: one.fds + other.fds,
  threads: one.threads + other.threads,
  threadsLost: one.threadsLost + other.threadsLost,
  pipes: one.pipes + other.pipes,
  heldBytes: one.heldBytes + other.heldBytes,
  waitingMessages: one.waitingMessages + other.waitingMessages,
  toThreadsBytes: one.toThreadsBytes + other.toThreadsBytes,
  fromThreadsBytes: one.fromThreadsBytes + other.fromThreadsBytes,
  resetWhilePaused: one.resetWhilePaused + other.resetWhilePaused
})

/**
 * Two engines as one: listeners whose connections need TLS, on either side, are opened by the second, everything else is the
 * first's. A connection stays with the engine that has accepted it.
 */
export const layer = <E, R, E2, R2>(
  plain: Layer.Layer<Transport, E, R>,
  tls: Layer.Layer<Transport, E2, R2>
): Layer.Layer<Transport, E | E2, R | R2> =>
  Layer.effect(
    Transport,
    Effect.gen(function* () {
      const first = yield* Layer.build(Layer.fresh(plain))
      const second = yield* Layer.build(Layer.fresh(tls))
      return make(Context.get(first, Transport), Context.get(second, Transport))
    })
  )

export const make = (plain: Transport["Service"], tls: Transport["Service"]): Transport["Service"] => {
  const of = (id: ConnectionId): Transport["Service"] => (id >= TLS_IDS ? tls : plain)
  return Transport.of({
    engine: plain.engine,
    listen: (options, events) => (options.tls === true ? tls : plain).listen(options, events),
    preread: (id, question, max) => of(id).preread(id, question, max),
    consume: (id, bytes) => of(id).consume(id, bytes),
    secure: (id, options) => of(id).secure(id, options),
    bridge: (id, options) => of(id).bridge(id, options),
    // Without TLS; a connection with TLS that is offered one opened ahead is told that it is gone.
    warm: plain.warm,
    discard: plain.discard,
    counts: (id, out) => of(id).counts(id, out),
    abort: (id, how, why) => of(id).abort(id, how, why),
    census: () => sum(plain.census(), tls.census())
  })
}
