import { constants } from "node:os"

/**
 * Numbers of the Linux kernel's interface, from its uapi headers. Those that `node:os` knows come from there; the rest are
 * the same on x86-64 and arm64, the two that are supported.
 */
export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10

export const SOCK_STREAM = 1
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000

export const SOL_SOCKET = 1
export const SO_REUSEADDR = 2
export const SO_ERROR = 4
export const SO_KEEPALIVE = 9
export const SO_LINGER = 13
export const SO_REUSEPORT = 15

export const IPPROTO_TCP = 6
export const TCP_NODELAY = 1
export const TCP_KEEPIDLE = 4
export const TCP_KEEPINTVL = 5
export const TCP_KEEPCNT = 6
export const TCP_DEFER_ACCEPT = 9
export const TCP_INFO = 11
export const TCP_USER_TIMEOUT = 18
export const TCP_FASTOPEN = 23

export const IPPROTO_IPV6 = 41
export const IPV6_V6ONLY = 26

export const MSG_PEEK = 0x2
export const MSG_NOSIGNAL = 0x4000

/** State of a connection that neither side has ended, the first byte of `struct tcp_info`. */
export const TCP_ESTABLISHED = 1

export const SHUT_WR = 1

export const EPOLLIN = 0x001
/** Urgent data. */
export const EPOLLPRI = 0x002
export const EPOLLOUT = 0x004
export const EPOLLERR = 0x008
export const EPOLLHUP = 0x010
export const EPOLLRDHUP = 0x2000
/** One waiting thread is woken for a connection, not all (since Linux 4.5). */
export const EPOLLEXCLUSIVE = 1 << 28
/** Edge-triggered. */
export const EPOLLET = 1 << 31

export const EPOLL_CTL_ADD = 1
export const EPOLL_CTL_DEL = 2
export const EPOLL_CLOEXEC = 0o2000000

export const EFD_NONBLOCK = 0o4000
export const EFD_CLOEXEC = 0o2000000

export const O_NONBLOCK = 0o4000
export const O_CLOEXEC = 0o2000000

export const F_SETFD = 2
export const FD_CLOEXEC = 1
export const F_GETFL = 3
export const F_SETFL = 4
export const F_SETPIPE_SZ = 1031
export const F_GETPIPE_SZ = 1032

export const SPLICE_F_MOVE = 1
export const SPLICE_F_NONBLOCK = 2

/** Bytes written to a socket that its peer has not acknowledged. */
export const SIOCOUTQ = 0x5411
/** Bytes that have come to a socket and were not read. */
export const SIOCINQ = 0x541b

const { errno } = constants

export const EINTR = errno.EINTR
export const EIO = 5
export const EINVAL = errno.EINVAL
export const ENOMEM = errno.ENOMEM
export const EAGAIN = errno.EAGAIN
export const EINPROGRESS = errno.EINPROGRESS
export const ETIMEDOUT = errno.ETIMEDOUT
export const EMSGSIZE = errno.EMSGSIZE
export const ECONNABORTED = errno.ECONNABORTED
export const EPROTO = errno.EPROTO
export const ECONNRESET = errno.ECONNRESET
export const EPIPE = errno.EPIPE
export const ENETDOWN = errno.ENETDOWN
export const ENETUNREACH = errno.ENETUNREACH
export const EHOSTUNREACH = errno.EHOSTUNREACH

const names = new Map<number, string>(Object.entries(errno).map(([name, value]) => [value, name]))

/** `ECONNREFUSED` for 111. EWOULDBLOCK is EAGAIN by another name. */
export const errnoName = (value: number): string => (value === EAGAIN ? "EAGAIN" : (names.get(value) ?? `E${value}`))
