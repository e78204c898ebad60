import { createCipheriv, createHash } from "node:crypto"

/** Bytes that look random and are the same for the same seed: the AES-CTR key stream of the seed. */
export interface ByteStream {
  readonly next: (size: number) => Buffer
}

export const seededStream = (seed: number): ByteStream => {
  const key = createHash("sha256").update(`seed ${seed}`).digest()
  const cipher = createCipheriv("aes-256-ctr", key, Buffer.alloc(16))
  let zeros = Buffer.alloc(0)
  return {
    next: (size) => {
      if (zeros.length < size) zeros = Buffer.alloc(size)
      return cipher.update(zeros.subarray(0, size))
    }
  }
}

export const seededBytes = (seed: number, size: number): Buffer => seededStream(seed).next(size)

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
