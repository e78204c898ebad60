import { DEFAULT_LISTEN_ADDR } from "../src/config/defaultListenAddr.ts"
import type { ListeningSocket } from "./handover/ListeningSockets.ts"
import { boundSocket } from "./transport-splice/boundSocket.ts"
import { close, listen } from "./transport-splice/libc.ts"
import { AF_INET } from "./transport-splice/linux.ts"
import { ADDRESS_WORDS } from "./transport-splice/sockaddr.ts"

/** Until the engine sets its own. */
const BACKLOG = 4_096

/** `192.0.2.1:8080` or `192.0.2.1:8080=app`. */
const PLAIN = /^(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}):(\d{1,5})(?:=.*)?$/

const openAt = (address: string, port: number): ReadonlyArray<ListeningSocket> => {
  const octets = address.split(".").map(Number)
  if (port < 1 || port > 65_535 || octets.some((octet) => octet > 255)) return []
  const words = new Int32Array(ADDRESS_WORDS)
  words[0] = AF_INET | (port << 16)
  new Uint8Array(words.buffer, 8).set(octets)
  const fd = boundSocket(words)
  if (fd < 0) return []
  if (listen(fd, BACKLOG) === 0) return [{ fd, address: { address, port } }]
  close(fd)
  return []
}

/**
 * Opens the listening sockets before the rest of the program is loaded, which takes several times as long: after a crash
 * nobody is refused for longer than need be, and who connects meanwhile waits in the backlog. Only what can be told from the
 * environment at a glance, IPv4 addresses with a port of their own; what is left out or fails is for the engine to open, and
 * to say what is wrong with it.
 */
export const listenFirst = (env: NodeJS.ProcessEnv): ReadonlyArray<ListeningSocket> => {
  // Sockets are passed on by somebody else; or each thread has one of its own.
  if (env["LISTEN_FDS"] !== undefined || (env["EDGEPROXY_TCP_REUSE_PORT"] ?? "") !== "") return []
  return (env["EDGEPROXY_LISTEN_ADDR"] || DEFAULT_LISTEN_ADDR).split(",").flatMap((text) => {
    const [, address, port] = PLAIN.exec(text.trim()) ?? []
    return address === undefined ? [] : openAt(address, Number(port))
  })
}
