import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"

/** What a check does (H1). */
export type Probe =
  /** Connects. That the kernel of the backend's host takes a connection says nothing of the program. */
  | { readonly kind: "tcp" }
  /** Sends a GET and reads the status; never follows a redirect. */
  | { readonly kind: "http"; readonly path: string; readonly expectedStatus: number }

export interface ProbeTarget {
  /** IPv4 or IPv6 literal. */
  readonly address: string
  readonly port: number
  /** The name of its host that TLS asks for and verifies, if none is configured. */
  readonly host?: string | undefined
}

export class ProbeError extends Data.TaggedError("ProbeError")<{
  /**
   * `closed`: ended before its status line. `malformed`: what came is no status line of HTTP/1. `tls`: no TLS could be
   * agreed on, or the certificate is not what it has to be. `local`: this host could not
   * ask, for want of ports, descriptors or permission, which says nothing of the backend.
   */
  readonly reason: "refused" | "timeout" | "unreachable" | "reset" | "closed" | "malformed" | "status" | "tls" | "local"
  readonly detail: string
}> {
  override get message(): string {
    return `${this.reason}: ${this.detail}`
  }
}

/** Looks whether a backend can serve. */
export class HealthProbe extends Context.Service<
  HealthProbe,
  {
    /** The time that it took, in milliseconds. The deadline is one over everything, from the first packet to the last. */
    readonly probe: (target: ProbeTarget, what: Probe, timeoutMs: number) => Effect.Effect<number, ProbeError>
  }
>()("edgeproxy/backends/HealthProbe") {}
