import koffi from "koffi"

const F_DUPFD_CLOEXEC = 1030

// The prototype says what it takes.
const fcntl = koffi.load(null).func("int fcntl(int, int, int)") as unknown as (
  fd: number,
  command: number,
  least: number
) => number

/** Another descriptor of the same socket, which children do not inherit; undefined when there can't be one. */
export const copyFd = (fd: number): number | undefined => {
  const copy = fcntl(fd, F_DUPFD_CLOEXEC, 3)
  return copy < 0 ? undefined : copy
}
