import type { RecordData, ZoneRecord } from "./Answer.ts"
import type { ClientSubnet } from "./ClientSubnet.ts"
import type { Edns } from "./Query.ts"
import { CLASS_IN, HEADER_BYTES, MAX_NAME_BYTES, OPTION, TYPE, UDP_BYTES } from "./wire.ts"
import { NAME_SERVER } from "./Zone.ts"

export interface Soa {
  readonly serial: number
  /** How long a negative answer may be kept, in seconds (RFC 2308). */
  readonly negativeSecs: number
}

/** Room for the longest message: 8 services whose names are as long as names get, and their addresses. */
const ROOM = 16_384

const MAX_LABELS_BYTES = MAX_NAME_BYTES - 1

const typeOf = (data: RecordData): number => {
  switch (data._tag) {
    case "Address":
      return data.bytes.length === 4 ? TYPE.A : TYPE.AAAA
    case "Srv":
      return TYPE.SRV
    case "Ns":
      return TYPE.NS
    case "Soa":
      return TYPE.SOA
    case "Minimal":
      return TYPE.HINFO
  }
}

/** Who minds the zone: a mailbox, as every SOA has one. */
const MAILBOX: ReadonlyArray<string> = ["hostmaster"]

const lengthOf = (labels: ReadonlyArray<string>): number => labels.reduce((sum, { length }) => sum + length + 1, 0)

const ascii = (text: string): ReadonlyArray<number> => Array.from(text, (character) => character.charCodeAt(0))

/** CPU and OS of a HINFO, as RFC 8482 has them. */
const minimalData = [7, ...ascii("RFC8482"), 0]

/** Puts answers on the wire, one after the other in the same room. */
export class MessageWriter {
  private readonly bytes = new Uint8Array(ROOM)
  private readonly view = new DataView(this.bytes.buffer)
  private readonly zone: ReadonlyArray<string>
  private at = 0
  /** Where the zone's own name begins: within the question. */
  private zoneAt = 0

  /** The zone's labels, in lower case. */
  constructor(zone: ReadonlyArray<string>) {
    this.zone = zone
  }

  /** Begins with the question as it was asked, in its own case. */
  begin(message: Uint8Array, questionEnd: number | undefined): void {
    this.bytes.fill(0, 0, HEADER_BYTES)
    this.at = HEADER_BYTES
    if (questionEnd === undefined) return
    this.bytes.set(message.subarray(HEADER_BYTES, questionEnd), HEADER_BYTES)
    this.at = questionEnd
    this.view.setUint16(4, 1)
    // Behind the name: its final zero, type and class.
    this.zoneAt = questionEnd - 5 - lengthOf(this.zone)
  }

  header(id: number, flags: number): void {
    this.view.setUint16(0, id)
    this.view.setUint16(2, flags)
  }

  /** Where the next record would begin. */
  mark(): number {
    return this.at
  }

  /** Forgets all records from here on. */
  rewind(mark: number): void {
    this.at = mark
    for (const count of [6, 8, 10]) this.view.setUint16(count, 0)
  }

  answer(record: ZoneRecord, ttl: number, soa: Soa): boolean {
    return this.record(6, record, ttl, soa)
  }

  authority(ttl: number, soa: Soa): boolean {
    return this.record(8, { owner: [], data: { _tag: "Soa" } }, ttl, soa)
  }

  /** Only if the message does not reach beyond `end` then: what is not there can be asked for. */
  additional(record: ZoneRecord, ttl: number, soa: Soa, end: number): void {
    const mark = this.at
    if (!this.record(10, record, ttl, soa) || this.at <= end) return
    this.at = mark
    this.view.setUint16(10, this.view.getUint16(10) - 1)
  }

  /** False, and nothing is written, when one of its names would be too long. */
  private record(count: number, { data, owner }: ZoneRecord, ttl: number, soa: Soa): boolean {
    const longest = Math.max(owner === undefined ? 0 : lengthOf(owner), data._tag === "Srv" ? lengthOf(data.target) : 0)
    if (longest + lengthOf(this.zone) > MAX_LABELS_BYTES) return false
    if (owner === undefined) this.pointer(HEADER_BYTES)
    else this.name(owner)
    this.word(typeOf(data))
    this.word(CLASS_IN)
    this.long(ttl)
    const lengthAt = this.at
    this.at += 2
    this.data(data, soa)
    this.view.setUint16(lengthAt, this.at - lengthAt - 2)
    this.view.setUint16(count, this.view.getUint16(count) + 1)
    return true
  }

  private data(data: RecordData, { negativeSecs, serial }: Soa): void {
    switch (data._tag) {
      case "Address":
        this.bytes.set(data.bytes, this.at)
        this.at += data.bytes.length
        return
      case "Srv":
        this.word(data.priority)
        this.word(data.weight)
        this.word(data.port)
        // A target must not be compressed (RFC 2782).
        this.labels(data.target)
        this.labels(this.zone)
        this.byte(0)
        return
      case "Ns":
        return this.name(data.host)
      case "Soa":
        this.name(NAME_SERVER)
        this.name(MAILBOX)
        this.long(serial)
        // Of refresh, retry and expiry nobody makes use: the zone is not transferred.
        this.long(3_600)
        this.long(600)
        this.long(86_400)
        return this.long(negativeSecs)
      case "Minimal":
        this.bytes.set(minimalData, this.at)
        this.at += minimalData.length
    }
  }

  /** The OPT record; its options are what was asked with. */
  edns({ dnssecOk, subnet }: Edns, rcode: number, scopePrefix: number, cookie: Uint8Array | undefined): void {
    this.byte(0)
    this.word(TYPE.OPT)
    this.word(UDP_BYTES)
    this.byte(rcode >> 4)
    this.byte(0)
    this.word(dnssecOk ? 0x8000 : 0)
    const lengthAt = this.at
    this.at += 2
    if (subnet !== undefined) this.subnet(subnet, scopePrefix)
    if (cookie !== undefined) {
      this.word(OPTION.COOKIE)
      this.word(cookie.length)
      this.bytes.set(cookie, this.at)
      this.at += cookie.length
    }
    this.view.setUint16(lengthAt, this.at - lengthAt - 2)
    this.view.setUint16(10, this.view.getUint16(10) + 1)
  }

  private subnet({ address, family, sourcePrefix }: ClientSubnet, scopePrefix: number): void {
    this.word(OPTION.SUBNET)
    this.word(4 + address.length)
    this.word(family)
    this.byte(sourcePrefix)
    this.byte(scopePrefix)
    this.bytes.set(address, this.at)
    this.at += address.length
  }

  /** The message, in bytes of its own. */
  finish(): Uint8Array {
    return this.bytes.slice(0, this.at)
  }

  /** A name below the zone. */
  private name(labels: ReadonlyArray<string>): void {
    this.labels(labels)
    this.pointer(this.zoneAt)
  }

  private labels(labels: ReadonlyArray<string>): void {
    for (const label of labels) {
      this.byte(label.length)
      for (let i = 0; i < label.length; i++) this.byte(label.charCodeAt(i))
    }
  }

  private pointer(to: number): void {
    this.word(0xc000 | to)
  }

  private byte(value: number): void {
    this.bytes[this.at++] = value
  }

  private word(value: number): void {
    this.view.setUint16(this.at, value)
    this.at += 2
  }

  private long(value: number): void {
    this.view.setUint32(this.at, value)
    this.at += 4
  }
}
