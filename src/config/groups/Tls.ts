import { optional } from "../Codec.ts"
import { listenAddresses } from "../networks.ts"
import { boolean, integer, literals, seconds } from "../scalars.ts"
import { domain, path, protocols, sniRoutes } from "../texts.ts"
import { inGroup } from "../Variable.ts"

const define = inGroup("TLS")

export const tls = {
  tlsEnabled: define(boolean, {
    name: "EDGEPROXY_TLS_ENABLED",
    default: "false",
    doc: "TLS listeners besides the TCP ones"
  }),
  tlsListenAddr: define(listenAddresses, {
    name: "EDGEPROXY_TLS_LISTEN_ADDR",
    default: "0.0.0.0:8443",
    doc: "TLS listeners, comma separated; `addr=app` as for EDGEPROXY_LISTEN_ADDR"
  }),
  tlsCert: define(optional(path), {
    name: "EDGEPROXY_TLS_CERT",
    doc: "Certificate chain (PEM file); without it and the key a self-signed one is made, with a warning"
  }),
  tlsKey: define(optional(path), {
    name: "EDGEPROXY_TLS_KEY",
    doc: "Private key of the certificate (PEM file)"
  }),
  tlsCertDir: define(optional(path), {
    name: "EDGEPROXY_TLS_CERT_DIR",
    doc: "Directory of `name.crt` and `name.key` pairs, chosen by server name (SNI)"
  }),
  tlsReloadMs: define(seconds({ minimum: 0.1 }), {
    name: "EDGEPROXY_TLS_RELOAD_SECS",
    default: "30",
    doc: "How often certificate files are looked at"
  }),
  tlsMinVersion: define(literals(["1.2", "1.3"]), {
    name: "EDGEPROXY_TLS_MIN_VERSION",
    default: "1.2",
    doc: "Oldest TLS version taken: `1.2` or `1.3`"
  }),
  tlsAlpn: define(protocols, {
    name: "EDGEPROXY_TLS_ALPN",
    doc: "Application protocols offered (ALPN), comma separated, best first, e.g. `h2,http/1.1`"
  }),
  tlsClientCa: define(optional(path), {
    name: "EDGEPROXY_TLS_CLIENT_CA",
    doc: "Authority (PEM file) whose certificates clients must show"
  }),
  tlsMode: define(literals(["terminate", "passthrough"]), {
    name: "EDGEPROXY_TLS_MODE",
    default: "terminate",
    doc: "`terminate`, or `passthrough`: route by server name without decrypting"
  }),
  tlsSniRoutes: define(sniRoutes, {
    name: "EDGEPROXY_TLS_SNI_ROUTES",
    doc: "`name=app` list, e.g. `db.example.com=pg,*.shop.example.com=shop`"
  }),
  tlsUnknownSni: define(literals(["default", "refuse"]), {
    name: "EDGEPROXY_TLS_UNKNOWN_SNI",
    default: "default",
    doc: "Server names without a route or certificate: take the `default` one, or `refuse`"
  }),
  tlsMaxHandshakes: define(integer({ minimum: 1, maximum: 100_000 }), {
    name: "EDGEPROXY_TLS_MAX_HANDSHAKES",
    default: "256",
    doc: "Most handshakes in flight"
  }),
  backendTls: define(literals(["off", "on", "verify"]), {
    name: "EDGEPROXY_BACKEND_TLS",
    default: "off",
    doc: "TLS to backends: `off`, `on`, or `verify`, which checks their certificates"
  }),
  backendTlsCa: define(optional(path), {
    name: "EDGEPROXY_BACKEND_TLS_CA",
    doc: "Authority (PEM file) for the certificates of backends; none = the system's"
  }),
  backendTlsCert: define(optional(path), {
    name: "EDGEPROXY_BACKEND_TLS_CERT",
    doc: "Client certificate (PEM file) shown to backends"
  }),
  backendTlsKey: define(optional(path), {
    name: "EDGEPROXY_BACKEND_TLS_KEY",
    doc: "Private key of that certificate (PEM file)"
  }),
  backendTlsServername: define(optional(domain), {
    name: "EDGEPROXY_BACKEND_TLS_SERVERNAME",
    doc: "Server name asked of backends, and checked with `verify`; without it, the host name of the row, or the address"
  })
}
