import { allocate, getsockopt, ioctl, setsockopt } from "./libc.ts"
import * as linux from "./linux.ts"

/** Socket options, one call each; those of a listener are also those of every connection accepted from it (C4). Failures are left aside: no option here is worth a connection. */
const value = allocate(8)
const length = allocate(8)

export const setOption = (fd: number, level: number, name: number, number: number): number => {
  value.words[0] = number
  return setsockopt(fd, level, name, value.address, 4)
}

const PROBES = 5

export const setNoDelay = (fd: number): void => void setOption(fd, linux.IPPROTO_TCP, linux.TCP_NODELAY, 1)

/** A silent peer is probed after so long, and given up after twice as long; 0 is off. */
export const setKeepalive = (fd: number, keepaliveMs: number): void => {
  if (keepaliveMs <= 0) return
  // The kernel counts in seconds, up to 32,767.
  const seconds = Math.min(32_767, Math.max(1, Math.round(keepaliveMs / 1_000)))
  setOption(fd, linux.SOL_SOCKET, linux.SO_KEEPALIVE, 1)
  setOption(fd, linux.IPPROTO_TCP, linux.TCP_KEEPIDLE, seconds)
  setOption(fd, linux.IPPROTO_TCP, linux.TCP_KEEPINTVL, Math.max(1, Math.round(seconds / PROBES)))
  setOption(fd, linux.IPPROTO_TCP, linux.TCP_KEEPCNT, PROBES)
}

/** How long bytes may stay unacknowledged before the kernel gives the peer up (RFC 5482); 0 leaves it to the kernel. */
export const setUserTimeout = (fd: number, ms: number): void =>
  void setOption(fd, linux.IPPROTO_TCP, linux.TCP_USER_TIMEOUT, Math.min(ms, 0x7fff_ffff))

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

/** Neither side has ended the connection, whatever still waits to be read of it. */
export const isEstablished = (fd: number): boolean => {
  length.words[0] = 4
  value.words[0] = 0
  getsockopt(fd, linux.IPPROTO_TCP, linux.TCP_INFO, value.address, length.address)
  return value.bytes[0] === linux.TCP_ESTABLISHED
}

const bytesIn = (fd: number, queue: number): number => {
  value.words[0] = 0
  ioctl(fd, queue, value.address)
  return value.words[0] ?? 0
}

/** Bytes that the peer has not acknowledged yet. */
export const unacknowledged = (fd: number): number => bytesIn(fd, linux.SIOCOUTQ)

/** Bytes that have come from the peer and wait to be read. */
export const unread = (fd: number): number => bytesIn(fd, linux.SIOCINQ)
