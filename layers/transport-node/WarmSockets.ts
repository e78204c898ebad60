import type * as net from "node:net"
import type { DeadlineWheel, Waiting } from "../../src/traffic/DeadlineWheel.ts"
import { dialError, warmGone } from "../../src/traffic/errno.ts"
import {
  type DialError,
  MAX_GREETING,
  type WarmEvents,
  type WarmId,
  type WarmOptions
} from "../../src/traffic/Transport.ts"
import { closeInOrder } from "./closing.ts"
import { type BackendEvents, dialBackend, handOver, readBuffer } from "./OwnedSocket.ts"

/** A connection on its way from who opened it ahead to its client. */
export interface Warm {
  readonly socket: net.Socket
  /** What the backend has said first. */
  readonly greeting: ReadonlyArray<Buffer>
}

/** The connections of the engine that were opened ahead. */
export interface WarmSockets {
  readonly open: (options: WarmOptions, events: WarmEvents) => WarmId
  readonly discard: (id: WarmId) => void
  /** Gives an open one to its client, and forgets it: nobody can have it a second time. */
  readonly take: (id: WarmId, next: BackendEvents) => Warm | undefined
  readonly size: () => number
  readonly discardAll: () => void
}

export const make = (
  now: () => number,
  wheel: DeadlineWheel<Waiting & { due: (now: number) => void }>
): WarmSockets => {
  const sockets = new Map<WarmId, WarmSocket>()
  let nextId: WarmId = 1
  const forget = (id: WarmId, warm: WarmSocket): void => {
    sockets.delete(id)
    wheel.cancel(warm)
  }
  const discard = (id: WarmId): void => {
    const warm = sockets.get(id)
    if (warm === undefined) return
    forget(id, warm)
    warm.close()
  }
  return {
    open: (options, events) => {
      const id = nextId++
      const warm = new WarmSocket(id, options, now, {
        onWarm: events.onWarm,
        onWarmLost: (_, error) => {
          forget(id, warm)
          events.onWarmLost(id, error)
        }
      })
      sockets.set(id, warm)
      wheel.wakeAt(warm, now() + options.connectMs)
      return id
    },
    discard,
    take: (id, next) => {
      const warm = sockets.get(id)
      if (warm === undefined) return undefined
      forget(id, warm)
      if (!warm.isOpen) return void warm.close()
      return warm.giveTo(next)
    },
    size: () => sockets.size,
    discardAll: () => {
      for (const id of sockets.keys()) discard(id)
    }
  }
}

class WarmSocket implements Waiting, BackendEvents {
  dueTick = 0
  isOpen = false
  private readonly id: WarmId
  private readonly events: WarmEvents
  private readonly socket: net.Socket
  private readonly now: () => number
  private readonly since: number
  private readonly greeting: Array<Buffer> = []
  private greetingBytes = 0

  constructor(id: WarmId, options: WarmOptions, now: () => number, events: WarmEvents) {
    this.id = id
    this.events = events
    this.now = now
    this.since = now()
    this.socket = dialBackend(options, this)
  }

  close(): void {
    handOver(this.socket, nobody)
    if (this.isOpen) closeInOrder(this.socket)
    else this.socket.destroy()
  }

  giveTo(next: BackendEvents): Warm {
    handOver(this.socket, next)
    return { socket: this.socket, greeting: this.greeting }
  }

  /** Called by the wheel. */
  due(): void {
    if (!this.isOpen) this.lose(dialError("ETIMEDOUT"))
  }

  backendConnect(): void {
    this.isOpen = true
    this.events.onWarm(this.id, Math.round((this.now() - this.since) * 1_000))
  }

  backendData(_: net.Socket, length: number): boolean {
    this.greetingBytes += length
    if (this.greetingBytes > MAX_GREETING) this.lose(warmGone("EMSGSIZE"))
    else this.greeting.push(Buffer.from(readBuffer.subarray(0, length)))
    return true
  }

  backendEnd(): void {
    this.lose(warmGone("FIN"))
  }

  backendError(_: net.Socket, code: string): void {
    this.lose(this.isOpen ? warmGone(code) : dialError(code))
  }

  backendDrain(): void {}

  backendClose(): void {
    this.lose(warmGone("FIN"))
  }

  private lose(error: DialError): void {
    this.close()
    this.events.onWarmLost(this.id, error)
  }
}

/** Whoever is given up may still have something to say. */
const nobody: BackendEvents = {
  backendConnect: () => undefined,
  backendData: () => true,
  backendEnd: () => undefined,
  backendError: () => undefined,
  backendDrain: () => undefined,
  backendClose: () => undefined
}
