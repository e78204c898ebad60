import * as Effect from "effect/Effect"
import { samplerOf } from "../../src/domain/TraceContext.ts"
import type { Span } from "../../src/observe/Span.ts"
import * as Tracing from "../../src/observe/Tracing.ts"

/** Runs a part of the program with everything sampled, and gives its spans as they come. */
export const traced = <A, E, R>(
  part: Effect.Effect<A, E, R>,
  options: Partial<Omit<Tracing.TracingOptions, "take">> = {}
): Effect.Effect<A & { readonly spans: ReadonlyArray<Span> }, E, R> =>
  Effect.gen(function* () {
    const spans: Array<Span> = []
    const tracer = yield* Tracing.make({
      sampler: samplerOf("always_on", 1),
      showsClients: false,
      ...options,
      take: (span) => void spans.push(span)
    })
    const made = yield* Effect.provideService(part, Tracing.Tracing, tracer)
    return Object.assign(made as A & object, { spans })
  })
