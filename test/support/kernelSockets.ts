import { readFileSync, readdirSync, readlinkSync } from "node:fs"

/** A TCP socket of this machine as the kernel shows it in /proc/net/tcp and tcp6 (proc(5)). */
export interface KernelSocket {
  readonly state: string
  /** Bytes that have come and that no program has read. */
  readonly unread: number
  /** Bytes that were written and that the peer has not acknowledged. */
  readonly unacknowledged: number
  /** 0 when no program has it (any more), or not yet. */
  readonly inode: number
}

const states = ["", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE"].concat(
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING"
)

const tables = ["/proc/net/tcp", "/proc/net/tcp6"]

const lines = (table: string): ReadonlyArray<string> => {
  try {
    return readFileSync(table, "latin1").split("\n").slice(1)
  } catch {
    return []
  }
}

const hexPort = (port: number): string => port.toString(16).toUpperCase().padStart(4, "0")

/**
 * The socket between two ports, whatever the addresses: ephemeral ports of one test are no other's. Undefined when the
 * kernel has none (any more), or where there is no /proc.
 */
export const socketAt = (localPort: number, remotePort: number): KernelSocket | undefined => {
  const ports = new RegExp(`^ *\\d+: [0-9A-F]+:${hexPort(localPort)} [0-9A-F]+:${hexPort(remotePort)} `)
  for (const table of tables) {
    const line = lines(table).find((line) => ports.test(line))
    if (line === undefined) continue
    const [, , , state = "0", queues = "0:0", , , , , inode = "0"] = line.trim().split(/ +/)
    const [unacknowledged = "0", unread = "0"] = queues.split(":")
    return {
      state: states[Number.parseInt(state, 16)] ?? state,
      unread: Number.parseInt(unread, 16),
      unacknowledged: Number.parseInt(unacknowledged, 16),
      inode: Number(inode)
    }
  }
  return undefined
}

/** The descriptor by which this process has the socket with that inode. */
export const fdOf = (inode: number): number | undefined => {
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) === `socket:[${inode}]`) return Number(fd)
    } catch {
      // Closed between the two calls: the directory's own, for one.
    }
  }
  return undefined
}

export const hasProc = lines("/proc/net/tcp").length > 0
