import * as Effect from "effect/Effect"
import type { DialError, Endpoint, Transport, WarmId, WarmOptions } from "../../src/traffic/Transport.ts"
import * as Watch from "../support/Watch.ts"

/** Connections opened ahead by a test, and all that was told of them. */
export interface Ahead {
  /** Not waited for. */
  readonly begin: (to: Endpoint, options?: Partial<WarmOptions>) => WarmId
  /** Completes when it is open. */
  readonly open: (to: Endpoint, options?: Partial<WarmOptions>) => Effect.Effect<WarmId>
  readonly opened: (id: WarmId) => boolean
  /** Why it was lost. */
  readonly loss: (id: WarmId) => Effect.Effect<DialError>
  readonly losses: ReadonlyMap<WarmId, DialError>
}

export const make = (transport: Transport["Service"]): Ahead => {
  const watch = Watch.make()
  const opened = new Set<WarmId>()
  const losses = new Map<WarmId, DialError>()
  const begin: Ahead["begin"] = (address, options) =>
    transport.warm(
      { address, connectMs: 5_000, keepaliveMs: 30_000, ...options },
      {
        onWarm: (id) => {
          if (opened.has(id) || losses.has(id)) throw new Error(`told twice of ${id}`)
          opened.add(id)
          watch.touch()
        },
        onWarmLost: (id, error) => {
          if (losses.has(id)) throw new Error(`lost twice: ${id}`)
          losses.set(id, error)
          watch.touch()
        }
      }
    )
  return {
    begin,
    open: (to, options) =>
      Effect.suspend(() => {
        const id = begin(to, options)
        return watch.until(
          () => `connection ${id} opened ahead: ${losses.get(id)?.code ?? "nothing heard"}`,
          () => opened.has(id) && id
        )
      }),
    opened: (id) => opened.has(id),
    loss: (id) => watch.until(`loss of connection ${id}`, () => losses.get(id)),
    losses
  }
}
