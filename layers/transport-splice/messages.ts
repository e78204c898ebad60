import { causes, phases, terminators, type Termination } from "../../src/domain/Termination.ts"
import type { AbortHow } from "../../src/traffic/Transport.ts"
import { ADDRESS_WORDS } from "./sockaddr.ts"

/**
 * What the control side and a data-plane thread tell each other. The numbers below are places of words in a message; where a
 * name ends in `F64`, of 64-bit floats, counted in words. Every message about a connection begins with its slot and generation.
 */
export const SLOT = 0
export const GENERATION = 1

/** From the thread: a client was accepted. */
export const ACCEPTED = 1
export const accepted = {
  listener: 2,
  address: 3,
  /** The address the client has come to; its first word is 0 when nobody wants to know. */
  local: 3 + ADDRESS_WORDS,
  words: 3 + 2 * ADDRESS_WORDS
} as const

/** From the thread: a connection is over; the slot is used again once this has been read. */
export const ENDED = 2
export const ended = { why: 2, errno: 3, bytesInF64: 4, bytesOutF64: 6, firstByteUsF64: 8, words: 10 } as const

/** From the thread: a dial has succeeded and bytes flow. */
export const BRIDGED = 3
export const bridged = { dial: 2, connectUs: 3, words: 4 } as const

/** From the thread: a dial has failed, the client waits for another. The errno is 0 when it was not to be dialled for. */
export const DIAL_FAILED = 4
export const dialFailed = { dial: 2, errno: 3, words: 4 } as const

/** From the thread: the backend has reset before a byte went either way. */
export const UNBRIDGED = 5
export const unbridged = { dial: 2, errno: 3, words: 4 } as const

/** From the thread: the answer to PREREAD. */
export const PREREAD_DONE = 6
export const prereadDone = { verdict: 2, length: 3, number: 4, bytes: 6 } as const
export const PREREAD_ENOUGH = 0
export const PREREAD_TOO_LONG = 1
export const PREREAD_MALFORMED = 2

/** From the thread: the kernel could not hand a client over. */
export const ACCEPT_FAILED = 7
export const acceptFailed = { listener: 0, errno: 1, words: 2 } as const

/** From the thread: it has taken what waited, and does not know the listener any more. */
export const LISTENER_CLOSED = 8

/** From the thread: a connection was opened ahead; its descriptor is in the ledger from now on. */
export const WARM_OPEN = 9
export const warmOpen = { slot: 0, generation: 1, number: 2, connectUs: 3, words: 4 } as const

/** From the thread: the dial of one has failed, or it has ended; the errno is 0 when the backend has closed it. */
export const WARM_LOST = 10
export const warmLost = { slot: 0, generation: 1, number: 2, errno: 3, words: 4 } as const

/**
 * What the control side may hear of a little later, with something else: waking it for each costs more than the rest of a
 * short connection.
 */
export const canWait: ReadonlySet<number> = new Set([BRIDGED, ENDED])

/** To the thread: accept from this file descriptor, which stays the control side's. */
export const LISTEN = 1
export const listen = { listener: 0, fd: 1, prerouteMs: 2, tellLocal: 3, words: 4 } as const

/** To the thread; all three have the listener as their only word. */
export const CLOSE_LISTENER = 2
export const PAUSE = 3
export const RESUME = 4

/** To the thread: dial and relay. */
export const BRIDGE = 5
export const bridge = {
  dial: 2,
  connectMs: 3,
  address: 4,
  keepaliveMs: 4 + ADDRESS_WORDS,
  preludeLength: 5 + ADDRESS_WORDS,
  /** Descriptor of a connection opened ahead, plus one: the thread's from now on. Or 0: dial. */
  warmFd: 6 + ADDRESS_WORDS,
  /** idle, FIN, stall, age */
  limitsF64: 8 + ADDRESS_WORDS,
  prelude: 16 + ADDRESS_WORDS
} as const

/** Stands for an errno: the connection that was opened ahead is dead. */
export const WARM_GONE = -1

/** To the thread: give a dial up. */
export const CANCEL = 6
export const cancel = { dial: 2, words: 3 } as const

/** To the thread: end a connection. */
export const ABORT = 7
export const abort = { how: 2, why: 3, words: 4 } as const
/** By number. */
export const hows: ReadonlyArray<AbortHow> = ["fin", "rst", "name-alert"]

export const PREREAD = 8
export const preread = { question: 2, max: 3, number: 4, words: 5 } as const

export const CONSUME = 9
export const consume = { bytes: 2, words: 3 } as const

/** To the thread: open a connection ahead. It is named by a number until it has a client. */
export const WARM = 10
export const warm = {
  number: 0,
  connectMs: 1,
  keepaliveMs: 2,
  address: 3,
  words: 3 + ADDRESS_WORDS
} as const

/** To the thread, with the number as its only word: one that was opened ahead is not wanted any more, or taken. */
export const DISCARD = 11

/** A termination as one word. */
export const packWhy = ({ by, cause, phase }: Termination): number =>
  terminators.indexOf(by) | (phases.indexOf(phase) << 8) | (causes.indexOf(cause) << 16)

export const unpackWhy = (why: number): Termination => ({
  by: terminators[why & 255] ?? "proxy",
  phase: phases[(why >>> 8) & 255] ?? "relay",
  cause: causes[why >>> 16] ?? "internal"
})
