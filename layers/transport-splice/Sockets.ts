import type { EpollEvents } from "./EpollEvents.ts"
import { allocate, close, connect, epollCtl, errno, getsockname, recv, socket } from "./libc.ts"
import * as linux from "./linux.ts"
import { resetOnClose, setNoDelay } from "./options.ts"
import { FINISHED, READABLE, type Slots } from "./Slots.ts"
import { fromSockaddr, SOCKADDR_BYTES, toSockaddr } from "./sockaddr.ts"
import { header } from "./ThreadMemory.ts"

/** The sockets of connections, from their entry in the ledger to their end. */
export interface Sockets {
  /** -1 for none. */
  readonly fdOf: (side: number) => number
  /** Dials, to an address in words of a message; the kernel tells what comes of it. 0, or why it can't be done. */
  readonly dial: (side: number, words: Int32Array, address: number) => number
  /** Has the kernel tell of all that happens to it; 0, or why it does not. */
  readonly watch: (side: number) => number
  /** Writes its own address into the words of a message; leaves them when it has none any more. */
  readonly readLocal: (side: number, words: Int32Array, at: number) => void
  readonly close: (side: number, rst: boolean) => void
  /** For the census. */
  readonly count: (connections: number, sockets: number) => void
}

/** Reads of 64 kB each. */
const DISCARDS = 16
const WATCHED = linux.EPOLLIN | linux.EPOLLPRI | linux.EPOLLOUT | linux.EPOLLRDHUP | linux.EPOLLET
const SOCKET_TYPE = linux.SOCK_STREAM | linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC

/** `buffer` may be overwritten at any time. */
export const make = (
  slots: Slots,
  epollFd: number,
  event: EpollEvents,
  buffer: { readonly bytes: Uint8Array; readonly address: number }
): Sockets => {
  const { fds, flags, generation } = slots
  const sockaddr = allocate(SOCKADDR_BYTES)
  const addressLength = allocate(8)

  const fdOf = (side: number): number => (fds[side] ?? 0) - 1

  const count = (connections: number, sockets: number): void => {
    slots.header[header.connections] = (slots.header[header.connections] ?? 0) + connections
    slots.header[header.sockets] = (slots.header[header.sockets] ?? 0) + sockets
  }

  /** Unread bytes would turn an orderly close into a reset. Who sends without end is reset all the same. */
  const discardUnread = (fd: number): void => {
    for (let i = 0; i < DISCARDS; i++) {
      if (recv(fd, buffer.address, buffer.bytes.length, 0) <= 0) return
    }
  }

  const watch = (side: number): number => {
    event.set(WATCHED, side, generation[side >> 1] ?? 0)
    return epollCtl(epollFd, linux.EPOLL_CTL_ADD, fdOf(side), event.memory.address) < 0 ? errno() : 0
  }

  return {
    fdOf,
    count,
    dial: (side, words, address) => {
      // Straight into the ledger: a thread that is killed right after must not lose it.
      fds[side] = socket((words[address] ?? 0) & 0xffff, SOCKET_TYPE, 0) + 1
      if (fds[side] === 0) return errno()
      count(0, 1)
      setNoDelay(fdOf(side))
      const length = toSockaddr(words, address, sockaddr.words)
      if (connect(fdOf(side), sockaddr.address, length) < 0) {
        const why = errno()
        if (why !== linux.EINPROGRESS && why !== linux.EINTR) return why
      }
      return watch(side)
    },
    watch,
    readLocal: (side, words, at) => {
      addressLength.words[0] = SOCKADDR_BYTES
      if (getsockname(fdOf(side), sockaddr.address, addressLength.address) === 0)
        fromSockaddr(sockaddr.words, words, at)
    },
    close: (side, rst) => {
      const fd = fdOf(side)
      if (fd < 0) return
      if (rst) resetOnClose(fd)
      else if (((flags[side] ?? 0) & (READABLE | FINISHED)) === READABLE) discardUnread(fd)
      // Out of the ledger first: a descriptor that is closed twice is somebody else's the second time.
      fds[side] = 0
      close(fd)
      count(0, -1)
    }
  }
}
