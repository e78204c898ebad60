import { DEFAULT_LISTEN_ADDR, DEFAULT_TCP_KEEPALIVE_SECS } from "../src/config/listenDefaults.ts"
import type { ListeningSocket } from "./handover/ListeningSockets.ts"
import { boundSocket } from "./transport-splice/boundSocket.ts"
import { close, listen } from "./transport-splice/libc.ts"
import { AF_INET } from "./transport-splice/linux.ts"
import { setKeepalive, setNoDelay } from "./transport-splice/options.ts"
import { ADDRESS_WORDS } from "./transport-splice/sockaddr.ts"

/** Until the engine sets its own. */
const BACKLOG = 4_096

/** `192.0.2.1:8080` or `192.0.2.1:8080=app`. */
const PLAIN = /^(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}):(\d{1,5})(?:=.*)?$/

const openAt = (address: string, port: number, keepaliveMs: number): ReadonlyArray<ListeningSocket> => {
  const octets = address.split(".").map(Number)
  if (port < 1 || port > 65_535 || octets.some((octet) => octet > 255)) return []
  const words = new Int32Array(ADDRESS_WORDS)
  words[0] = AF_INET | (port << 16)
  new Uint8Array(words.buffer, 8).set(octets)
  const fd = boundSocket(words)
  if (fd < 0) return []
  // Those who connect from now on have them from the listener, and get them from nobody else (C4).
  setNoDelay(fd)
  setKeepalive(fd, keepaliveMs)
  if (listen(fd, BACKLOG) === 0) return [{ fd, address: { address, port } }]
  close(fd)
  return []
}

/** Not where each thread has a socket of its own, and not where nothing of the C library is asked for. */
const isWanted = (env: NodeJS.ProcessEnv): boolean =>
  (env["EDGEPROXY_TCP_REUSE_PORT"] ?? "") === "" &&
  ["", "off"].includes(env["EDGEPROXY_BACKEND_TLS"] ?? "") &&
  env["EDGEPROXY_TRANSPORT"] !== "node"

/**
 * Opens the listening sockets before the rest of the program is loaded, which takes several times as long: after a crash
 * nobody is refused for longer than need be, and who connects meanwhile waits in the backlog. Only what can be told from the
 * environment at a glance, IPv4 addresses with a port of their own; what is left out or fails is for the engine to open, and
 * to say what is wrong with it.
 */
export const listenFirst = (env: NodeJS.ProcessEnv): ReadonlyArray<ListeningSocket> => {
  // Sockets are passed on by somebody else.
  if (env["LISTEN_FDS"] !== undefined || !isWanted(env)) return []
  const keepalive = env["EDGEPROXY_TCP_KEEPALIVE_SECS"] || DEFAULT_TCP_KEEPALIVE_SECS
  if (!/^\d{1,5}$/.test(keepalive)) return []
  return (env["EDGEPROXY_LISTEN_ADDR"] || DEFAULT_LISTEN_ADDR).split(",").flatMap((text) => {
    const [, address, port] = PLAIN.exec(text.trim()) ?? []
    return address === undefined ? [] : openAt(address, Number(port), Number(keepalive) * 1_000)
  })
}
