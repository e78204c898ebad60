import { closeSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import * as Effect from "effect/Effect"
import { SocketAddress } from "node:net"
import type { SocketKind } from "../../src/traffic/PassedSockets.ts"
import type { Endpoint } from "../../src/traffic/Transport.ts"

/** A TCP socket of this process that listens, or a UDP socket beside it on the same port. */
export interface ListeningSocket {
  readonly fd: number
  readonly address: Endpoint
  /** TCP when not given. */
  readonly kind?: SocketKind
}

/** In the kernel's tables; that of UDP sockets which are connected to nobody is TCP_CLOSE. */
const STATES: Readonly<Record<SocketKind, string>> = { tcp: "0A", udp: "07" }
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

type Found = Pick<ListeningSocket, "address" | "kind">

const readTable = (kind: SocketKind, family: "" | "6"): ReadonlyArray<readonly [inode: string, found: Found]> => {
  let text: string
  try {
    text = readFileSync(`/proc/self/net/${kind}${family}`, "utf8")
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
      const found = { address: { address: address ?? "", port: Number.parseInt(port, 16) }, kind }
      return state === STATES[kind] && address !== undefined ? [[inode, found] as const] : []
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
  const kinds = ["tcp", "udp"] as const
  const byInode = new Map(kinds.flatMap((kind) => [...readTable(kind, ""), ...readTable(kind, "6")]))
  const fds = among ?? openFds()
  const seen = new Set<string>()
  const sockets = fds.flatMap((fd) => {
    const inode = inodeOf(fd)
    const found = inode === undefined || seen.has(inode) ? undefined : byInode.get(inode)
    // A descriptor beside another of the same socket.
    if (inode !== undefined) seen.add(inode)
    return found === undefined ? [] : [{ fd, ...found }]
  })
  // Others of UDP are somebody's questions, which nobody else waits for an answer to.
  const ports = new Set(sockets.flatMap(({ address, kind }) => (kind === "tcp" ? [address.port] : [])))
  return sockets.filter(({ address, kind }) => kind === "tcp" || ports.has(address.port))
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
  readonly take: (address: Endpoint, kind?: SocketKind) => number | undefined
  readonly copier: Effect.Effect<(fd: number) => number | undefined>
  /** Closes those that nobody has asked for, and gives their addresses. */
  readonly closeRest: () => ReadonlyArray<Endpoint>
}

/** Only where it is wanted, and where the C library can be called. */
const loadCopier = Effect.tryPromise(() => import("./copyFd.ts")).pipe(
  Effect.map(({ copyFd }) => copyFd),
  Effect.orElseSucceed(() => (): undefined => undefined)
)

export const passed = (sockets: ReadonlyArray<ListeningSocket>): PassedSockets => {
  let left = sockets
  return {
    take: ({ address, port }, wanted = "tcp") => {
      const text = canonical(address)
      const found = left.find(
        ({ address, kind = "tcp" }) => kind === wanted && address.port === port && address.address === text
      )
      left = left.filter((socket) => socket !== found)
      return found?.fd
    },
    copier: loadCopier,
    closeRest: () => {
      const rest = left
      left = []
      for (const { fd } of rest) closeSync(fd)
      return rest.map(({ address }) => address)
    }
  }
}
