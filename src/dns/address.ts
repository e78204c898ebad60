import * as Result from "effect/Result"
import * as NetAddress from "effect/net/NetAddress"
import type { Backend } from "../domain/Backend.ts"

/** 4 or 16 bytes; none for what is no address. */
export const addressBytes = (text: string): Uint8Array =>
  Result.match(NetAddress.ipFromString(text), {
    onFailure: () => new Uint8Array(0),
    onSuccess: (ip) =>
      Uint8Array.from(NetAddress.isIpv4Address(ip) ? NetAddress.ipv4ToOctets(ip) : NetAddress.ipv6ToOctets(ip))
  })

const known = new WeakMap<Backend, Uint8Array>()

/** Of a backend, which never changes: another one replaces it. Not to be written to. */
export const backendBytes = (backend: Backend): Uint8Array => {
  let bytes = known.get(backend)
  if (bytes === undefined) known.set(backend, (bytes = addressBytes(backend.address)))
  return bytes
}
