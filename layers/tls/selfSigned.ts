import type { Certificate } from "../../src/tls/Certificate.ts"
import { issue } from "./issue.ts"

const YEAR_MS = 365 * 86_400_000
/** Clocks differ. */
const EARLIER_MS = 3_600_000

/** For trying things out: nobody has reason to trust it. */
export const selfSigned = (now: number): Certificate => {
  const validity = { notBefore: now - EARLIER_MS, notAfter: now + YEAR_MS }
  const pair = issue({ name: "edgeproxy", names: ["localhost", "127.0.0.1", "::1"], ...validity })
  return { ...pair, ...validity, source: "self-signed", names: ["localhost"] }
}
