/** What the load generator is asked to do through the port of a proxy; all of it bounded. */
export type Task = Plain & { readonly tls?: Handshake }

/** Each connection by TLS 1.3 with P-256: with a handshake of its own, or by the session of an earlier one. */
export type Handshake = "full" | "resumed"

type Plain =
  /** So many connections, `parallel` at a time: open, 64 bytes there and back, close. `first`: hexadecimal, ahead of them. */
  | {
      readonly kind: "connections"
      readonly port: number
      readonly count: number
      readonly parallel: number
      readonly first?: string
    }
  /** One connection: these bytes, hexadecimal, and so many more, all of it there and back. */
  | { readonly kind: "bulk"; readonly port: number; readonly bytes: number; readonly first: string }
  /** Opens connections, one exchange on each, and keeps them open until `release`. */
  | { readonly kind: "hold"; readonly port: number; readonly count: number }
  | { readonly kind: "release" }

/** How a task went. */
export type Answer = { readonly ms: number } | { readonly error: string }
