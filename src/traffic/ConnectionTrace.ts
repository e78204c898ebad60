import type { Begun } from "../observe/Tracing.ts"
import type { Attributes, Span } from "../observe/Span.ts"
import type { Tracer } from "../observe/Tracing.ts"
import type { Termination } from "../domain/Termination.ts"
import type { NoRoute, Route } from "../routing/Router.ts"
import type { ConnectionRecord } from "./Connections.ts"
import { dialReasons } from "./dialReasons.ts"
import type { DialError, Ended } from "./Transport.ts"

/** One attempt. Times are monotonic milliseconds. */
interface Dial {
  readonly route: Route
  readonly fromMs: number
  /** Undefined while it is under way. */
  toMs: number | undefined
  error: string | undefined
}

/** What a sampled connection notes down on its way, for the spans that are made at its end (O1). */
export interface ConnectionTrace {
  readonly span: Begun
  routeFromMs: number | undefined
  routeToMs: number
  first: Route | NoRoute | undefined
  readonly dials: Array<Dial>
  /** Its end came before its dial was noticed to have succeeded: told then. */
  finish: (() => void) | undefined
}

export const begin = (span: Begun): ConnectionTrace => ({
  span,
  routeFromMs: undefined,
  routeToMs: 0,
  first: undefined,
  dials: [],
  finish: undefined
})

/** A choice was made, between these times: the first is the `route` span, the others belong to their dials. */
export const routed = (trace: ConnectionTrace, route: Route | NoRoute, fromMs: number, toMs: number): void => {
  if (trace.routeFromMs !== undefined) return
  trace.routeFromMs = fromMs
  trace.routeToMs = toMs
  trace.first = route
}

export const dialling = (trace: ConnectionTrace, route: Route, nowMs: number): void => {
  trace.dials.push({ route, fromMs: nowMs, toMs: undefined, error: undefined })
}

/** The last dial has succeeded, after so long. */
export const connected = (trace: ConnectionTrace, connectUs: number): void => {
  const dial = trace.dials.at(-1)
  if (dial !== undefined) dial.toMs = dial.fromMs + connectUs / 1_000
  trace.finish?.()
}

/** The last dial has failed, also when it had seemed to succeed (C1). */
export const dialFailed = (trace: ConnectionTrace, { reason }: DialError, nowMs: number): void => {
  const dial = trace.dials.at(-1)
  if (dial === undefined) return
  dial.toMs = nowMs
  dial.error = dialReasons[reason]
}

/** Ends as intended by who ended it, or for the client's own reasons, are no failures. */
const orderly: ReadonlySet<Termination["cause"]> = new Set([
  "fin",
  "idle-timeout",
  "fin-timeout",
  "max-age",
  "forced",
  "killed"
])

const failed = ({ by, cause }: Termination): boolean => by !== "client" && !orderly.has(cause)

const routeAttributes = (route: Route | NoRoute | undefined): Attributes => {
  if (route === undefined) return {}
  if (typeof route === "string") return { "error.type": route }
  return {
    "edgeproxy.backend": route.lease.upstream.backend.id,
    "edgeproxy.tier": route.tier,
    "edgeproxy.affinity": route.affinity
  }
}

const hostOf = (listener: string): string => listener.slice(0, listener.lastIndexOf(":")).replace(/^\[|\]$/g, "")
const portOf = (listener: string): number => Number(listener.slice(listener.lastIndexOf(":") + 1))

/** The spans of a connection that has ended: itself, then its parts in the order of their beginning. */
export const spansOf = (
  tracer: Tracer,
  trace: ConnectionTrace,
  record: ConnectionRecord,
  ended: Ended,
  { conn, endedAtMs }: { readonly conn: string; readonly endedAtMs: number }
): ReadonlyArray<Span> => {
  const { client, geo, listener, route } = record
  const offset = tracer.unixMs(endedAtMs) - endedAtMs
  const { spanId, traceId } = trace.span
  const isFailed = failed(ended)
  const transport: Attributes = { "network.transport": "tcp" }

  const child = (
    name: string,
    kind: Span["kind"],
    fromMs: number,
    toMs: number,
    attributes: Attributes,
    isFailed: boolean
  ): Span => ({
    traceId,
    spanId: tracer.spanId(),
    parentSpanId: spanId,
    name,
    kind,
    startMs: fromMs + offset,
    endMs: Math.max(fromMs, Math.min(toMs, endedAtMs)) + offset,
    attributes,
    failed: isFailed
  })

  const spans: Array<Span> = [
    {
      ...trace.span,
      name: "connection",
      kind: "server",
      startMs: record.acceptedAt + offset,
      endMs: endedAtMs + offset,
      failed: isFailed,
      attributes: {
        ...transport,
        "network.type": client.key.family === 4 ? "ipv4" : "ipv6",
        "server.address": hostOf(listener.address),
        "server.port": portOf(listener.address),
        "client.address": tracer.showsClients ? client.address : undefined,
        "client.port": tracer.showsClients ? record.clientPort : undefined,
        "edgeproxy.conn": conn,
        "edgeproxy.country": geo.country,
        "edgeproxy.region": geo.region,
        "edgeproxy.app": record.app,
        "edgeproxy.backend": route?.lease.upstream.backend.id,
        "edgeproxy.tier": route?.tier,
        "edgeproxy.affinity": route?.affinity,
        "edgeproxy.attempts": record.attempts,
        "edgeproxy.bytes_in": ended.bytesIn,
        "edgeproxy.bytes_out": ended.bytesOut,
        "edgeproxy.end_by": ended.by,
        "edgeproxy.end_phase": ended.phase,
        "edgeproxy.end_cause": ended.cause,
        "error.type": isFailed ? ended.cause : undefined
      }
    }
  ]

  if (trace.routeFromMs !== undefined) {
    const isRefused = typeof trace.first === "string"
    const attributes = routeAttributes(trace.first)
    spans.push(child("route", "internal", trace.routeFromMs, trace.routeToMs, attributes, isRefused))
  }
  trace.dials.forEach(({ error, fromMs, route, toMs }, index) => {
    const { backend } = route.lease.upstream
    // Its end was that of the connection: the client went, or the proxy gave up.
    const why = toMs === undefined ? ended.cause : error
    const attributes = {
      ...transport,
      "server.address": backend.address,
      "server.port": backend.port,
      ...routeAttributes(route),
      "edgeproxy.attempt": index + 1,
      "error.type": why
    }
    spans.push(child("dial", "client", fromMs, toMs ?? endedAtMs, attributes, why !== undefined))
  })
  const last = trace.dials.at(-1)
  if (last?.toMs !== undefined && last.error === undefined) {
    const { firstByteUs } = ended
    const attributes = {
      "edgeproxy.backend": last.route.lease.upstream.backend.id,
      "edgeproxy.bytes_in": ended.bytesIn,
      "edgeproxy.bytes_out": ended.bytesOut,
      "edgeproxy.first_byte_ms": firstByteUs === undefined ? undefined : firstByteUs / 1_000,
      "error.type": isFailed ? ended.cause : undefined
    }
    spans.push(child("relay", "internal", last.toMs, endedAtMs, attributes, isFailed))
  }
  return spans
}
