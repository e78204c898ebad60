import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ProxyProtocol from "../domain/ProxyProtocol.ts"
import { MAX_PREREAD } from "./Preread.ts"
import { type ConnectionId, PrereadError, Transport } from "./Transport.ts"

/** How long a peer that may send a header can be silent before it is taken for one that sends none. */
const SILENCE_MS = 300

type Found =
  | { readonly _tag: "Header"; readonly header: ProxyProtocol.ProxyHeader }
  /** `empty`: the peer has finished without a byte. */
  | { readonly _tag: "None"; readonly empty: boolean }

const noHeader: Found = { _tag: "None", empty: false }

const parse = (bytes: Uint8Array): Effect.Effect<Found, PrereadError> => {
  const parsed = ProxyProtocol.parse(bytes, true)
  switch (parsed._tag) {
    case "Header":
      return Effect.succeed(parsed)
    case "None":
      return Effect.succeed({ _tag: "None", empty: bytes.length === 0 })
    default:
      return Effect.fail(new PrereadError({ reason: "Malformed" }))
  }
}

/** Looks for a PROXY header in front of a connection. Takes no byte. A broken header is an error. */
export interface ProxyHeaderIn {
  /** The header, or the connection begins otherwise. */
  readonly required: (id: ConnectionId) => Effect.Effect<Found, PrereadError>
  /**
   * The same; and a peer that is silent sends none, perhaps because its server has to speak first. One that has begun a
   * header has until the pre-route deadline for the rest.
   */
  readonly optional: (id: ConnectionId) => Effect.Effect<Found, PrereadError>
}

export const make: Effect.Effect<ProxyHeaderIn, never, Transport> = Effect.gen(function* () {
  const { preread } = yield* Transport

  const required = (id: ConnectionId) => Effect.flatMap(preread(id, "proxy", MAX_PREREAD), parse)

  const optional = Effect.fnUntraced(function* (id: ConnectionId) {
    const any = preread(id, "any", MAX_PREREAD)
    const first = yield* Effect.timeoutOption(any, SILENCE_MS)
    if (Option.isNone(first) || ProxyProtocol.parse(first.value)._tag === "None") return noHeader
    const found = yield* Effect.timeoutOption(required(id), SILENCE_MS)
    if (Option.isSome(found)) return found.value
    // What has begun like one and stopped is one only if it can be nothing else.
    return ProxyProtocol.isHeader(yield* any) ? yield* required(id) : noHeader
  })

  return { required, optional }
})
