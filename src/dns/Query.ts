import { type ClientSubnet, readSubnet } from "./ClientSubnet.ts"
import { HEADER_BYTES, MAX_LABEL_BYTES, MAX_NAME_BYTES, OPTION, RCODE, TYPE } from "./wire.ts"

/** What a question says beside the question (RFC 6891). */
export interface Edns {
  readonly version: number
  /** What the asker can take over UDP. */
  readonly payloadBytes: number
  readonly dnssecOk: boolean
  readonly subnet: ClientSubnet | undefined
  /** 8 bytes of the client, and what it has of the server, if anything (RFC 7873). */
  readonly cookie: Uint8Array | undefined
}

export interface Query {
  readonly id: number
  /** The second word of the header. */
  readonly flags: number
  /** In lower case, as Latin-1: a byte is a character, and a dot within a label stays within it. */
  readonly labels: ReadonlyArray<string>
  readonly type: number
  readonly class: number
  /** Where the question ends in the message. */
  readonly questionEnd: number
  readonly edns: Edns | undefined
}

/** What can't be answered as asked: with which code, and where its question ends if that could be read. */
export interface Refusal {
  readonly rcode: number
  readonly id: number
  readonly flags: number
  readonly questionEnd: number | undefined
  /** It brought an OPT record: then the answer has to have one (RFC 6891, 6.1.1). */
  readonly hasEdns: boolean
}

/** Records beside the question that are looked over; nobody has more than an OPT and a signature. */
const MAX_RECORDS = 4

const EDNS_VERSION = 0

const word = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)

/** Where the name that begins here ends; undefined when it can't be one. A pointer ends it, and is not followed. */
const skipName = (bytes: Uint8Array, start: number): number | undefined => {
  for (let at = start; at < bytes.length && at - start < MAX_NAME_BYTES;) {
    const length = bytes[at] ?? 0
    if (length === 0) return at + 1
    if (length >= 0xc0) return at + 2
    if (length > MAX_LABEL_BYTES) return undefined
    at += length + 1
  }
  return undefined
}

/** Puts the labels of the question's name in place; gives where it ends. Nothing stands before it that a pointer could mean. */
const readName = (bytes: Uint8Array, labels: Array<string>): number | undefined => {
  let at = HEADER_BYTES
  while (at < bytes.length && at - HEADER_BYTES < MAX_NAME_BYTES) {
    const length = bytes[at] ?? 0
    if (length === 0) return at + 1
    if (length > MAX_LABEL_BYTES || at + length >= bytes.length) return undefined
    let label = ""
    for (let i = at + 1; i <= at + length; i++) {
      const byte = bytes[i] ?? 0
      label += String.fromCharCode(byte >= 65 && byte <= 90 ? byte + 32 : byte)
    }
    labels.push(label)
    at += length + 1
  }
  return undefined
}

/** Reads the options of an OPT record; undefined for a format error. */
const readEdns = (
  bytes: Uint8Array,
  payloadBytes: number,
  ttl: readonly [number, number],
  from: number,
  to: number
): Edns | undefined => {
  let subnet: ClientSubnet | undefined
  let cookie: Uint8Array | undefined
  const known = { version: ttl[0] & 0xff, payloadBytes, dnssecOk: (ttl[1] & 0x8000) !== 0 }
  // What options look like in another version nobody knows.
  if (known.version !== EDNS_VERSION) return { ...known, subnet, cookie }
  for (let at = from; at < to;) {
    if (at + 4 > to) return undefined
    const code = word(bytes, at)
    const end = at + 4 + word(bytes, at + 2)
    if (end > to) return undefined
    const data = bytes.subarray(at + 4, end)
    if (code === OPTION.SUBNET) {
      if (subnet !== undefined) return undefined
      subnet = readSubnet(data)
      if (subnet === undefined) return undefined
    } else if (code === OPTION.COOKIE && cookie === undefined) {
      if (data.length !== 8 && (data.length < 16 || data.length > 40)) return undefined
      cookie = data
    }
    at = end
  }
  return { ...known, subnet, cookie }
}

/** Whether one of the first records behind the question, of whatever section, is an OPT; for what is not read further. */
const hasOpt = (bytes: Uint8Array, questionEnd: number): boolean => {
  let at = questionEnd
  const records = word(bytes, 6) + word(bytes, 8) + word(bytes, 10)
  for (let i = 0; i < Math.min(records, MAX_RECORDS); i++) {
    const end = skipName(bytes, at)
    if (end === undefined || end + 10 > bytes.length) return false
    if (word(bytes, end) === TYPE.OPT) return true
    at = end + 10 + word(bytes, end + 8)
  }
  return false
}

/**
 * Reads a message as what is sent to a server; undefined for what must not be answered at all: fragments of a header, and
 * answers, which two servers could send each other for ever.
 *
 * Written for just this, not taken from npm: `dns-packet` and its forks decode all of a message, records of every kind
 * included, into objects of their own before anybody can refuse it, throw on what is broken, know neither cookies nor the
 * rules of client subnets, and have had no release for long. Strangers choose these bytes, on the thread that also routes
 * connections: here nothing is followed, nothing grows with what a length field says, and every byte is looked at once.
 */
export const readQuery = (bytes: Uint8Array): Query | Refusal | undefined => {
  if (bytes.length < HEADER_BYTES) return undefined
  const id = word(bytes, 0)
  const flags = word(bytes, 2)
  if (flags & 0x8000) return undefined
  const labels: Array<string> = []
  const nameEnd = word(bytes, 4) === 1 ? readName(bytes, labels) : undefined
  const questionEnd = nameEnd === undefined || nameEnd + 4 > bytes.length ? undefined : nameEnd + 4
  const refuse = (rcode: number): Refusal => ({
    rcode,
    id,
    flags,
    questionEnd,
    hasEdns: questionEnd !== undefined && hasOpt(bytes, questionEnd)
  })
  if ((flags & 0x7800) !== 0) return refuse(RCODE.NOTIMP)
  if (nameEnd === undefined || questionEnd === undefined) return refuse(RCODE.FORMERR)
  const type = word(bytes, nameEnd)
  // The only questions that bring records of their own: the version that the asker has.
  if (type === TYPE.AXFR || type === TYPE.IXFR) return refuse(RCODE.REFUSED)
  const records = word(bytes, 10)
  if (word(bytes, 6) !== 0 || word(bytes, 8) !== 0 || records > MAX_RECORDS) return refuse(RCODE.FORMERR)

  let edns: Edns | undefined
  let at = questionEnd
  for (let i = 0; i < records; i++) {
    const end = skipName(bytes, at)
    if (end === undefined || end + 10 > bytes.length) return refuse(RCODE.FORMERR)
    const dataEnd = end + 10 + word(bytes, end + 8)
    if (dataEnd > bytes.length) return refuse(RCODE.FORMERR)
    if (word(bytes, end) === TYPE.OPT) {
      if (edns !== undefined || end !== at + 1) return refuse(RCODE.FORMERR)
      const ttl = [word(bytes, end + 4), word(bytes, end + 6)] as const
      edns = readEdns(bytes, word(bytes, end + 2), ttl, end + 10, dataEnd)
      if (edns === undefined) return refuse(RCODE.FORMERR)
    }
    at = dataEnd
  }
  if (at !== bytes.length) return refuse(RCODE.FORMERR)
  return { id, flags, labels, type, class: word(bytes, nameEnd + 2), questionEnd, edns }
}

/** An EDNS of which nothing is known (RFC 6891, 6.1.3). */
export const isForeignEdns = ({ edns }: Query): boolean => edns !== undefined && edns.version !== EDNS_VERSION
