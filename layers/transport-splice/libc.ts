import koffi from "koffi"

/**
 * The C library's functions as JavaScript calls them. Everything is a plain number, addresses too: what returns an `int`
 * and takes no pointer object costs about 0.1 us over the system call, other signatures nearly twice that. The program's
 * own C library is used, whatever its name, so musl does as well as glibc.
 */
const library = koffi.load(null)

const define = <F extends (...args: ReadonlyArray<never>) => number>(prototype: string): F =>
  // The prototype says what the function takes; a mismatch shows in the first test that calls it.
  library.func(prototype) as unknown as F

type Call1 = (a: number) => number
type Call2 = (a: number, b: number) => number
type Call3 = (a: number, b: number, c: number) => number
type Call4 = (a: number, b: number, c: number, d: number) => number
type Call5 = (a: number, b: number, c: number, d: number, e: number) => number
type Call6 = (a: number, b: number, c: number, d: number, e: number, f: number) => number

export const socket = define<Call3>("int socket(int, int, int)")
/** domain, type, protocol, address of two descriptors */
export const socketpair = define<Call4>("int socketpair(int, int, int, int64_t)")
/** fd, level, name, address, length */
export const setsockopt = define<Call5>("int setsockopt(int, int, int, int64_t, int)")
/** fd, level, name, address, address of the length */
export const getsockopt = define<Call5>("int getsockopt(int, int, int, int64_t, int64_t)")
export const bind = define<Call3>("int bind(int, int64_t, int)")
export const listen = define<Call2>("int listen(int, int)")
export const getsockname = define<Call3>("int getsockname(int, int64_t, int64_t)")
export const connect = define<Call3>("int connect(int, int64_t, int)")
/** fd, address, address of its length, flags */
export const accept4 = define<Call4>("int accept4(int, int64_t, int64_t, int)")
export const shutdown = define<Call2>("int shutdown(int, int)")
export const close = define<Call1>("int close(int)")
/** fd, address, length, flags; lengths are below 2^31 here, so that an int holds what is returned. */
export const recv = define<Call4>("int recv(int, int64_t, int, int)")
export const send = define<Call4>("int send(int, int64_t, int, int)")
/** from, null, to, null, length, flags */
export const splice = define<Call6>("int splice(int, int64_t, int, int64_t, int, uint)")
export const pipe2 = define<Call2>("int pipe2(int64_t, int)")
export const fcntl = define<Call3>("int fcntl(int, int, int)")
/** fd, request, address */
export const ioctl = define<Call3>("int ioctl(int, int, int64_t)")
export const epollCreate1 = define<Call1>("int epoll_create1(int)")
/** epoll fd, operation, fd, address of the event */
export const epollCtl = define<Call4>("int epoll_ctl(int, int, int, int64_t)")
/** epoll fd, address of the events, how many fit, milliseconds */
export const epollWait = define<Call4>("int epoll_wait(int, int64_t, int, int)")
export const eventfd = define<Call2>("int eventfd(int, int)")
export const read = define<Call3>("int read(int, int64_t, int)")
export const write = define<Call3>("int write(int, int64_t, int)")

/** An interface's number, for IPv6 addresses with a zone; 0 when there is none of that name. */
export const interfaceIndex = library.func("int if_nametoindex(const char *)") as unknown as (name: string) => number

/** Memory that the kernel may be handed by address; it stays where it is, and alive as long as this is referenced. */
export interface Memory {
  readonly bytes: Uint8Array
  readonly words: Int32Array
  readonly address: number
}

export const allocate = (size: number): Memory => {
  const buffer = new ArrayBuffer(Math.ceil(size / 8) * 8)
  const bytes = new Uint8Array(buffer)
  return { bytes, words: new Int32Array(buffer), address: addressOf(bytes) }
}

/** Of memory outside the JavaScript heap only: that of an `ArrayBuffer` made as such, which never moves. */
export const addressOf = (bytes: Uint8Array): number => Number(koffi.address(bytes))

const locate = library.func("void *__errno_location(void)") as unknown as () => bigint
const cell = new Int32Array(koffi.view(locate(), 4))

/**
 * Why the call before has failed. To be read in the very next expression: the thread's cell is looked at directly, since a
 * garbage collection or any other call in between may set it anew, and a false EAGAIN is a lost wake-up.
 */
export const errno = (): number => cell[0] ?? 0

/** Calls back whenever the file descriptor is readable, from libuv's loop; returns what stops it. */
export const whenReadable = (fd: number, callback: () => void): (() => void) => {
  const handle = koffi.node.poll(fd, { readable: true }, callback)
  handles.add(handle)
  return () => {
    handles.delete(handle)
    handle.stop()
    handle.close()
  }
}

// A handle that has been collected has silently stopped.
const handles = new Set<object>()
