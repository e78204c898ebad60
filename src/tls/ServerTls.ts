/** A certificate with its chain, and its private key; both PEM. Never logged, never shown. */
export interface KeyPair {
  readonly chain: string
  readonly key: string
}

/** All that an engine needs to take clients in by TLS: plain data, since the engine may be another thread. */
export interface ServerTls {
  readonly pairs: ReadonlyArray<KeyPair>
  readonly minVersion: TlsVersion
  /** Application protocols (ALPN, RFC 7301), best first; a client that offers only others is refused. None: all the same. */
  readonly protocols: ReadonlyArray<string>
  /**
   * Authorities (PEM) one of which has to have signed the client's certificate. With it nothing is resumed: a resumed session
   * brings the certificate of the first handshake, which nobody verifies again.
   */
  readonly clientCa: string | undefined
  /** 48 bytes that session tickets are sealed with (RFC 5077), the same in all threads. */
  readonly ticketKey: Uint8Array
  /** Handshakes under way at one time; more wait. */
  readonly maxHandshakes: number
}

export type TlsVersion = "1.2" | "1.3"
