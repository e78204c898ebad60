// Alone in their file, since they are wanted before anything else is loaded.

/** Default of EDGEPROXY_LISTEN_ADDR. */
export const DEFAULT_LISTEN_ADDR = "0.0.0.0:8080"

/** Default of EDGEPROXY_TCP_KEEPALIVE_SECS. */
export const DEFAULT_TCP_KEEPALIVE_SECS = "30"
