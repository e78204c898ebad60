import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import { Supervisor } from "../actor/Supervisor.ts"
import { Conditions } from "../observe/Conditions.ts"
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

/** One change, for people. Of a panic the id is empty. */
export interface BackendEvent {
  /** From 1 on; one that is missing was one of too many. */
  readonly seq: number
  /** Wall clock, in milliseconds. */
  readonly at: number
  readonly change: ChangeName
  readonly id: string
  readonly app: string
  /** Why, where there is more to say. */
  readonly detail: string
}

/** So many changes are remembered. */
export const REMEMBERED = 200

/** Says once of each change of what is seen of backends that it has happened, counts it, and remembers the last ones. */
export class BackendEvents extends Context.Service<
  BackendEvents,
  {
    readonly count: (name: ChangeName) => number
    /** The latest last. */
    readonly recent: () => ReadonlyArray<BackendEvent>
  }
>()("edgeproxy/backends/BackendEvents") {
  /** `apps` are those of the listeners: the others' panics are nobody's here. */
  static readonly layer = (options: {
    readonly apps: ReadonlyArray<string | undefined>
  }): Layer.Layer<BackendEvents, never, Conditions | Supervisor | Upstreams> =>
    Layer.effect(BackendEvents, make(options))
}

interface Line {
  readonly name: ChangeName
  readonly fields: Readonly<Record<string, unknown>>
}

const detailOf = ({ fields, name }: Line): string => {
  if (name === "panic" || name === "panic-over") return `${fields["up"]} of ${fields["backends"]} up`
  return name === "down" ? String(fields["error"]) : ""
}

const circuitNames = { Closed: "circuit-closed", Open: "circuit-open", HalfOpen: "circuit-half-open" } as const

const texts: Readonly<Record<ChangeName, string>> = {
  up: "backend up again: its checks pass, or are off",
  down: "backend down: its checks fail",
  "circuit-open": "circuit open: the backend has failed too often in a row",
  "circuit-half-open": "circuit half-open: the backend is tried again",
  "circuit-closed": "circuit closed: the backend serves again",
  panic: "too few backends are up: checks and circuits are ignored",
  "panic-over": "enough backends are up again: checks and circuits count"
}

const good: ReadonlySet<ChangeName> = new Set(["up", "circuit-half-open", "circuit-closed", "panic-over"])

/** Changes of one kind that are told one by one ... */
const ONE_BY_ONE = 20
/** ... in so much time; of more only the number. */
const WINDOW_MS = 1_000

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
    const clock = yield* Clock.Clock
    const counts = new Map<ChangeName, number>()
    const recent: Array<BackendEvent> = []
    let seq = 0
    const apps = new Set(options.apps)
    const some = yield* Latch.make(false)
    let lines: Array<Line> = []
    /** Of the window, by kind. */
    let happened = new Map<ChangeName, number>()

    const say = ({ fields, name }: Line): Effect.Effect<void> =>
      good.has(name) ? Effect.logInfo(texts[name], fields) : Effect.logWarning(texts[name], fields)

    const tell = Effect.gen(function* () {
      yield* some.await
      some.closeUnsafe()
      const [told, numbers] = [lines, happened]
      lines = []
      happened = new Map()
      yield* Effect.forEach(told, say, { discard: true })
      for (const [name, count] of numbers) {
        if (count > ONE_BY_ONE) yield* say({ name, fields: { more: count - ONE_BY_ONE } })
      }
      yield* Effect.sleep(WINDOW_MS)
    })
    yield* supervisor.supervise("backend-events", Effect.forever(tell))

    const stop = upstreams.onChange((change) => {
      if (change._tag === "Panic" && !apps.has(change.pool.app)) return
      const line = lineOf(change)
      if (line === undefined) return
      recent.push({
        seq: ++seq,
        at: clock.currentTimeMillisUnsafe(),
        change: line.name,
        id: String(line.fields["id"] ?? ""),
        app: String(line.fields["app"]),
        detail: detailOf(line)
      })
      if (recent.length > REMEMBERED) recent.shift()
      counts.set(line.name, (counts.get(line.name) ?? 0) + 1)
      const count = (happened.get(line.name) ?? 0) + 1
      happened.set(line.name, count)
      if (count <= ONE_BY_ONE) lines.push(line)
      some.openUnsafe()
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))

    const conditions = yield* Conditions
    yield* conditions.watch("panic", () => options.apps.some((app) => upstreams.pool(app)?.panic === true))

    return BackendEvents.of({ count: (name) => counts.get(name) ?? 0, recent: () => recent })
  },
  Effect.annotateLogs({ service: "backends" })
)
