import * as Result from "effect/Result"
import * as NetAddress from "effect/net/NetAddress"
import { clientFromText } from "../domain/Client.ts"

/** Who may do what (D3), decided from what a request shows of its sender. Pure. */

/** What is asked for: a change, or a look. */
export type Purpose = "read" | "write"

/** Whose token a caller holds; `wrong` is one that nobody was given. */
export type Holder = "none" | "reader" | "writer" | "wrong"

export interface Caller {
  /** The socket's other end; never what a header says. */
  readonly peer: string | undefined
  readonly holder: Holder
  readonly host: string | undefined
  readonly origin: string | undefined
  /** `Sec-Fetch-Site`: how a browser tells where a request comes from. */
  readonly fetchSite: string | undefined
  /** A proxy has put a header in: the peer is the proxy, and its address says nothing of the caller. */
  readonly forwarded: boolean
}

export interface Policy {
  readonly publicReads: boolean
  /** There is a token that would do, by purpose. */
  readonly tokenFor: Readonly<Record<Purpose, boolean>>
}

export type Verdict =
  | { readonly _tag: "Allowed" }
  | { readonly _tag: "Unauthorized"; readonly why: string }
  | { readonly _tag: "Forbidden"; readonly why: string }

const noTokenFor: Readonly<Record<Purpose, string>> = {
  read: "from loopback only, since no token is set (EDGEPROXY_API_READ_TOKEN)",
  write: "from loopback only, since no token is set (EDGEPROXY_API_TOKEN)"
}

const allowed: Verdict = { _tag: "Allowed" }
const unauthorized = (why: string): Verdict => ({ _tag: "Unauthorized", why })
const forbidden = (why: string): Verdict => ({ _tag: "Forbidden", why })

/** 127.0.0.0/8 or ::1, also as an IPv4-mapped address. */
export const isLoopback = (address: string | undefined): boolean => {
  const client = address === undefined ? undefined : clientFromText(address)
  return client !== undefined && NetAddress.isLoopback(client.ip)
}

const withPort = /^(?:\[(?<six>[^\]]+)\]|(?<name>[^:]+))(?::\d{1,5})?$/

/** The host of `host[:port]`, without brackets; undefined when it is nothing like that. */
const hostOf = (authority: string): string | undefined => {
  const groups = withPort.exec(authority)?.groups
  return groups?.["six"] ?? groups?.["name"]
}

/**
 * No page of another site can have had it sent: a name that its owner points at this host (DNS rebinding) is neither
 * `localhost` nor an address, and a page's own origin is told by the browser.
 */
const ownHost = (host: string | undefined): boolean => {
  const name = host === undefined ? undefined : hostOf(host)
  return name !== undefined && (name.toLowerCase() === "localhost" || Result.isSuccess(NetAddress.ipFromString(name)))
}

const ownOrigin = ({ fetchSite, host, origin }: Caller): boolean =>
  (origin === undefined || origin.toLowerCase() === `http://${host ?? ""}`.toLowerCase()) &&
  (fetchSite === undefined || fetchSite === "same-origin" || fetchSite === "none")

/** A token that is shown has to be right; without one, the peer and where its request comes from decide. */
export const decide = (purpose: Purpose, caller: Caller, policy: Policy): Verdict => {
  if (caller.holder === "wrong") return unauthorized("wrong token")
  if (caller.holder === "writer" || (caller.holder === "reader" && purpose === "read")) return allowed
  if (purpose === "read" && policy.publicReads) return allowed
  if (caller.holder === "reader") return forbidden("this token may only read")
  if (!isLoopback(caller.peer) || caller.forwarded) {
    return policy.tokenFor[purpose] ? unauthorized("a token is needed") : forbidden(noTokenFor[purpose])
  }
  if (!ownHost(caller.host)) return forbidden("without a token, the host has to be localhost or an address")
  if (!ownOrigin(caller)) return forbidden("without a token, not from a page of another origin")
  return allowed
}
