import { type Enough, MAX_PREREAD, prereads } from "../../src/traffic/Preread.ts"
import { errno, recv } from "./libc.ts"
import { EAGAIN, EINTR, MSG_PEEK } from "./linux.ts"
import * as messages from "./messages.ts"
import type { Outbox } from "./Outbox.ts"
import { CLIENT, HANGUP, type Slots } from "./Slots.ts"

/** Looks at the first bytes of clients, which stay in the kernel until they are consumed or relayed. */
export interface Prereads {
  /** Answers once there are enough, or there can't be. One look of a client at a time: a new one takes the old one's place. */
  readonly ask: (slot: number, request: PrereadRequest) => void
  /** The client has said something, or has finished. */
  readonly look: (slot: number) => void
  readonly forget: (slot: number) => void
  readonly consume: (slot: number, bytes: number) => void
}

interface PrereadRequest {
  /** Index of what is asked for in `prereads`. */
  readonly question: number
  readonly max: number
  /** By which the control side knows the answer. */
  readonly number: number
}

const questions: ReadonlyArray<Enough> = Object.values(prereads)

const verdicts = { enough: messages.PREREAD_ENOUGH, malformed: messages.PREREAD_MALFORMED } as const

/** `buffer` may be overwritten at any time, `broken` hears of clients that turn out to be gone. */
export const make = (
  slots: Slots,
  outbox: Outbox,
  buffer: { readonly bytes: Uint8Array; readonly address: number },
  broken: (client: number, errno: number) => void
): Prereads => {
  const { words } = outbox
  const asked = new Map<number, PrereadRequest>()

  const fdOf = (slot: number): number => (slots.fds[slot * 2 + CLIENT] ?? 0) - 1

  const answer = (slot: number, number: number, verdict: number, bytes: Uint8Array): void => {
    asked.delete(slot)
    words[messages.SLOT] = slot
    words[messages.GENERATION] = slots.generation[slot] ?? 0
    words[messages.prereadDone.number] = number
    words[messages.prereadDone.verdict] = verdict
    words[messages.prereadDone.length] = bytes.length
    new Uint8Array(words.buffer, messages.prereadDone.bytes * 4, bytes.length).set(bytes)
    outbox.send(messages.PREREAD_DONE, messages.prereadDone.bytes + Math.ceil(bytes.length / 4))
  }

  const look = (slot: number): void => {
    const request = asked.get(slot)
    if (request === undefined) return
    const client = slot * 2 + CLIENT
    const count = recv(fdOf(slot), buffer.address, request.max, MSG_PEEK)
    const why = count < 0 ? errno() : 0
    if (count < 0 && why !== EAGAIN && why !== EINTR) return broken(client, why)
    const bytes = buffer.bytes.subarray(0, Math.max(0, count))
    // What is there ends with the FIN if the kernel has told of one.
    const finished = ((slots.flags[client] ?? 0) & HANGUP) !== 0
    const verdict = questions[request.question]?.(bytes, finished) ?? "malformed"
    if (verdict !== "more") answer(slot, request.number, verdicts[verdict], bytes)
    else if (bytes.length >= request.max) answer(slot, request.number, messages.PREREAD_TOO_LONG, bytes)
  }

  return {
    ask: (slot, request) => {
      asked.set(slot, { ...request, max: Math.min(MAX_PREREAD, request.max) })
      look(slot)
    },
    look,
    forget: (slot) => void asked.delete(slot),
    consume: (slot, bytes) => {
      for (let left = bytes; left > 0;) {
        const taken = recv(fdOf(slot), buffer.address, Math.min(left, MAX_PREREAD), 0)
        if (taken <= 0) return
        left -= taken
      }
    }
  }
}
