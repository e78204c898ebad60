import type { Cause } from "../domain/Termination.ts"
import { DialError, type Endpoint, ListenError } from "./Transport.ts"

export const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string"
    ? error.code
    : "UNKNOWN"

const dialErrors: Readonly<Record<string, readonly [DialError["source"], DialError["reason"]]>> = {
  ECONNREFUSED: ["backend", "Refused"],
  ETIMEDOUT: ["backend", "Timeout"],
  ECONNRESET: ["backend", "Reset"],
  EPIPE: ["backend", "Reset"],
  EHOSTUNREACH: ["backend", "Unreachable"],
  ENETUNREACH: ["backend", "Unreachable"],
  EHOSTDOWN: ["backend", "Unreachable"],
  // Exhaustion is the proxy's own trouble and must never count against a backend.
  EADDRNOTAVAIL: ["proxy", "NoPorts"],
  EADDRINUSE: ["proxy", "NoPorts"],
  EAGAIN: ["proxy", "NoPorts"],
  EMFILE: ["proxy", "NoFds"],
  ENFILE: ["proxy", "NoFds"],
  ENOBUFS: ["proxy", "NoMem"],
  ENOMEM: ["proxy", "NoMem"],
  EACCES: ["proxy", "Denied"],
  EPERM: ["proxy", "Denied"],
  // More was to be said ahead of the client's bytes than may be.
  EMSGSIZE: ["proxy", "Denied"]
}

export const dialError = (code: string): DialError => {
  const [source, reason] = dialErrors[code] ?? ["backend", "Unreachable"]
  return new DialError({ source, reason, code })
}

/** A code of the system's that {@link dialError} knows. */
export const isDialCode = (code: string): boolean => code in dialErrors

/** TLS could not be agreed on, or the backend's certificate is not what it has to be. */
export const tlsDialError = (code: string): DialError => new DialError({ source: "backend", reason: "Tls", code })

/** The client is no longer there to be served. */
export const gone = (): DialError => new DialError({ source: "client", reason: "Gone", code: "GONE" })

/** A connection that was opened ahead is not there (any more); the code says why. */
export const warmGone = (code: string, source: "backend" | "proxy" = "backend"): DialError =>
  new DialError({ source, reason: "WarmGone", code })

const listenErrors: Readonly<Record<string, readonly [ListenError["reason"], string]>> = {
  EADDRINUSE: ["InUse", "the address is in use by another process"],
  EACCES: ["Denied", "no permission; ports below 1024 need the NET_BIND_SERVICE capability"],
  EPERM: ["Denied", "no permission"],
  EADDRNOTAVAIL: ["BadAddress", "this host has no such address"],
  EAFNOSUPPORT: ["BadAddress", "this host does not support the address family"],
  EINVAL: ["BadAddress", "not an address to listen on"],
  EMFILE: ["NoFds", "out of file descriptors"],
  ENFILE: ["NoFds", "out of file descriptors"]
}

export const listenError = (address: Endpoint, code: string): ListenError => {
  const [reason, detail] = listenErrors[code] ?? ["Other", code]
  return new ListenError({ reason, address, detail })
}

/** What an error on an established connection means for how it ended. */
export const relayCause = (code: string): Cause => {
  if (code === "ECONNRESET" || code === "EPIPE") return "rst"
  // Those of the system are short.
  return code.startsWith("ERR_") ? "tls" : "peer-lost"
}
