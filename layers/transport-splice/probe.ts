import { endianness } from "node:os"
import * as libc from "./libc.ts"
import * as linux from "./linux.ts"

class Missing extends Error {}

const must = (call: string, result: number): number => {
  if (result < 0) throw new Missing(`${call}: ${linux.errnoName(libc.errno())}`)
  return result
}

/**
 * Tries on real descriptors what the engine stands on: old kernels, sandboxes (seccomp) and emulations lack some of it.
 * Returns why it can't work, or undefined. Importing this module already fails where there is no C library to be called.
 */
export const probe = (): string | undefined => {
  if (process.platform !== "linux") return `no splice on ${process.platform}`
  if (process.arch !== "x64" && process.arch !== "arm64") return `processor ${process.arch} is not supported`
  if (endianness() !== "LE") return "big-endian processors are not supported"
  const open: Array<number> = []
  const pair = libc.allocate(8)
  const two = (): readonly [number, number] => {
    const ends = [pair.words[0] ?? -1, pair.words[1] ?? -1] as const
    open.push(...ends)
    return ends
  }
  try {
    must("pipe2", libc.pipe2(pair.address, linux.O_CLOEXEC | linux.O_NONBLOCK))
    const [pipeOut, pipeIn] = two()
    const type = linux.SOCK_STREAM | linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC
    must("socketpair", libc.socketpair(linux.AF_UNIX, type, 0, pair.address))
    const [near, far] = two()
    const event = libc.allocate(16)
    event.words[0] = 0x6567_6465
    must("send", libc.send(near, event.address, 4, linux.MSG_NOSIGNAL))
    const flags = linux.SPLICE_F_MOVE | linux.SPLICE_F_NONBLOCK
    must("splice from a socket", libc.splice(far, 0, pipeIn, 0, 4, flags))
    must("splice to a socket", libc.splice(pipeOut, 0, far, 0, 4, flags))
    event.words[0] = 0
    must("recv", libc.recv(near, event.address, 4, 0))
    if (event.words[0] !== 0x6567_6465) return "splice does not carry what it is given"
    open.push(must("eventfd", libc.eventfd(0, linux.EFD_NONBLOCK | linux.EFD_CLOEXEC)))
    const epoll = must("epoll_create1", libc.epollCreate1(linux.EPOLL_CLOEXEC))
    open.push(epoll)
    must("epoll_ctl", libc.epollCtl(epoll, linux.EPOLL_CTL_ADD, near, event.address))
    must("epoll_wait", libc.epollWait(epoll, event.address, 1, 0))
    return undefined
  } catch (error) {
    if (error instanceof Missing) return error.message
    throw error
  } finally {
    for (const fd of open) libc.close(fd)
  }
}
