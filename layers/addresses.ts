import { type AddressPolicy, make } from "../src/backends/addressPolicy.ts"
import { defaultText } from "../src/config/Variable.ts"
import type { EdgeConfig } from "../src/config/EdgeConfig.ts"
import { trafficListeners } from "../src/config/listeners.ts"
import { variables } from "../src/config/variables.ts"

/** The table is one that others write too. */
export const isShared = (config: EdgeConfig["Service"]): boolean => config.corrosionEnabled || config.postgresEnabled

/** Where backends may live: those that register, and those in the rows of a shared table (R9). */
export const addressPolicies = (
  config: EdgeConfig["Service"],
  hostAddresses: ReadonlyArray<string>
): { readonly registered: AddressPolicy; readonly shared: AddressPolicy } => {
  const { backendAllowCidrs } = variables
  const common = {
    allowed: config.backendAllowCidrs,
    listeners: [
      ...trafficListeners(config).map(({ address }) => address),
      ...(config.apiEnabled ? [config.apiListenAddr] : []),
      ...(config.metricsEnabled ? [config.metricsListenAddr] : []),
      ...(config.dnsEnabled ? [config.dnsListenAddr] : [])
    ],
    hostAddresses
  }
  const usual = defaultText(backendAllowCidrs, { env: {}, hostname: "", terminal: false })
  const explicit = backendAllowCidrs.encode(config.backendAllowCidrs) !== usual
  return { registered: make({ ...common, loopback: true }), shared: make({ ...common, loopback: explicit }) }
}
