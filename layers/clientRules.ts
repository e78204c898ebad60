import type { EdgeConfig } from "../src/config/EdgeConfig.ts"
import type { ClientRules } from "../src/traffic/ClientAdmission.ts"

/** Who is let in, as the configuration has it. */
export const clientRules = (config: EdgeConfig["Service"]): ClientRules => ({
  allow: config.allowCidrs,
  deny: config.denyCidrs,
  denyCountries: config.denyCountries,
  maxConnections: config.maxConnectionsPerClient,
  rate: config.rateLimitEnabled
    ? { burst: config.rateLimitBurst, perMs: config.rateLimitMaxRequests / config.rateLimitWindowMs }
    : undefined
})
