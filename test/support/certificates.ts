import { randomBytes } from "node:crypto"
import { type Issue, issue } from "../../layers/tls/issue.ts"
import type { KeyPair, ServerTls } from "../../src/tls/ServerTls.ts"

const DAY = 86_400_000

export type Authority = KeyPair & { readonly name: string }

/** An authority of a test's own, with fresh keys. */
export const authority = (name = "test authority"): Authority => ({
  ...issue({ name, names: [], notBefore: Date.now() - DAY, notAfter: Date.now() + DAY, authority: true }),
  name
})

/** A certificate for these names, good from yesterday until tomorrow unless something else is said. */
export const certificate = (
  issuer: Authority | undefined,
  names: ReadonlyArray<string>,
  options: Partial<Pick<Issue, "name" | "notBefore" | "notAfter">> = {}
): KeyPair =>
  issue({
    name: options.name ?? names[0] ?? "nobody",
    names,
    notBefore: options.notBefore ?? Date.now() - DAY,
    notAfter: options.notAfter ?? Date.now() + DAY,
    ...(issuer === undefined ? {} : { issuer })
  })

export const serverTls = (pair: KeyPair, options: Partial<ServerTls> = {}): ServerTls => ({
  pairs: [pair],
  minVersion: "1.2",
  protocols: [],
  clientCa: undefined,
  ticketKey: randomBytes(48),
  maxHandshakes: 256,
  ...options
})
