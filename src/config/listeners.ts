import type { ListenerKind, TrafficListener } from "../traffic/TrafficListener.ts"
import type { ListenAddress } from "./networks.ts"
import type { ConfigValues } from "./variables.ts"

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
    ...(config.tlsEnabled ? config.tlsListenAddr.map(listener(`tls-${config.tlsMode}`)) : [])
  ]
}

/** The apps that clients can be led to; undefined stands for the pool of all. */
export const servedApps = (config: ConfigValues): ReadonlyArray<string | undefined> => [
  ...trafficListeners(config).map(({ app }) => app),
  ...(config.tlsEnabled ? config.tlsSniRoutes.map(([, app]) => app) : [])
]
