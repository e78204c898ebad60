import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { createPrivateKey, createPublicKey, hkdfSync, randomBytes } from "node:crypto"
import { type KeyPair, MeshKeys } from "../../src/wireguard/MeshKeys.ts"

const KEY_BYTES = 32

/** What stands before the 32 bytes of an X25519 private key in PKCS #8 (RFC 8410). */
const pkcs8 = Buffer.from("302e020100300506032b656e04220420", "hex")

/** The bytes of a key in base64, with or without the newline of its file. */
const bytesOf = (text: Redacted.Redacted<string>): Buffer | undefined => {
  const trimmed = Redacted.value(text).trim()
  const bytes = Buffer.from(trimmed, "base64")
  return bytes.length === KEY_BYTES && bytes.toString("base64") === trimmed ? bytes : undefined
}

/** As `wg genkey` clamps it (RFC 7748, section 5), so that both show the same private key. */
const clamped = (bytes: Buffer): Buffer => {
  const key = Buffer.from(bytes)
  key.writeUInt8(key.readUInt8(0) & 248, 0)
  key.writeUInt8((key.readUInt8(31) & 127) | 64, 31)
  return key
}

const pairOf = (bytes: Buffer): KeyPair => {
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8, bytes]), format: "der", type: "pkcs8" })
  const { x = "" } = createPublicKey(privateKey).export({ format: "jwk" })
  return {
    privateKey: Redacted.make(bytes.toString("base64")),
    publicKey: Buffer.from(x, "base64url").toString("base64")
  }
}

/** {@link MeshKeys} by Node's OpenSSL. */
export const layer: Layer.Layer<MeshKeys> = Layer.succeed(MeshKeys, {
  generate: Effect.sync(() => pairOf(clamped(randomBytes(KEY_BYTES)))),
  fromPrivate: (privateKey) => {
    const bytes = bytesOf(privateKey)
    return bytes === undefined || bytes.every((byte) => byte === 0) ? undefined : pairOf(clamped(bytes))
  },
  generateSecret: Effect.sync(() => Redacted.make(randomBytes(KEY_BYTES).toString("base64"))),
  preshared: (secret, publicKey, other) => {
    const bytes = bytesOf(secret)
    if (bytes === undefined) return undefined
    const pair = [publicKey, other].sort().join(" ")
    const key = hkdfSync("sha256", bytes, "", `edgeproxy wireguard preshared key ${pair}`, KEY_BYTES)
    return Redacted.make(Buffer.from(key).toString("base64"))
  }
})
