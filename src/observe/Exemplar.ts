import { bucketOf } from "./Metric.ts"

/** One measurement of a bucket, and the trace that tells the rest. */
export interface Exemplar {
  readonly traceId: string
  readonly value: number
  /** Unix milliseconds. */
  readonly atMs: number
}

/** The last exemplar of each bucket of a histogram; most have none. */
export type Exemplars = ReadonlyArray<Exemplar | undefined>

export const keep = (exemplars: Array<Exemplar | undefined>, bounds: ReadonlyArray<number>, one: Exemplar): void => {
  exemplars[bucketOf(bounds, one.value)] = one
}
