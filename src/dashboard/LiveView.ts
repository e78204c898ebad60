import type { BackendEvent } from "../backends/BackendEvents.ts"
import type { BackendRow, End, Flow, LiveMessage, Load, Parts, Sample } from "./LiveMessage.ts"

/** What a viewer knows: all messages of one stream put together. */
export interface LiveView {
  /** Of the last message; 0 before the first. */
  at: number
  parts: Partial<Parts>
  /** By slot. */
  readonly backends: Map<string, BackendRow>
  readonly loads: Map<string, Load>
  /** By `country region`. */
  readonly flows: Map<string, Flow>
  /** By `by phase cause`. */
  readonly ends: Map<string, End>
  /** The latest last. */
  readonly events: Array<BackendEvent>
  readonly samples: Array<Sample>
}

/** Events and samples that a viewer keeps. */
export const KEPT_EVENTS = 200
export const KEPT_SAMPLES = 600

export const empty = (): LiveView => ({
  at: 0,
  parts: {},
  backends: new Map(),
  loads: new Map(),
  flows: new Map(),
  ends: new Map(),
  events: [],
  samples: []
})

const merge = <A>(known: Map<string, A>, told: Readonly<Record<string, A | null>> = {}): void => {
  for (const [key, value] of Object.entries(told)) {
    if (value === null) known.delete(key)
    else known.set(key, value)
  }
}

const append = <A>(known: Array<A>, told: ReadonlyArray<A> = [], most: number): void => {
  known.push(...told)
  if (known.length > most) known.splice(0, known.length - most)
}

/** Adds the next message of the stream. */
export const add = (view: LiveView, message: LiveMessage): void => {
  view.at = message.at
  view.parts = { ...view.parts, ...message.parts }
  merge(view.backends, message.backends)
  merge(view.loads, message.loads)
  merge(view.flows, message.flows)
  merge(view.ends, message.ends)
  append(view.events, message.events, KEPT_EVENTS)
  append(view.samples, message.samples, KEPT_SAMPLES)
}
