import koffi from "koffi"
import { fdOf, socketAt } from "./kernelSockets.ts"

/** Linux's numbers (socket(7), tcp(7)). */
const options = {
  SO_RCVBUF: [1, 8],
  SO_KEEPALIVE: [1, 9],
  TCP_NODELAY: [6, 1],
  TCP_KEEPIDLE: [6, 4],
  TCP_USER_TIMEOUT: [6, 18]
} as const

export type SocketOption = keyof typeof options

const library = koffi.load(null)
const getsockopt = library.func("int getsockopt(int, int, int, _Out_ int *, _Inout_ uint32_t *)")
const setsockopt = library.func("int setsockopt(int, int, int, const int *, uint32_t)")

const fdAt = (localPort: number, remotePort: number): number => {
  const socket = socketAt(localPort, remotePort)
  const fd = socket === undefined ? undefined : fdOf(socket.inode)
  if (fd === undefined) throw new Error(`this process has no socket from port ${localPort} to port ${remotePort}`)
  return fd
}

/** What an option of a socket of this process is set to, whoever opened it. */
export const getOption = (localPort: number, remotePort: number, option: SocketOption): number => {
  const value = [0]
  if (getsockopt(fdAt(localPort, remotePort), ...options[option], value, [4]) < 0) throw new Error(`no ${option}`)
  return value[0] ?? 0
}

export const setOption = (localPort: number, remotePort: number, option: SocketOption, value: number): void => {
  if (setsockopt(fdAt(localPort, remotePort), ...options[option], [value], 4) < 0) throw new Error(`no ${option}`)
}
