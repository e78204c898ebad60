import type { Endpoint } from "./Transport.ts"

/**
 * What is done for the clients of a listener before they are routed. `tcp`: nothing; `tls-passthrough`: the server name in
 * their ClientHello decides on the app, and their bytes stay untouched; `tls-terminate`: it decides on the app and the
 * certificate that they are taken in with, and what they say goes on in clear, or in a TLS of the proxy's own.
 */
export type ListenerKind = "tcp" | "tls-passthrough" | "tls-terminate"

/**
 * Whether peers are believed that tell in a PROXY header for whom they connect. `optional`: a trusted peer that sends none is
 * the client itself, and so is every other peer that does not send one; `required`: without the header of a trusted peer
 * nobody is served.
 */
export type ProxyIn = "off" | "optional" | "required"

/** What a PROXY header of one peer means; `forged`: it may send none. */
export type HeaderOf = ProxyIn | "forged"

/** Where clients come in, and how. */
export interface TrafficListener {
  readonly address: Endpoint
  /** The only app it serves (R8), if the server name does not lead to another; undefined: all of them. */
  readonly app: string | undefined
  readonly kind: ListenerKind
  readonly proxyIn: ProxyIn
}
