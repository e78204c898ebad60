import * as ClientHello from "../domain/ClientHello.ts"

/**
 * What is to be learned from a client's first bytes; by name, because the engine that has them may be another thread. `any`:
 * whatever comes first; `client-hello`: a whole TLS ClientHello.
 */
export type Preread = "any" | "client-hello"

/** Whether the bytes so far are enough to answer; `finished` when no more will come. */
export type Enough = (bytes: Uint8Array, finished: boolean) => "more" | "enough" | "malformed"

const verdicts = { More: "more", Hello: "enough", Malformed: "malformed" } as const

export const prereads: Readonly<Record<Preread, Enough>> = {
  any: (bytes, finished) => (bytes.length > 0 || finished ? "enough" : "more"),
  "client-hello": (bytes, finished) => verdicts[ClientHello.parse(bytes, finished)._tag]
}

/** Most bytes that can be asked for: a ClientHello with room to spare. */
export const MAX_PREREAD = 16_384
