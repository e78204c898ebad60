import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { createHash, timingSafeEqual } from "node:crypto"
import { Tokens } from "../../src/api/Authorization.ts"

export interface TokenOptions {
  /** May write, and read. */
  readonly token: Redacted.Redacted | undefined
  readonly readToken: Redacted.Redacted | undefined
}

// Of one length whatever the token's, so that all of them take the same time to compare.
const digest = (token: string): Buffer => createHash("sha256").update(token).digest()

const digestOf = (token: Redacted.Redacted | undefined): Buffer | undefined =>
  token === undefined ? undefined : digest(Redacted.value(token))

const is = (given: Buffer, known: Buffer | undefined): boolean => known !== undefined && timingSafeEqual(given, known)

export const layer = (options: TokenOptions): Layer.Layer<Tokens> =>
  Layer.sync(Tokens, () => {
    const writer = digestOf(options.token)
    const reader = digestOf(options.readToken)
    return {
      exists: { reader: reader !== undefined, writer: writer !== undefined },
      holder: (token) => {
        const given = digest(token)
        // Both comparisons are made, whatever the first one says.
        const writes = is(given, writer)
        const reads = is(given, reader)
        return writes ? "writer" : reads ? "reader" : "wrong"
      }
    }
  })
