/** What the load generator is asked to do through the port of a proxy; all of it bounded. */
export type Task =
  /** So many connections, `parallel` at a time: open, 64 bytes there and back, close. */
  | { readonly kind: "connections"; readonly port: number; readonly count: number; readonly parallel: number }
  /** So many exchanges of 64 bytes on each of `parallel` connections. */
  | { readonly kind: "ping-pong"; readonly port: number; readonly count: number; readonly parallel: number }
  /** So many bytes on each of `parallel` connections, from (`down`) or to (`up`) the backend. */
  | { readonly kind: "down" | "up"; readonly port: number; readonly bytes: number; readonly parallel: number }
  /** Opens connections, one exchange on each, and keeps them open until `release`. */
  | { readonly kind: "hold"; readonly port: number; readonly count: number }
  | { readonly kind: "release" }

/** How a task went. */
export type Answer = { readonly ms: number } | { readonly error: string }

/** The first byte of a connection tells the backend what to do with it. */
export const ECHO = "e"
/** Followed by the number of bytes to send and a line feed. */
export const DOWN = "d"
/** Everything up to the end is counted and forgotten; the answer is one byte. */
export const UP = "u"
