import * as Effect from "effect/Effect"
import * as ClientHello from "../domain/ClientHello.ts"
import * as SniRoutes from "../domain/SniRoutes.ts"
import type { Cause, Termination } from "../domain/Termination.ts"
import type { ConnectionRecord } from "./Connections.ts"
import { MAX_PREREAD } from "./Preread.ts"
import type { TrafficListener } from "./TrafficListener.ts"
import { type PrereadError, Transport } from "./Transport.ts"

export interface PrerouteOptions {
  readonly sniRoutes: ReadonlyArray<SniRoutes.SniRoute>
  /** Whether a server name without a route, or none at all, leads to the listener's own app. */
  readonly unknownSni: "default" | "refuse"
}

/** Whether a connection can be routed now: false when it has ended, or is being ended. */
type Routable = boolean

/**
 * What is learned of a connection from its first bytes, before it is routed; the record has it then. All of it happens under
 * the pre-route deadline, which the engine enforces.
 */
export interface Preroute {
  readonly learn: (record: ConnectionRecord, listener: TrafficListener) => Effect.Effect<Routable>
}

export const make = Effect.fnUntraced(function* (options: PrerouteOptions) {
  const transport = yield* Transport
  const routes = SniRoutes.make(options.sniRoutes)

  const refuse = (record: ConnectionRecord, cause: Cause, by: Termination["by"] = "proxy"): Routable => {
    transport.abort(record.id, "rst", { by, phase: "pre-route", cause })
    return false
  }

  /** The connection has ended by itself, or it is ended for what it said. */
  const failed = (record: ConnectionRecord, { reason }: PrereadError, cause: Cause): Routable =>
    reason === "Malformed" || reason === "TooLong" ? refuse(record, cause) : false

  const learnServerName = Effect.fnUntraced(function* (record: ConnectionRecord) {
    const parsed = ClientHello.parse(yield* transport.preread(record.id, "client-hello", MAX_PREREAD))
    if (parsed._tag !== "Hello") return refuse(record, "bad-hello")
    const { serverName } = parsed.hello
    record.sni = serverName
    const app = serverName === undefined ? undefined : routes.appOf(serverName)
    if (app === undefined) return options.unknownSni === "default" || refuse(record, "unknown-name")
    record.app = app
    return true
  })

  const learn: Preroute["learn"] = (record, { kind }) => {
    switch (kind) {
      case "tcp":
        return Effect.succeed(true)
      case "tls-passthrough":
        return learnServerName(record).pipe(
          Effect.catch((error) => Effect.sync(() => failed(record, error, "bad-hello")))
        )
    }
  }
  return { learn } satisfies Preroute
})
