import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"

export interface KeyPair {
  /** Base64, as `wg genkey` has it. */
  readonly privateKey: Redacted.Redacted<string>
  /** Base64. */
  readonly publicKey: string
}

/** Curve25519 keys, as WireGuard has them. */
export class MeshKeys extends Context.Service<
  MeshKeys,
  {
    readonly generate: Effect.Effect<KeyPair>
    /** The pair of a private key; undefined for a text that is none. */
    readonly fromPrivate: (privateKey: Redacted.Redacted<string>) => KeyPair | undefined
    /** 32 random bytes in base64: the root of all preshared keys. */
    readonly generateSecret: Effect.Effect<Redacted.Redacted<string>>
    /** The preshared key of two hosts, the same in either order; undefined for a secret that is none. */
    readonly preshared: (
      secret: Redacted.Redacted<string>,
      publicKey: string,
      other: string
    ) => Redacted.Redacted<string> | undefined
  }
>()("edgeproxy/wireguard/MeshKeys") {}
