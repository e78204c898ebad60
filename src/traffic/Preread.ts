import * as ClientHello from "../domain/ClientHello.ts"
import * as ProxyProtocol from "../domain/ProxyProtocol.ts"

/**
 * What is to be learned from a client's first bytes; by name, because the engine that has them may be another thread. `any`:
 * whatever comes first; `client-hello`: a whole TLS ClientHello; `proxy`: a whole header of the PROXY protocol, or that there is
 * none. Of a client that finishes without a byte there is nothing to learn, which answers all of them.
 */
export type Preread = "any" | "client-hello" | "proxy"

/** Whether the bytes so far are enough to answer; `finished` when no more will come. */
export type Enough = (bytes: Uint8Array, finished: boolean) => "more" | "enough" | "malformed"

const verdicts = { More: "more", Hello: "enough", Header: "enough", None: "enough", Malformed: "malformed" } as const

const answers =
  (parse: (bytes: Uint8Array, finished: boolean) => { readonly _tag: keyof typeof verdicts }): Enough =>
  (bytes, finished) =>
    finished && bytes.length === 0 ? "enough" : verdicts[parse(bytes, finished)._tag]

export const prereads: Readonly<Record<Preread, Enough>> = {
  any: (bytes, finished) => (bytes.length > 0 || finished ? "enough" : "more"),
  "client-hello": answers(ClientHello.parse),
  proxy: answers(ProxyProtocol.parse)
}

/** Most bytes that can be asked for: a ClientHello with room to spare. */
export const MAX_PREREAD = 16_384
