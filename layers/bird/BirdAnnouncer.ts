import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Level } from "../../src/anycast/Level.ts"
import { AnnounceError, RouteAnnouncer } from "../../src/anycast/RouteAnnouncer.ts"
import { connect, type Control } from "./Control.ts"
import type { Reply } from "./Replies.ts"

export interface BirdOptions {
  /** EDGEPROXY_ANYCAST_BIRD_SOCKET. */
  readonly socket: string
  /** EDGEPROXY_ANYCAST_PROTOCOL: a BIRD symbol, which the configuration has checked. */
  readonly protocol: string
}

/** A local daemon answers in a millisecond; one that is busy with a full table, within a second. */
const LIMIT_MS = 2_000

/** A line of `show protocols`. */
const PROTOCOL_LINE = 1_002
const NONE_MATCH = 8_003

interface Protocol {
  readonly name: string
  readonly isOn: boolean
}

/** Of the answer to `show protocols`: name, protocol, table, state. Nothing but a symbol is ever sent back. */
const protocolsOf = ({ lines }: Reply): ReadonlyArray<Protocol> =>
  lines.flatMap(({ code, text }) => {
    const [name = "", , , state] = text.trim().split(/\s+/)
    return code === PROTOCOL_LINE && state !== undefined && /^\w+$/.test(name) ? [{ name, isOn: state !== "down" }] : []
  })

/** Those of the POP: `edgeproxy`, or one for each family, `edgeproxy_4` and `edgeproxy_6`; and the same with `_degraded`. */
const suffix = /^(_degraded)?(_?[46])?$/

const isFailure = ({ code }: Reply): boolean => code >= 8_000

/**
 * {@link RouteAnnouncer} by BIRD's control socket: static protocols are switched on and off. The full ones are preferred by BIRD to
 * the degraded ones, so that both are on while the route is announced, and stepping down leaves no gap.
 */
export const layer = ({ protocol, socket }: BirdOptions): Layer.Layer<RouteAnnouncer> => {
  const target = `bird at ${socket}`
  const failure = (reason: AnnounceError["reason"], detail: string): AnnounceError =>
    new AnnounceError({ target, reason, detail })

  const ask = Effect.fnUntraced(function* (control: Control, command: string) {
    const reply = yield* control.send(command)
    if (!isFailure(reply)) return reply
    const { text = "" } = reply.lines.at(-1) ?? {}
    if (reply.code === NONE_MATCH) return yield* failure("unknown-protocol", `it has no protocol ${protocol}`)
    return yield* failure("refused", `${command}: ${reply.code} ${text.slice(0, 200)}`)
  })

  const switchAll = Effect.fnUntraced(function* (
    control: Control,
    wanted: ReadonlyArray<readonly [protocol: Protocol, on: boolean]>
  ) {
    const changed: Array<string> = []
    for (const [{ isOn, name }, on] of wanted) {
      if (isOn === on) continue
      const command = `${on ? "enable" : "disable"} "${name}"`
      yield* ask(control, command)
      changed.push(command)
    }
    return changed
  })

  const isDegraded = ({ name }: Protocol): boolean => name.slice(protocol.length).startsWith("_degraded")

  const look = Effect.fnUntraced(function* (control: Control) {
    const found = protocolsOf(yield* ask(control, `show protocols "${protocol}*"`)).filter(
      ({ name }) => name.startsWith(protocol) && suffix.test(name.slice(protocol.length))
    )
    const full = found.filter((each) => !isDegraded(each))
    if (full.length === 0) return yield* failure("unknown-protocol", `it has no protocol ${protocol}`)
    return { full, degraded: found.filter(isDegraded) }
  })

  const apply = Effect.fnUntraced(function* (level: Level) {
    const control = yield* connect(socket)
    const { degraded, full } = yield* look(control)
    // Without protocols to step down to, it stays as it was announced.
    const wantsFull = level === "announced" || (level === "degraded" && degraded.length === 0)
    const steps = [
      ...full.map((each) => [each, wantsFull] as const),
      ...degraded.map((each) => [each, level !== "withdrawn"] as const)
    ]
    // Never a moment without a route on the way to another one, and none with a worse one on the way to none.
    return yield* switchAll(control, wantsFull ? steps : steps.toReversed())
  }, Effect.scoped)

  const current = Effect.gen(function* () {
    const { degraded, full } = yield* look(yield* connect(socket))
    if (full.some(({ isOn }) => isOn)) return "announced" as const
    return degraded.some(({ isOn }) => isOn) ? ("degraded" as const) : ("withdrawn" as const)
  }).pipe(Effect.scoped)

  const soon = <A>(work: Effect.Effect<A, AnnounceError>): Effect.Effect<A, AnnounceError> =>
    Effect.timeoutOrElse(work, {
      duration: LIMIT_MS,
      orElse: () => Effect.fail(failure("timeout", `no answer within ${LIMIT_MS} ms`))
    })

  return Layer.succeed(RouteAnnouncer, { target, current: soon(current), apply: (level) => soon(apply(level)) })
}
