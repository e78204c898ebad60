/** Where a span stands: its trace and itself, in lower-case hex of 32 and 16 digits. */
export interface SpanContext {
  readonly traceId: string
  readonly spanId: string
}

/** The caller's span, as it came with a request. */
export interface RemoteParent extends SpanContext {
  readonly sampled: boolean
}

const traceparent = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/
const zeros = /^0+$/
const SAMPLED = 1

/** The header `traceparent` (W3C Trace Context, 3.2); undefined when it is none: then a trace of its own begins. */
export const parseTraceparent = (text: string): RemoteParent | undefined => {
  const [, version, traceId, spanId, flags] = traceparent.exec(text.trim()) ?? []
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined) return undefined
  // Later versions may say more after the flags; this one may not, and ff is none.
  if (version === "ff" || (version === "00" && text.trim().length !== 55)) return undefined
  if (zeros.test(traceId) || zeros.test(spanId)) return undefined
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 }
}

/** A sampler of the OpenTelemetry specification, as two decisions. */
export interface Sampler {
  /** Of traces that begin here. */
  readonly share: number
  /** A caller's decision is taken over. */
  readonly followsParent: boolean
}

export type SamplerName = `${"" | "parentbased_"}${"always_on" | "always_off" | "traceidratio"}`

export const samplerOf = (name: SamplerName, ratio: number): Sampler => ({
  share: name.endsWith("always_on") ? 1 : name.endsWith("always_off") ? 0 : ratio,
  followsParent: name.startsWith("parentbased_")
})

/** Bits of a trace id that decide, so that everybody on its way decides alike; of them JavaScript counts 52 exactly. */
const RANDOM_START = 18
const RANDOM_DIGITS = 13
const RANDOM_RANGE = 2 ** 52

/** The place of a trace id in [0, 1): the trace is in a share when it is at or above what the share leaves out. */
export const randomnessOf = (traceId: string): number =>
  Number.parseInt(traceId.slice(RANDOM_START, RANDOM_START + RANDOM_DIGITS), 16) / RANDOM_RANGE

export const isInShare = (randomness: number, share: number): boolean => randomness >= 1 - share

const hex = (random: number, digits: number): string =>
  Math.floor(random * 16 ** digits)
    .toString(16)
    .padStart(digits, "0")

/** A trace id with this randomness. `random` gives numbers in [0, 1). */
export const makeTraceId = (randomness: number, random: () => number): string =>
  hex(random(), 13) + hex(random(), 5) + hex(randomness, RANDOM_DIGITS) + hex(random(), 1)

/** Never all zeros, which would be no id. */
export const makeSpanId = (random: () => number): string => hex(random(), 13) + (hex(random(), 2) + "1")
