import koffi from "koffi"
import { existsSync, fstatSync, readdirSync, readlinkSync } from "node:fs"

/** A TCP socket of this process as the kernel sees it. */
export interface KernelSocket {
  /** Bytes that have come and that no program has read. */
  readonly unread: number
  /** Bytes that were written and that the peer has not acknowledged. */
  readonly unacknowledged: number
  readonly inode: number
  /** Neither side has finished, as far as the kernel has heard. */
  readonly established: boolean
}

const library = koffi.load(null)
const getsockname = library.func("int getsockname(int, void *, void *)")
const getpeername = library.func("int getpeername(int, void *, void *)")
const getsockopt = library.func("int getsockopt(int, int, int, void *, void *)")
const ioctl = library.func("int ioctl(int, unsigned long, void *)")

/** Linux's numbers (tcp(7)). */
const SIOCINQ = 0x541b
const SIOCOUTQ = 0x5411
const IPPROTO_TCP = 6
const TCP_INFO = 11
const TCP_ESTABLISHED = 1

const FDS = "/proc/self/fd"

export const hasProc = existsSync(FDS)

const sockaddr = Buffer.alloc(128)
const length = Buffer.alloc(4)

/** 0 for what is no socket, or has no peer (any more). The port's place is the same for IPv4 and IPv6. */
const portOf = (call: typeof getsockname, fd: number): number => {
  length.writeInt32LE(sockaddr.length)
  return call(fd, sockaddr, length) < 0 ? 0 : sockaddr.readUInt16BE(2)
}

const count = (fd: number, request: number): number => {
  const value = Buffer.alloc(4)
  return ioctl(fd, request, value) < 0 ? 0 : value.readInt32LE()
}

/** The first byte of `struct tcp_info` is the state. */
const isEstablished = (fd: number): boolean => {
  const state = Buffer.alloc(8)
  length.writeInt32LE(1)
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, state, length) === 0 && state[0] === TCP_ESTABLISHED
}

/**
 * The connected socket between two ports, whatever the addresses: ephemeral ports of one test are no other's. Undefined when
 * this process has none, or when it was reset. The tables of all the machine's sockets would say as much, but tens of
 * thousands that wait for their time to pass make them slow to read.
 */
export const socketAt = (localPort: number, remotePort: number): KernelSocket | undefined => {
  if (!hasProc) return undefined
  for (const name of readdirSync(FDS)) {
    const fd = Number(name)
    if (portOf(getsockname, fd) !== localPort || portOf(getpeername, fd) !== remotePort) continue
    return {
      unread: count(fd, SIOCINQ),
      unacknowledged: count(fd, SIOCOUTQ),
      inode: fstatSync(fd).ino,
      established: isEstablished(fd)
    }
  }
  return undefined
}

/** The descriptor by which this process has the socket with that inode. */
export const fdOf = (inode: number): number | undefined => {
  for (const fd of readdirSync(FDS)) {
    try {
      if (readlinkSync(`${FDS}/${fd}`) === `socket:[${inode}]`) return Number(fd)
    } catch {
      // Closed between the two calls: the directory's own, for one.
    }
  }
  return undefined
}
