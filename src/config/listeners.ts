import type { ListenerKind, TrafficListener } from "../traffic/TrafficListener.ts"
import type { ListenAddress } from "./networks.ts"
import type { ConfigValues } from "./variables.ts"

const isPassthrough = ({ tlsEnabled, tlsMode }: ConfigValues): boolean => tlsEnabled && tlsMode === "passthrough"

/** All listeners for clients, as the configuration has them. */
export const trafficListeners = (config: ConfigValues): ReadonlyArray<TrafficListener> => {
  const listener =
    (kind: ListenerKind) =>
    ({ address, app, port }: ListenAddress): TrafficListener => ({
      address: { address, port },
      app: app ?? config.app,
      kind,
      proxyIn: config.proxyProtocolIn
    })
  return [
    ...config.listenAddr.map(listener("tcp")),
    ...(isPassthrough(config) ? config.tlsListenAddr.map(listener("tls-passthrough")) : [])
  ]
}

/** The apps that clients can be led to; undefined stands for the pool of all. */
export const servedApps = (config: ConfigValues): ReadonlyArray<string | undefined> => [
  ...trafficListeners(config).map(({ app }) => app),
  ...(isPassthrough(config) ? config.tlsSniRoutes.map(([, app]) => app) : [])
]
