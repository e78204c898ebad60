import { getCACertificates } from "node:tls"

/**
 * Who is trusted where nobody is named, as PEM: the system's authorities and those of NODE_EXTRA_CA_CERTS; on a system that
 * has none, such as a slim image, the ones that Node brings. Read once: threads would each have a notion of their own.
 */
export const trustedByDefault = (): string => (trusted ??= read())

let trusted: string | undefined

const read = (): string => {
  const system = getCACertificates("system")
  const found = [...(system.length === 0 ? getCACertificates("bundled") : system), ...getCACertificates("extra")]
  return Array.from(new Set(found.map((each) => each.trim()))).join("\n")
}
