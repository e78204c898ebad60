import * as Effect from "effect/Effect"
import { listenError } from "../../src/traffic/errno.ts"
import { type Endpoint, type ListenError, type ListenOptions, noExtras } from "../../src/traffic/Transport.ts"
import { fromEndpoint, toEndpoint } from "./addresses.ts"
import { boundSocket } from "./boundSocket.ts"
import { allocate, close, errno, fcntl, getsockname, interfaceIndex, listen } from "./libc.ts"
import * as linux from "./linux.ts"
import { setKeepalive, setNoDelay, setOption } from "./options.ts"
import { ADDRESS_WORDS, fromSockaddr, SOCKADDR_BYTES } from "./sockaddr.ts"

export interface ListenSocket {
  readonly fd: number
  /** As bound. */
  readonly address: Endpoint
}

const sockaddr = allocate(SOCKADDR_BYTES)
const length = allocate(8)

/**
 * Opens a listening socket, or takes one that listens already; whoever gets it closes it. Connections accepted from it have
 * its TCP options.
 */
export const listenSocket = (options: ListenOptions, open?: number): Effect.Effect<ListenSocket, ListenError> =>
  Effect.suspend(() => {
    const { address, extras = noExtras } = options
    const failed = (code: string) => Effect.fail(listenError(address, code))
    const words = fromEndpoint(address, interfaceIndex)
    if (words === undefined) return failed("EINVAL")
    const fd = open ?? boundSocket(words, { ipv6Only: options.ipv6Only ?? false, reusePort: extras.reusePort })
    if (fd < 0) return failed(linux.errnoName(-fd))
    if (open !== undefined) {
      fcntl(fd, linux.F_SETFD, linux.FD_CLOEXEC)
      fcntl(fd, linux.F_SETFL, fcntl(fd, linux.F_GETFL, 0) | linux.O_NONBLOCK)
    }
    setNoDelay(fd)
    setKeepalive(fd, options.keepaliveMs)
    if (extras.deferAcceptMs > 0) {
      // The kernel counts in seconds.
      setOption(fd, linux.IPPROTO_TCP, linux.TCP_DEFER_ACCEPT, Math.ceil(extras.deferAcceptMs / 1_000))
    }
    if (extras.fastOpen > 0) setOption(fd, linux.IPPROTO_TCP, linux.TCP_FASTOPEN, extras.fastOpen)
    // Once more on one that listens already: its backlog may be another.
    if (listen(fd, options.backlog) < 0) {
      const code = linux.errnoName(errno())
      close(fd)
      return failed(code)
    }
    length.words[0] = SOCKADDR_BYTES
    getsockname(fd, sockaddr.address, length.address)
    const name = new Int32Array(ADDRESS_WORDS)
    fromSockaddr(sockaddr.words, name, 0)
    const { port } = toEndpoint(name, 0)
    return Effect.succeed({ fd, address: { address: address.address, port } })
  })
