/** What the load generator is asked to do through the port of a proxy; all of it bounded. */
export type Task =
  /** So many connections, `parallel` at a time: open, 64 bytes there and back, close. */
  | { readonly kind: "connections"; readonly port: number; readonly count: number; readonly parallel: number }
  /** Opens connections, one exchange on each, and keeps them open until `release`. */
  | { readonly kind: "hold"; readonly port: number; readonly count: number }
  | { readonly kind: "release" }

/** How a task went. */
export type Answer = { readonly ms: number } | { readonly error: string }
