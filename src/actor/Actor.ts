import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { Supervisor } from "./Supervisor.ts"

/** Where to send an actor its messages. */
export interface ActorRef<Message> {
  readonly name: string
  /** Waits while the mailbox is full: backpressure on a sender that can wait. */
  readonly tell: (message: Message) => Effect.Effect<void>
  /** For callbacks: false when the mailbox is full and the message was not taken. */
  readonly offer: (message: Message) => boolean
  readonly waiting: () => number
}

/**
 * A supervised fiber that owns its state and takes one message at a time from a bounded mailbox. When `receive` fails, that
 * message is dropped (it may be what kills it), the actor restarts as the supervisor says, and the mailbox and whatever
 * state `receive` closes over live on.
 */
export const make = Effect.fnUntraced(function* <Message, E, R>(options: {
  readonly name: string
  readonly mailbox: number
  readonly receive: (message: Message) => Effect.Effect<void, E, R>
}): Effect.fn.Return<ActorRef<Message>, never, Supervisor | Scope.Scope | R> {
  const supervisor = yield* Supervisor
  const mailbox = yield* Queue.bounded<Message>(options.mailbox)
  yield* supervisor.supervise(options.name, Queue.take(mailbox).pipe(Effect.flatMap(options.receive), Effect.forever))
  return {
    name: options.name,
    tell: (message) => Effect.asVoid(Queue.offer(mailbox, message)),
    offer: (message) => Queue.offerUnsafe(mailbox, message),
    waiting: () => Queue.sizeUnsafe(mailbox)
  }
})
