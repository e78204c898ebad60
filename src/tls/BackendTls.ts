import type { KeyPair } from "./ServerTls.ts"

/** TLS to backends: plain data, since the engine may be another thread. */
export interface BackendTls {
  /** The backend's certificate is verified, its name or address included. */
  readonly verify: boolean
  /** Authorities (PEM) one of which has to have signed it. */
  readonly ca: string | undefined
  /** Shown when the backend asks. */
  readonly certificate: KeyPair | undefined
  /** The name asked for (SNI) and verified; without it that of the backend's host, or else its address is verified. */
  readonly serverName: string | undefined
}
