import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as net from "node:net"
import { HealthProbe, type Probe, ProbeError, type ProbeTarget } from "../../src/backends/HealthProbe.ts"
import { clientFromText } from "../../src/domain/Client.ts"
import { encodeV1 } from "../../src/domain/ProxyProtocolV1.ts"
import { localHeader } from "../../src/domain/ProxyProtocolV2.ts"
import { codeOf, dialError } from "../../src/traffic/errno.ts"
import type { ProxyOut } from "../../src/traffic/ProxyHeaderOut.ts"
import { formatEndpoint } from "../../src/traffic/Transport.ts"
import { MAX_STATUS_LINE, statusOf } from "./statusLine.ts"

const reasons = {
  Refused: "refused",
  Timeout: "timeout",
  Reset: "reset",
  Unreachable: "unreachable"
} as const

const failedBy = (code: string): ProbeError => {
  const { reason, source } = dialError(code)
  const known = source === "backend" && reason in reasons
  // The cast is what `in` has found out.
  return new ProbeError({ reason: known ? reasons[reason as keyof typeof reasons] : "local", detail: code })
}

const requestOf = (target: ProbeTarget, path: string): string =>
  [
    `GET ${path} HTTP/1.1`,
    `Host: ${formatEndpoint(target)}`,
    "User-Agent: edgeproxy-health",
    "Accept: */*",
    "Connection: close",
    "\r\n"
  ].join("\r\n")

const statusError = (status: number | "malformed", expected: number): ProbeError =>
  status === "malformed"
    ? new ProbeError({ reason: "malformed", detail: "the answer is not HTTP/1" })
    : new ProbeError({ reason: "status", detail: `${status} instead of ${expected}` })

/** How a check introduces itself to backends that expect a PROXY header: as the proxy's own connection. */
const introductionOf = (socket: net.Socket, version: ProxyOut): Uint8Array | undefined => {
  if (version === "off") return undefined
  if (version === "v2") return localHeader
  // Receivers may refuse UNKNOWN, so that its own addresses are recommended (2.1 of the protocol's specification).
  const source = clientFromText(socket.localAddress ?? "")
  const destination = clientFromText(socket.remoteAddress ?? "")
  if (source === undefined || destination === undefined) return undefined
  return encodeV1({
    source: { ip: source.ip, port: socket.localPort ?? 0 },
    destination: { ip: destination.ip, port: socket.remotePort ?? 0 }
  })
}

/**
 * One check on a socket of its own. A check that has connected and said nothing ends with RST, which leaves no TIME_WAIT
 * behind on either side; one that has its status, or has said for whom it comes, ends as the kernel sees fit: FIN, or RST when more was sent than read.
 */
export const probe = (
  target: ProbeTarget,
  what: Probe,
  timeoutMs: number,
  proxyOut: ProxyOut = "off"
): Effect.Effect<number, ProbeError> =>
  Effect.callback((resume) => {
    const startedAt = performance.now()
    let text = ""
    const socket = net.connect({
      host: target.address,
      port: target.port,
      noDelay: true,
      autoSelectFamily: false
    })

    const close = (): void => {
      clearTimeout(deadline)
      socket.removeAllListeners()
      // What still fails on the way out is nobody's concern.
      socket.on("error", () => undefined)
      if (what.kind === "tcp" && !socket.connecting && socket.bytesWritten === 0) socket.resetAndDestroy()
      else socket.destroy()
    }
    const fail = (error: ProbeError): void => {
      close()
      resume(Effect.fail(error))
    }
    const pass = (): void => {
      const tookMs = performance.now() - startedAt
      close()
      resume(Effect.succeed(tookMs))
    }
    const deadline = setTimeout(
      () => fail(new ProbeError({ reason: "timeout", detail: `no answer within ${timeoutMs} ms` })),
      timeoutMs
    )

    socket.on("error", (error) => fail(failedBy(codeOf(error))))
    socket.on("connect", () => {
      const introduction = introductionOf(socket, proxyOut)
      if (introduction !== undefined) socket.write(introduction)
      if (what.kind === "tcp") return pass()
      socket.write(requestOf(target, what.path))
    })
    if (what.kind === "http") {
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1", 0, MAX_STATUS_LINE)
        const status = statusOf(text)
        if (status === what.expectedStatus) pass()
        else if (status !== "incomplete") fail(statusError(status, what.expectedStatus))
      })
      socket.on("end", () => fail(new ProbeError({ reason: "closed", detail: "it ended without a status line" })))
    }
    return Effect.sync(close)
  })

/** Checks with real sockets. */
export const layer = (proxyOut: ProxyOut = "off"): Layer.Layer<HealthProbe> =>
  Layer.succeed(HealthProbe, { probe: (target, what, timeoutMs) => probe(target, what, timeoutMs, proxyOut) })
