import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { monotonicMs } from "../actor/Monotonic.ts"
import {
  isInShare,
  makeSpanId,
  makeTraceId,
  randomnessOf,
  type RemoteParent,
  type Sampler,
  type SpanContext
} from "../domain/TraceContext.ts"
import type { Attributes, Span } from "./Span.ts"

/** A span that has begun. */
export interface Begun extends SpanContext {
  readonly parentSpanId: string | undefined
}

/**
 * Makes traces (O1). Whether one is made is decided when it begins; what is not sampled costs one random number. Spans are
 * handed over when they have ended, as plain data, and the hand-over never waits.
 */
export interface Tracer {
  /** Off: nobody need prepare anything. */
  readonly on: boolean
  /** Clients' addresses may be told. */
  readonly showsClients: boolean
  /** Undefined: not sampled. */
  readonly begin: (parent?: RemoteParent) => Begun | undefined
  /** An id for a child of a span. */
  readonly spanId: () => string
  /** Unix time in milliseconds of a monotonic one. */
  readonly unixMs: (monotonicMs: number) => number
  readonly finish: (span: Span) => void
}

export const off: Tracer = {
  on: false,
  showsClients: false,
  begin: () => undefined,
  spanId: () => "",
  unixMs: () => 0,
  finish: () => undefined
}

/** Nobody traces unless a layer says so. */
export const Tracing = Context.Reference<Tracer>("edgeproxy/observe/Tracing", { defaultValue: () => off })

export interface TracingOptions {
  readonly sampler: Sampler
  readonly showsClients: boolean
  /** Takes a span; never to be waited for. */
  readonly take: (span: Span) => void
}

export const make = Effect.fnUntraced(function* ({ sampler, showsClients, take }: TracingOptions) {
  const generator = yield* Random.Random
  const clock = yield* Clock.clockWith(Effect.succeed)
  const now = yield* monotonicMs
  const random = (): number => generator.nextDoubleUnsafe()
  const { followsParent, share } = sampler

  const within = ({ sampled, spanId, traceId }: RemoteParent): Begun | undefined => {
    const isSampled = followsParent ? sampled : isInShare(randomnessOf(traceId), share)
    return isSampled ? { traceId, spanId: makeSpanId(random), parentSpanId: spanId } : undefined
  }

  const tracer: Tracer = {
    on: true,
    showsClients,
    begin: (parent) => {
      if (parent !== undefined) return within(parent)
      const randomness = random()
      if (!isInShare(randomness, share)) return undefined
      return { traceId: makeTraceId(randomness, random), spanId: makeSpanId(random), parentSpanId: undefined }
    },
    spanId: () => makeSpanId(random),
    unixMs: (ms) => clock.currentTimeMillisUnsafe() - (now() - ms),
    finish: take
  }
  return tracer
})

/** Something that has happened and is a trace of its own: from one monotonic time to another. */
export const traceEvent = (
  tracer: Tracer,
  name: string,
  fromMs: number,
  toMs: number,
  attributes: Attributes,
  failed = false
): void => {
  const begun = tracer.begin()
  if (begun === undefined) return
  const endMs = tracer.unixMs(toMs)
  tracer.finish({ ...begun, name, kind: "internal", startMs: endMs - (toMs - fromMs), endMs, attributes, failed })
}
