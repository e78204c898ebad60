import type { KeyPair } from "./ServerTls.ts"

/** A certificate with its key, as far as it matters which to show and until when. */
export interface Certificate extends KeyPair {
  /** Where it comes from, for people: a file, or `self-signed`. */
  readonly source: string
  /** Host names it is good for, in lower case; `*.` stands for one label. */
  readonly names: ReadonlyArray<string>
  /** Wall-clock milliseconds. */
  readonly notBefore: number
  readonly notAfter: number
}

/** Which certificate for which server name: an exact name first, then `*.` and the rest of it (RFC 9525, 6.3). */
export const chooser = (
  certificates: ReadonlyArray<Pick<Certificate, "names">>
): ((serverName: string) => number | undefined) => {
  const byName = new Map<string, number>()
  // The first one that has a name has it.
  for (const [index, { names }] of certificates.entries()) {
    for (const name of names) if (!byName.has(name)) byName.set(name, index)
  }
  return (serverName) => {
    const exact = byName.get(serverName)
    const dot = serverName.indexOf(".")
    return exact ?? (dot < 0 ? undefined : byName.get(`*${serverName.slice(dot)}`))
  }
}

const DAY_MS = 86_400_000

/** Days before the end at which somebody should hear of it. */
const WARN_DAYS: ReadonlyArray<number> = [30, 7, 1]

/** The last of the warnings that is due: so many days; undefined while there is more time. */
export const expiryWarning = (notAfter: number, now: number): number | undefined =>
  WARN_DAYS.findLast((days) => notAfter - now < days * DAY_MS)

/** Ends within so few days that the POP counts as degraded (D3). */
export const EXPIRES_SOON_DAYS = 7

export const expiresSoon = ({ notAfter }: Pick<Certificate, "notAfter">, now: number): boolean =>
  notAfter - now < EXPIRES_SOON_DAYS * DAY_MS
