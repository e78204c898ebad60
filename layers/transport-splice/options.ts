import { allocate, getsockopt, ioctl, setsockopt } from "./libc.ts"
import * as linux from "./linux.ts"

/** Socket options, one call each. Failures are left aside: no option here is worth a connection. */
const value = allocate(8)
const length = allocate(8)

export const setOption = (fd: number, level: number, name: number, number: number): number => {
  value.words[0] = number
  return setsockopt(fd, level, name, value.address, 4)
}

const PROBES = 5

/** No delay, keepalive and user timeout (C4, RFC 5482). Given to a listener, every connection accepted from it has them. */
export const setTcpOptions = (fd: number, keepaliveMs: number, userTimeoutMs: number): void => {
  setNoDelay(fd)
  setPatience(fd, keepaliveMs, userTimeoutMs)
}

export const setNoDelay = (fd: number): void => void setOption(fd, linux.IPPROTO_TCP, linux.TCP_NODELAY, 1)

/** How long a peer may be silent: what TCP_KEEPALIVE and TCP_USER_TIMEOUT stand for. */
export const setPatience = (fd: number, keepaliveMs: number, userTimeoutMs: number): void => {
  if (userTimeoutMs > 0) setOption(fd, linux.IPPROTO_TCP, linux.TCP_USER_TIMEOUT, Math.min(userTimeoutMs, 0x7fff_ffff))
  if (keepaliveMs <= 0) return
  // The kernel counts in seconds, up to 32,767.
  const seconds = Math.min(32_767, Math.max(1, Math.round(keepaliveMs / 1_000)))
  setOption(fd, linux.SOL_SOCKET, linux.SO_KEEPALIVE, 1)
  setOption(fd, linux.IPPROTO_TCP, linux.TCP_KEEPIDLE, seconds)
  setOption(fd, linux.IPPROTO_TCP, linux.TCP_KEEPINTVL, Math.max(1, Math.round(seconds / PROBES)))
  setOption(fd, linux.IPPROTO_TCP, linux.TCP_KEEPCNT, PROBES)
}

/** From now on `close` resets the connection. */
export const resetOnClose = (fd: number): void => {
  value.words[0] = 1
  value.words[1] = 0
  setsockopt(fd, linux.SOL_SOCKET, linux.SO_LINGER, value.address, 8)
}

/** Why a socket is broken; 0 when it is not. Asking clears it. */
export const pendingError = (fd: number): number => {
  length.words[0] = 4
  value.words[0] = 0
  getsockopt(fd, linux.SOL_SOCKET, linux.SO_ERROR, value.address, length.address)
  return value.words[0] ?? 0
}

/** Bytes that the peer has not acknowledged yet. */
export const unacknowledged = (fd: number): number => {
  value.words[0] = 0
  ioctl(fd, linux.SIOCOUTQ, value.address)
  return value.words[0] ?? 0
}
