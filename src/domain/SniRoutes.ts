/** Which app the connections for a TLS server name go to. */
export type SniRoute = readonly [pattern: string, app: string]

export interface SniRoutes {
  /** The app of a name in lower case; undefined when no route has it. */
  readonly appOf: (serverName: string) => string | undefined
}

/** Exact names first, then the longest `*.name`, which has every name below its own. */
export const make = (routes: ReadonlyArray<SniRoute>): SniRoutes => {
  const apps = new Map(routes)
  return {
    appOf: (serverName) => {
      const exact = apps.get(serverName)
      if (exact !== undefined || apps.size === 0) return exact
      for (let dot = serverName.indexOf("."); dot >= 0; dot = serverName.indexOf(".", dot + 1)) {
        const app = apps.get(`*${serverName.slice(dot)}`)
        if (app !== undefined) return app
      }
      return undefined
    }
  }
}
