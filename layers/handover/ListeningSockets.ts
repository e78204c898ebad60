import { closeSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { SocketAddress } from "node:net"
import type { Endpoint } from "../../src/traffic/Transport.ts"

/** A TCP socket of this process that listens. */
export interface ListeningSocket {
  readonly fd: number
  readonly address: Endpoint
}

const LISTEN = "0A"
const SOCKET = /^socket:\[(\d+)\]$/

/** `0100007F` is 127.0.0.1: the kernel prints the words of an address as the machine has them (proc_net_tcp.txt). */
const addressOf = (hex: string): string | undefined => {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => Array.from(Buffer.from(word, "hex")).toReversed())
  if (bytes.length === 4) return bytes.join(".")
  if (bytes.length !== 16) return undefined
  return canonical(
    bytes.map((byte, at) => byte.toString(16).padStart(2, "0") + (at % 2 === 1 && at < 15 ? ":" : "")).join("")
  )
}

const canonical = (address: string): string =>
  address.includes(":") ? new SocketAddress({ address, family: "ipv6" }).address : address

const readTable = (path: string): ReadonlyArray<readonly [inode: string, address: Endpoint]> => {
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch {
    // No IPv6 here, or no Linux.
    return []
  }
  return text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/)
      const [hex = "", port = ""] = local.split(":")
      const address = addressOf(hex)
      return state === LISTEN && address !== undefined
        ? [[inode, { address, port: Number.parseInt(port, 16) }] as const]
        : []
    })
}

const inodeOf = (fd: number): string | undefined => {
  try {
    return SOCKET.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1]
  } catch {
    // Closed meanwhile: the one that listed the directory, for one.
    return undefined
  }
}

/** Those among the given descriptors, or among all of this process. Linux only; elsewhere there are none. */
export const listeningSockets = (among?: ReadonlyArray<number>): ReadonlyArray<ListeningSocket> => {
  const byInode = new Map([...readTable("/proc/self/net/tcp"), ...readTable("/proc/self/net/tcp6")])
  const fds = among ?? openFds()
  return fds.flatMap((fd) => {
    const inode = inodeOf(fd)
    const address = inode === undefined ? undefined : byInode.get(inode)
    return address === undefined ? [] : [{ fd, address }]
  })
}

const openFds = (): ReadonlyArray<number> => {
  try {
    return readdirSync("/proc/self/fd").map(Number)
  } catch {
    return []
  }
}

/** Sockets that were passed on to this process, until somebody listens on them. */
export interface PassedSockets {
  /** The descriptor of one that is bound there; whoever gets it closes it. Undefined: none is left. */
  readonly take: (address: Endpoint) => number | undefined
  /** Closes those that nobody has asked for, and gives their addresses. */
  readonly closeRest: () => ReadonlyArray<Endpoint>
}

export const passed = (sockets: ReadonlyArray<ListeningSocket>): PassedSockets => {
  let left = sockets
  return {
    take: ({ address, port }) => {
      const text = canonical(address)
      const found = left.find((socket) => socket.address.port === port && socket.address.address === text)
      left = left.filter((socket) => socket !== found)
      return found?.fd
    },
    closeRest: () => {
      const rest = left
      left = []
      for (const { fd } of rest) closeSync(fd)
      return rest.map(({ address }) => address)
    }
  }
}
