import { workerData } from "node:worker_threads"
import * as DataPlane from "./DataPlane.ts"
import * as EpollEvents from "./EpollEvents.ts"
import { allocate, close, epollCreate1, epollCtl, epollWait, errno, write } from "./libc.ts"
import { EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLET, EPOLLIN, errnoName } from "./linux.ts"
import * as messages from "./messages.ts"
import * as Outbox from "./Outbox.ts"
import * as Ring from "./Ring.ts"
import * as Slots from "./Slots.ts"
import { header, monotonicOrigin, type ThreadMemory } from "./ThreadMemory.ts"

/** What the control side gives a thread at its start. Both eventfds stay the control side's. */
export interface ThreadStart {
  readonly memory: ThreadMemory
  /** Wakes the thread. */
  readonly wakeFd: number
  /** Wakes the control side. */
  readonly controlFd: number
}

/** The tag of the eventfd. */
const WAKE_TAG = 0x7fff_ffff
const EVENTS = 256
// A call that never came back would keep `process.exit` and `terminate` waiting for ever.
const LONGEST_WAIT_MS = 100
/** With deadlines to keep, no longer than one of their ticks. */
const TICK_MS = 50
/** Turns before libuv gets its own, for which the thread has no other use than its end. */
const TURNS = 64
const LONGEST_MESSAGE = 4_200
/** How long what can wait is kept from the control side. */
const PATIENCE_MS = 2

const { controlFd, memory, wakeFd } = workerData as ThreadStart

const events = EpollEvents.make(EVENTS)
const single = EpollEvents.make(1)
const counter = allocate(8)
counter.words[0] = 1

const inbox = Ring.reader(memory.toThread)
const inboxFloats = new Float64Array(inbox.words.buffer, inbox.words.byteOffset)
const writer = Ring.writer(memory.toControl)
const outbox = Outbox.make(writer, LONGEST_MESSAGE, messages.canWait)
const slots = Slots.make(memory)

Atomics.store(slots.header, header.loaded, 1)
Atomics.notify(slots.header, header.loaded)

slots.header[header.epollFd] = epollCreate1(EPOLL_CLOEXEC) + 1
const epollFd = (slots.header[header.epollFd] ?? 0) - 1
if (epollFd < 0) throw new Error(`no epoll instance: ${errnoName(errno())}`)
// Edge-triggered, so that it need not be read: a counter of 64 bits has room for all wake-ups there will ever be.
single.set(EPOLLIN | EPOLLET, WAKE_TAG, 0)
if (epollCtl(epollFd, EPOLL_CTL_ADD, wakeFd, single.memory.address) < 0) {
  throw new Error(`nothing wakes this thread: ${errnoName(errno())}`)
}
slots.clock[0] = monotonicOrigin()
const plane = DataPlane.make(slots, epollFd, single, outbox)

/** When something was said that can wait, or 0. */
let saidAt = 0

const wakeControl = (now: number): void => {
  if (!outbox.isUrgent() && !outbox.isFull()) {
    if (saidAt === 0 && writer.isUnread()) saidAt = now
    if (saidAt === 0 || now - saidAt < PATIENCE_MS) return
  }
  saidAt = 0
  if (writer.mustWake()) write(controlFd, counter.address, 8)
}

const commands = (): void => {
  for (let at = inbox.next(); at >= 0; at = inbox.next()) {
    plane.command(inbox.kind(), inbox.words, inboxFloats, at)
    inbox.done()
  }
}

/** How many events there were. */
const turn = (): number => {
  const mayWait = plane.isIdle() && inbox.sleep()
  // A control side that does not keep up with reading needs the processor more than this thread.
  const hasMore = saidAt > 0 || outbox.isFull()
  const longest = hasMore ? PATIENCE_MS : slots.header[header.connections] === 0 ? LONGEST_WAIT_MS : TICK_MS
  const count = epollWait(epollFd, events.memory.address, EVENTS, mayWait ? longest : 0)
  inbox.wake()
  const now = performance.now()
  plane.beginTurn(now)
  for (let i = 0; i < count; i++) {
    const tag = events.tag(i)
    if (tag === WAKE_TAG) continue
    if (tag >= DataPlane.LISTENER_TAG) plane.listener(tag - DataPlane.LISTENER_TAG)
    else plane.clientOrBackend(tag, events.generation(i), events.events(i))
  }
  // After the kernel's events: who has reset while a decision was made is not dialled for.
  commands()
  plane.finishTurn()
  outbox.flush()
  wakeControl(now)
  return count
}

const run = (): void => {
  for (let i = 0; i < TURNS; i++) {
    if (Atomics.load(slots.header, header.stop) === 1) {
      plane.shut()
      slots.header[header.epollFd] = 0
      close(epollFd)
      outbox.flush()
      if (writer.mustWake()) write(controlFd, counter.address, 8)
      return
    }
    if (turn() <= 0) break
  }
  setImmediate(run)
}

run()
