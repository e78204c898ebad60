/** The part of a binding that decides whether it still holds (A1). Times in milliseconds on one monotonic clock. */
export interface BindingAge {
  readonly lastUsed: number
  /** Connections of this client and app that are open through the binding. */
  readonly open: number
}

/** An expired binding is never used, collected or not. While a connection is open the TTL keeps sliding. */
export const isExpired = (binding: BindingAge, now: number, ttlMs: number): boolean =>
  binding.open === 0 && now - binding.lastUsed >= ttlMs
