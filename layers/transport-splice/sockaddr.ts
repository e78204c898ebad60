import { AF_INET } from "./linux.ts"

/** Words that an address takes in a message: family and port, scope, and up to 16 bytes of address in network order. */
export const ADDRESS_WORDS = 6

/** An address as the messages between threads carry it. */
export type AddressWords = Int32Array

const IN_BYTES = 16
const IN6_BYTES = 28
/** The longer of `struct sockaddr_in` and `struct sockaddr_in6`. */
export const SOCKADDR_BYTES = IN6_BYTES

const swap = (port: number): number => ((port & 255) << 8) | (port >>> 8)

/** Writes the words of a message as a `struct sockaddr`; returns its length. */
export const toSockaddr = (words: Int32Array, at: number, sockaddr: Int32Array): number => {
  const head = words[at] ?? 0
  const family = head & 0xffff
  sockaddr[0] = family | (swap(head >>> 16) << 16)
  if (family === AF_INET) {
    sockaddr[1] = words[at + 2] ?? 0
    sockaddr[2] = 0
    sockaddr[3] = 0
    return IN_BYTES
  }
  sockaddr[1] = 0
  for (let i = 0; i < 4; i++) sockaddr[2 + i] = words[at + 2 + i] ?? 0
  sockaddr[6] = words[at + 1] ?? 0
  return IN6_BYTES
}

/** The other way. */
export const fromSockaddr = (sockaddr: Int32Array, words: Int32Array, at: number): void => {
  const head = sockaddr[0] ?? 0
  const family = head & 0xffff
  words[at] = family | (swap(head >>> 16) << 16)
  if (family === AF_INET) {
    words[at + 1] = 0
    words[at + 2] = sockaddr[1] ?? 0
    words[at + 3] = 0
    words[at + 4] = 0
    words[at + 5] = 0
    return
  }
  words[at + 1] = sockaddr[6] ?? 0
  for (let i = 0; i < 4; i++) words[at + 2 + i] = sockaddr[2 + i] ?? 0
}
