/** Default of EDGEPROXY_LISTEN_ADDR; alone in its file, since it is wanted before anything else is loaded. */
export const DEFAULT_LISTEN_ADDR = "0.0.0.0:8080"
