/** Numbers of the wire format (RFC 1035 and what the lines name). */

export const TYPE = {
  A: 1,
  NS: 2,
  SOA: 6,
  HINFO: 13,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  IXFR: 251,
  AXFR: 252,
  ANY: 255
} as const

export const CLASS_IN = 1

export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  /** Of EDNS: its upper bits stand in the OPT record (RFC 6891). */
  BADVERS: 16
} as const

/** Of EDNS: client subnet (RFC 7871), cookie (RFC 7873). */
export const OPTION = { SUBNET: 8, COOKIE: 10 } as const

export const HEADER_BYTES = 12

/** In the second word of a header. */
export const FLAG = { QR: 0x8000, AA: 0x0400, TC: 0x0200, RD: 0x0100, CD: 0x0010 } as const

export const MAX_LABEL_BYTES = 63
export const MAX_NAME_BYTES = 255

/** What everybody can take over UDP without saying so. */
export const PLAIN_UDP_BYTES = 512

/** What is sent over UDP at most: it passes unfragmented nearly everywhere (DNS flag day 2020). */
export const UDP_BYTES = 1_232
