import { constants } from "node:crypto"
import * as tls from "node:tls"
import type { BackendTls } from "../../src/tls/BackendTls.ts"
import type { ServerTls } from "../../src/tls/ServerTls.ts"

// Sessions of one context are not to be taken for another's; here they are all of one kind.
const SESSION_CONTEXT = "edgeproxy"

const serverContexts = new WeakMap<ServerTls, Array<tls.SecureContext | undefined>>()

/** What OpenSSL makes of a pair, once for each object; throws when that can't be done. */
export const serverContext = (options: ServerTls, pair: number): tls.SecureContext => {
  const contexts = serverContexts.get(options) ?? []
  serverContexts.set(options, contexts)
  return (contexts[pair] ??= makeServerContext(options, pair))
}

const makeServerContext = ({ clientCa, minVersion, pairs, ticketKey }: ServerTls, pair: number): tls.SecureContext => {
  const { chain, key } = pairs[pair] ?? {}
  return tls.createSecureContext({
    ...(chain === undefined || key === undefined ? {} : { cert: chain, key }),
    ...(clientCa === undefined ? {} : { ca: clientCa }),
    minVersion: `TLSv${minVersion}`,
    honorCipherOrder: true,
    sessionIdContext: SESSION_CONTEXT,
    ticketKeys: Buffer.from(ticketKey),
    // Without tickets nothing is resumed: Node keeps no sessions itself.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (clientCa === undefined ? 0 : constants.SSL_OP_NO_TICKET)
  })
}

const backendContexts = new WeakMap<BackendTls, tls.SecureContext>()

export const backendContext = (options: BackendTls): tls.SecureContext => {
  const known = backendContexts.get(options)
  if (known !== undefined) return known
  const { ca, certificate } = options
  const made = tls.createSecureContext({
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined ? {} : { cert: certificate.chain, key: certificate.key })
  })
  backendContexts.set(options, made)
  return made
}
