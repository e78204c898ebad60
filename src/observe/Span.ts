import type { SpanContext } from "../domain/TraceContext.ts"

export type AttributeValue = string | number | boolean

/** Absent and undefined are the same. */
export type Attributes = Readonly<Record<string, AttributeValue | undefined>>

/** A span that has ended, as plain data. Times are Unix milliseconds with fractions. */
export interface Span extends SpanContext {
  /** None: it begins its trace. */
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly kind: "internal" | "server" | "client"
  readonly startMs: number
  readonly endMs: number
  readonly attributes: Attributes
  /** It failed. What failed says `error.type` among the attributes. */
  readonly failed: boolean
}
