import { RCODE, TYPE } from "../../src/dns/wire.ts"

/** A codec of the tests' own, written from the RFCs: what the server writes is read by something else than what it reads with. */

export interface QuestionOptions {
  readonly id?: number
  readonly type?: keyof typeof TYPE | number
  readonly class?: number
  readonly flags?: number
  /** `{}` is an OPT record without options. */
  readonly edns?: {
    readonly payload?: number
    readonly version?: number
    readonly dnssecOk?: boolean
    readonly options?: ReadonlyArray<readonly [code: number, data: ReadonlyArray<number>]>
  }
}

const word = (value: number): ReadonlyArray<number> => [(value >> 8) & 255, value & 255]

export const nameBytes = (name: string): ReadonlyArray<number> => [
  ...name
    .split(".")
    .filter((label) => label !== "")
    .flatMap((label) => [label.length, ...Buffer.from(label, "latin1")]),
  0
]

export const question = (name: string, options: QuestionOptions = {}): Uint8Array => {
  const { edns, type = "A" } = options
  const opts = edns?.options?.flatMap(([code, data]) => [...word(code), ...word(data.length), ...data]) ?? []
  const opt =
    edns === undefined
      ? []
      : [
          0,
          ...word(TYPE.OPT),
          ...word(edns.payload ?? 1_232),
          0,
          edns.version ?? 0,
          ...word(edns.dnssecOk === true ? 0x8000 : 0),
          ...word(opts.length),
          ...opts
        ]
  return Uint8Array.from([
    ...word(options.id ?? 4_711),
    ...word(options.flags ?? 0x0100),
    ...word(1),
    ...word(0),
    ...word(0),
    ...word(edns === undefined ? 0 : 1),
    ...nameBytes(name),
    ...word(typeof type === "number" ? type : TYPE[type]),
    ...word(options.class ?? 1),
    ...opt
  ])
}

/** The client subnet option for an IPv4 or IPv6 network. */
export const subnet = (family: 1 | 2, prefix: number, ...address: ReadonlyArray<number>) =>
  [8, [0, family, prefix, 0, ...address]] as const

export interface ReadRecord {
  readonly name: string
  readonly type: number
  readonly class: number
  readonly ttl: number
  /** As `dig` would print it. */
  readonly text: string
  readonly data: Uint8Array
}

export interface ReadMessage {
  readonly id: number
  readonly rcode: number
  readonly aa: boolean
  readonly tc: boolean
  readonly rd: boolean
  readonly ra: boolean
  readonly question: { readonly name: string; readonly type: number } | undefined
  readonly answers: ReadonlyArray<ReadRecord>
  readonly authority: ReadonlyArray<ReadRecord>
  readonly additional: ReadonlyArray<ReadRecord>
  readonly edns:
    | {
        readonly payload: number
        readonly version: number
        readonly dnssecOk: boolean
        readonly options: ReadonlyMap<number, Uint8Array>
      }
    | undefined
  readonly bytes: number
}

/** Reads an answer, strictly: throws when anything is out of bounds, loops or is left over. */
export const readMessage = (bytes: Uint8Array): ReadMessage => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 12
  const name = (from = at, hops = 0): string => {
    if (hops > 5) throw new Error("pointers of pointers")
    const labels: Array<string> = []
    let here = from
    while (true) {
      const length = view.getUint8(here)
      if (length >= 0xc0) {
        const to = view.getUint16(here) & 0x3fff
        if (to >= here) throw new Error("a pointer forward")
        if (hops === 0) at = here + 2
        const rest = name2(to, hops + 1)
        return [...labels, rest].filter((part) => part !== "").join(".")
      }
      if (length > 63) throw new Error("a label too long")
      here += 1
      if (length === 0) break
      labels.push(Buffer.from(bytes.subarray(here, here + length)).toString("latin1"))
      here += length
    }
    if (hops === 0) at = here
    return labels.join(".")
  }
  const name2 = (to: number, hops: number): string => name(to, hops)

  const text = (type: number, start: number, data: Uint8Array): string => {
    const keep = at
    at = start
    try {
      switch (type) {
        case TYPE.A:
          return [...data].join(".")
        case TYPE.AAAA:
          return Array.from({ length: 8 }, (_, i) => view.getUint16(start + 2 * i).toString(16)).join(":")
        case TYPE.NS:
          return name()
        case TYPE.SRV: {
          const numbers = [0, 2, 4].map((offset) => view.getUint16(start + offset))
          at = start + 6
          return [...numbers, name()].join(" ")
        }
        case TYPE.SOA: {
          const names = [name(), name()]
          return [...names, ...[0, 4, 8, 12, 16].map((offset) => view.getUint32(at + offset))].join(" ")
        }
        default:
          return Buffer.from(data).toString("latin1")
      }
    } finally {
      at = keep
    }
  }

  let edns: ReadMessage["edns"]
  let extended = 0
  const records = (count: number): ReadonlyArray<ReadRecord> => {
    const list: Array<ReadRecord> = []
    for (let i = 0; i < count; i++) {
      const owner = name()
      const type = view.getUint16(at)
      const klass = view.getUint16(at + 2)
      const ttl = view.getUint32(at + 4)
      const length = view.getUint16(at + 8)
      const start = at + 10
      if (start + length > bytes.length) throw new Error("a record beyond the end")
      const data = bytes.slice(start, start + length)
      at = start + length
      if (type !== TYPE.OPT) {
        list.push({ name: owner, type, class: klass, ttl, text: text(type, start, data), data })
        continue
      }
      if (edns !== undefined) throw new Error("two OPT records")
      const options = new Map<number, Uint8Array>()
      for (let option = start; option < start + length;) {
        const size = view.getUint16(option + 2)
        options.set(view.getUint16(option), bytes.slice(option + 4, option + 4 + size))
        option += 4 + size
      }
      extended = ttl >>> 24
      edns = { payload: klass, version: (ttl >>> 16) & 255, dnssecOk: (ttl & 0x8000) !== 0, options }
    }
    return list
  }

  const flags = view.getUint16(2)
  if ((flags & 0x8000) === 0) throw new Error("not an answer")
  const questions = view.getUint16(4)
  let asked: ReadMessage["question"]
  if (questions === 1) {
    const asks = name()
    asked = { name: asks, type: view.getUint16(at) }
    at += 4
  }
  const answers = records(view.getUint16(6))
  const authority = records(view.getUint16(8))
  const additional = records(view.getUint16(10))
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes left over`)
  return {
    id: view.getUint16(0),
    rcode: (flags & 15) | (extended << 4),
    aa: (flags & 0x0400) !== 0,
    tc: (flags & 0x0200) !== 0,
    rd: (flags & 0x0100) !== 0,
    ra: (flags & 0x0080) !== 0,
    question: asked,
    answers,
    authority,
    additional,
    edns,
    bytes: bytes.length
  }
}

export const rcodeText = (rcode: number): string =>
  Object.entries(RCODE).find(([, value]) => value === rcode)?.[0] ?? String(rcode)
