import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import { Supervisor } from "../actor/Supervisor.ts"
import { type Change, Upstreams } from "../routing/Upstreams.ts"

/** What backends and pools can come to, as the metric names it. */
export const changes = [
  "up",
  "down",
  "circuit-open",
  "circuit-half-open",
  "circuit-closed",
  "panic",
  "panic-over"
] as const

export type ChangeName = (typeof changes)[number]

/** Says once of each change of what is seen of backends that it has happened, and counts it. */
export class BackendEvents extends Context.Service<
  BackendEvents,
  {
    readonly count: (name: ChangeName) => number
  }
>()("edgeproxy/backends/BackendEvents") {
  /** `apps` are those of the listeners: the others' panics are nobody's here. */
  static readonly layer = (options: {
    readonly apps: ReadonlyArray<string | undefined>
  }): Layer.Layer<BackendEvents, never, Supervisor | Upstreams> => Layer.effect(BackendEvents, make(options))
}

interface Line {
  readonly name: ChangeName
  readonly fields: Readonly<Record<string, unknown>>
}

const circuitNames = { Closed: "circuit-closed", Open: "circuit-open", HalfOpen: "circuit-half-open" } as const

const texts: Readonly<Record<ChangeName, string>> = {
  up: "backend up again: its checks pass",
  down: "backend down: its checks fail",
  "circuit-open": "circuit open: the backend has failed too often in a row",
  "circuit-half-open": "circuit half-open: the backend is tried again",
  "circuit-closed": "circuit closed: the backend serves again",
  panic: "too few backends are up: checks and circuits are ignored",
  "panic-over": "enough backends are up again: checks and circuits count"
}

const good: ReadonlySet<ChangeName> = new Set(["up", "circuit-half-open", "circuit-closed", "panic-over"])

/** Lines that may wait to be written. */
const WAITING = 4_096
/** Changes of one kind at one time that are told one by one. */
const ONE_BY_ONE = 20

const lineOf = (change: Change): Line | undefined => {
  switch (change._tag) {
    case "Check": {
      const { backend, observed } = change.upstream
      const fields = { id: backend.id, app: backend.app }
      return change.up
        ? { name: "up", fields }
        : { name: "down", fields: { ...fields, error: observed.checkError ?? "" } }
    }
    case "Circuit": {
      const { backend } = change.upstream
      return { name: circuitNames[change.to], fields: { id: backend.id, app: backend.app } }
    }
    case "Panic": {
      const { app, eligible, panic, up } = change.pool
      return { name: panic ? "panic" : "panic-over", fields: { app: app ?? "*", up, backends: eligible } }
    }
    default:
      return undefined
  }
}

export const make = Effect.fnUntraced(
  function* (options: { readonly apps: ReadonlyArray<string | undefined> }) {
    const upstreams = yield* Upstreams
    const supervisor = yield* Supervisor
    const lines = yield* Queue.dropping<Line>(WAITING)
    const counts = new Map<ChangeName, number>()
    const apps = new Set(options.apps)

    const say = ({ fields, name }: Line): Effect.Effect<void> =>
      good.has(name) ? Effect.logInfo(texts[name], fields) : Effect.logWarning(texts[name], fields)

    const sayAll = Effect.fnUntraced(function* (batch: ReadonlyArray<Line>) {
      const told = new Map<ChangeName, number>()
      for (const line of batch) {
        const before = told.get(line.name) ?? 0
        told.set(line.name, before + 1)
        if (before < ONE_BY_ONE) yield* say(line)
      }
      for (const [name, count] of told) {
        if (count > ONE_BY_ONE) yield* say({ name, fields: { more: count - ONE_BY_ONE } })
      }
    })

    yield* supervisor.supervise("backend-events", Effect.forever(Effect.flatMap(Queue.takeAll(lines), sayAll)))

    const stop = upstreams.onChange((change) => {
      if (change._tag === "Panic" && !apps.has(change.pool.app)) return
      const line = lineOf(change)
      if (line === undefined) return
      counts.set(line.name, (counts.get(line.name) ?? 0) + 1)
      Queue.offerUnsafe(lines, line)
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))

    return BackendEvents.of({ count: (name) => counts.get(name) ?? 0 })
  },
  Effect.annotateLogs({ service: "backends" })
)
