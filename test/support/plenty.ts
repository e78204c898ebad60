import { readFileSync } from "node:fs"
import { seededBytes } from "./bytes.ts"

/** The longest that the kernel lets a buffer of a TCP socket grow by itself (tcp(7)); as Linux has it when it is not told. */
const longest = (name: "tcp_rmem" | "tcp_wmem"): number => {
  try {
    return Number(readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8").trim().split(/\s+/)[2])
  } catch {
    return 6_291_456
  }
}

const OF_PROGRAMS = 20_000_000
const SEEDED = 20_000_000

let made: Buffer | undefined

const make = (): Buffer => {
  const bytes = Buffer.alloc(2 * (longest("tcp_rmem") + longest("tcp_wmem")) + OF_PROGRAMS)
  bytes.fill(seededBytes(1, SEEDED))
  return bytes
}

/** More bytes than all buffers between two ends of a connection hold; made once, since that takes its time. */
export const plenty = (): Buffer => (made ??= make())
