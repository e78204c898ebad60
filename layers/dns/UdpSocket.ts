import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as dgram from "node:dgram"
import type { DnsCounters } from "../../src/dns/DnsCounters.ts"
import type { Responder } from "../../src/dns/Responder.ts"
import { codeOf, listenError } from "../../src/traffic/errno.ts"
import { PassedSockets } from "../../src/traffic/PassedSockets.ts"
import type { Endpoint, ListenError } from "../../src/traffic/Transport.ts"

export interface UdpOptions {
  readonly address: Endpoint
  readonly answer: Responder
  readonly counters: DnsCounters["Service"]
  /** The socket has failed. */
  readonly onLost: (code: string) => void
}

/** Answers that may wait for the kernel; it takes them at once unless the network card does not. */
const MAX_WAITING = 1_024

/** A burst of some thousand questions; the kernel may give less. */
const RECEIVE_BYTES = 2_097_152

/**
 * One UDP socket. libuv reads 32 messages at most before it looks at other sockets, so that a flood of questions delays
 * connections by well under a millisecond.
 */
export const open = Effect.fnUntraced(function* ({
  address,
  answer,
  counters,
  onLost
}: UdpOptions): Effect.fn.Return<Endpoint, ListenError, Scope.Scope> {
  const fd = (yield* PassedSockets).take(address, "udp")
  const socket = dgram.createSocket({
    type: address.address.includes(":") ? "udp6" : "udp4",
    ipv6Only: address.address.includes(":"),
    // Peers are addresses already; the default would have each of them wait for another turn.
    lookup: (host, _, callback) => callback(null, host, host.includes(":") ? 6 : 4)
  })
  socket.on("message", (message, { address, port }) => {
    if (port === 0) return
    const answered = answer(message, address, "udp")
    if (answered === undefined) return
    if (socket.getSendQueueCount() >= MAX_WAITING) counters.dropped.busy++
    else socket.send(answered, port, address, ignoreFailure)
  })
  const bind = Effect.callback<Endpoint, ListenError>((resume) => {
    const onError = (error: Error): void => resume(Effect.fail(listenError(address, codeOf(error))))
    socket.once("error", onError)
    const where = fd === undefined ? { address: address.address, port: address.port } : { fd }
    socket.bind({ ...where, exclusive: true }, () => {
      socket.off("error", onError)
      socket.on("error", (error) => onLost(codeOf(error)))
      socket.setRecvBufferSize(RECEIVE_BYTES)
      const bound = socket.address()
      resume(Effect.succeed({ address: bound.address, port: bound.port }))
    })
  })
  const close = Effect.callback<void>((resume) => {
    socket.removeAllListeners("error")
    socket.on("error", () => undefined)
    try {
      socket.close(() => resume(Effect.void))
    } catch {
      // It is closed already, or was never bound.
      resume(Effect.void)
    }
  })
  return yield* Effect.acquireRelease(
    Effect.tapError(bind, () => close),
    () => close
  )
})

/** An answer that can't be sent is lost like one on the way. */
const ignoreFailure = (): void => undefined
