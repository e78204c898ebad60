/**
 * Writes messages of Protocol Buffers (their encoding, as protobuf.dev has it) into one growing buffer: a span takes a few
 * microseconds and leaves no garbage. Fields that are not written have their default, as the format wants it.
 */
export interface Protobuf {
  /** A field that is a message, or anything else with a length: what `fill` writes. */
  readonly message: (field: number, fill: () => void) => void
  readonly text: (field: number, value: string) => void
  /** Bytes that are given in hexadecimal. */
  readonly hex: (field: number, value: string) => void
  /** A number of 0 to 2^53 - 1. */
  readonly varint: (field: number, value: number) => void
  readonly double: (field: number, value: number) => void
  readonly fixed64: (field: number, value: bigint) => void
  /** Within a message of its own: numbers without tags. */
  readonly bareDouble: (value: number) => void
  readonly bareFixed64: (value: bigint) => void
  /** A copy of all that was written. */
  readonly finish: () => Uint8Array
}

const VARINT = 0
const FIXED64 = 1
const LENGTH = 2

const START_BYTES = 65_536
/** The longest that anything but a text can be. */
const ROOM = 16

const encoder = new TextEncoder()

/** Bytes of a number as a varint. */
const lengthOf = (size: number): number => (size < 0x80 ? 1 : size < 0x4000 ? 2 : size < 0x200000 ? 3 : 4)

export const make = (): Protobuf => {
  let bytes = new Uint8Array(START_BYTES)
  let view = new DataView(bytes.buffer)
  let at = 0

  const reserve = (count: number): void => {
    if (at + count <= bytes.length) return
    const larger = new Uint8Array(Math.max(bytes.length * 2, at + count))
    larger.set(bytes)
    bytes = larger
    view = new DataView(bytes.buffer)
  }

  const bareVarint = (value: number): void => {
    let rest = value
    while (rest > 0x7f) {
      bytes[at++] = (rest % 0x80) + 0x80
      rest = Math.floor(rest / 0x80)
    }
    bytes[at++] = rest
  }

  const tag = (field: number, type: number): void => {
    reserve(ROOM)
    bareVarint(field * 8 + type)
  }

  const message = (field: number, fill: () => void): void => {
    tag(field, LENGTH)
    const start = at
    // Most are short: one byte for the length is right then, and else what follows is moved.
    at++
    fill()
    const size = at - start - 1
    const more = lengthOf(size) - 1
    if (more > 0) {
      reserve(more)
      bytes.copyWithin(start + 1 + more, start + 1, at)
    }
    at = start
    bareVarint(size)
    at += size
  }

  const bareText = (value: string): void => {
    const from = at
    reserve(value.length * 3)
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index)
      if (code > 0x7f) {
        at = from + encoder.encodeInto(value, bytes.subarray(from)).written
        return
      }
      bytes[at++] = code
    }
  }

  const bareDouble = (value: number): void => {
    reserve(ROOM)
    view.setFloat64(at, value, true)
    at += 8
  }

  const bareFixed64 = (value: bigint): void => {
    reserve(ROOM)
    view.setBigUint64(at, value, true)
    at += 8
  }

  return {
    message,
    text: (field, value) => message(field, () => bareText(value)),
    hex: (field, value) =>
      message(field, () => {
        reserve(value.length)
        for (let index = 0; index < value.length; index += 2) {
          bytes[at++] = Number.parseInt(value.slice(index, index + 2), 16)
        }
      }),
    varint: (field, value) => {
      tag(field, VARINT)
      bareVarint(value)
    },
    double: (field, value) => {
      tag(field, FIXED64)
      bareDouble(value)
    },
    fixed64: (field, value) => {
      tag(field, FIXED64)
      bareFixed64(value)
    },
    bareDouble,
    bareFixed64,
    finish: () => {
      const written = bytes.slice(0, at)
      at = 0
      return written
    }
  }
}
