import { allocate, bind, close, errno, socket } from "./libc.ts"
import * as linux from "./linux.ts"
import { setOption } from "./options.ts"
import { type AddressWords, SOCKADDR_BYTES, toSockaddr } from "./sockaddr.ts"

interface Options {
  readonly ipv6Only?: boolean
  /** Others may be bound to the same address. */
  readonly reusePort?: boolean
}

const sockaddr = allocate(SOCKADDR_BYTES)

/** A TCP socket that is bound to an address and does not listen yet; or why there is none, as a negative errno. */
export const boundSocket = (words: AddressWords, { ipv6Only = false, reusePort = false }: Options = {}): number => {
  const family = (words[0] ?? 0) & 0xffff
  const fd = socket(family, linux.SOCK_STREAM | linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC, 0)
  if (fd < 0) return -errno()
  setOption(fd, linux.SOL_SOCKET, linux.SO_REUSEADDR, 1)
  if (reusePort) setOption(fd, linux.SOL_SOCKET, linux.SO_REUSEPORT, 1)
  if (family === linux.AF_INET6) setOption(fd, linux.IPPROTO_IPV6, linux.IPV6_V6ONLY, ipv6Only ? 1 : 0)
  if (bind(fd, sockaddr.address, toSockaddr(words, 0, sockaddr.words)) === 0) return fd
  const code = errno()
  close(fd)
  return -code
}
