/** PROXY headers put together by hand, so that every part of them can be wrong. */

const u16 = (value: number): ReadonlyArray<number> => [(value >>> 8) & 255, value & 255]

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a] as const

export interface V2Parts {
  /** Version and command. */
  readonly command?: number
  /** Family and protocol. */
  readonly family?: number
  readonly addresses?: ReadonlyArray<number>
  readonly rest?: ReadonlyArray<number>
  readonly length?: number
}

/** From 203.0.113.7:50000 to 198.51.100.1:443, unless said otherwise. */
export const v2 = ({
  addresses = [203, 0, 113, 7, 198, 51, 100, 1, 0xc3, 0x50, 0x01, 0xbb],
  command = 0x21,
  family = 0x11,
  rest = [],
  length = addresses.length + rest.length
}: V2Parts = {}): Uint8Array => Uint8Array.from([...SIGNATURE, command, family, ...u16(length), ...addresses, ...rest])

export const tlv = (type: number, value: ReadonlyArray<number> | string): ReadonlyArray<number> => {
  const bytes = typeof value === "string" ? [...Buffer.from(value)] : value
  return [type, ...u16(bytes.length), ...bytes]
}

/** From [2001:db8::7]:50000 to [2001:db8::1]:443. */
export const inet6: ReadonlyArray<number> = Array.from(
  ["20010db8000000000000000000000007", "20010db8000000000000000000000001", "c350", "01bb"].flatMap((part) => [
    ...Buffer.from(part, "hex")
  ])
)

export const v1 = (line: string): Uint8Array => Buffer.from(`PROXY ${line}\r\n`)
