import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createConnection, type Socket } from "node:net"
import { AnnounceError } from "../../src/anycast/RouteAnnouncer.ts"
import { NotBird, make as makeReplies, type Reply } from "./Replies.ts"

/** An open control socket: one command at a time, each with its reply. */
export interface Control {
  readonly send: (command: string) => Effect.Effect<Reply, AnnounceError>
}

const words: Readonly<Record<string, string>> = {
  ENOENT: "no such socket; is BIRD running?",
  ECONNREFUSED: "nobody listens there; is BIRD running?",
  EACCES: "permission denied; is this user in BIRD's group?",
  ENOTSOCK: "not a socket"
}

const READY = 1

/** Connects, and waits for the greeting. */
export const connect = (path: string): Effect.Effect<Control, AnnounceError, Scope.Scope> => {
  const failure = (reason: AnnounceError["reason"], detail: string): AnnounceError =>
    new AnnounceError({ target: `bird at ${path}`, reason, detail })

  const replies = makeReplies()
  const came: Array<Reply> = []
  let ended: AnnounceError | undefined
  let waiting: ((outcome: Effect.Effect<Reply, AnnounceError>) => void) | undefined

  const settle = (): void => {
    if (waiting === undefined) return
    const resume = waiting
    const reply = came.shift()
    if (reply === undefined && ended === undefined) return
    waiting = undefined
    resume(reply === undefined ? Effect.fail(ended ?? failure("unreachable", "closed")) : Effect.succeed(reply))
  }
  const end = (error: AnnounceError): void => {
    ended ??= error
    settle()
  }
  const open = (): Socket => {
    const socket = createConnection({ path })
    socket.setEncoding("latin1")
    socket.on("data", (part: string) => {
      try {
        came.push(...replies.push(part))
        settle()
      } catch (error) {
        end(failure("protocol", error instanceof NotBird ? error.message : String(error)))
        socket.destroy()
      }
    })
    socket.on("error", (error: NodeJS.ErrnoException) =>
      end(failure("unreachable", words[error.code ?? ""] ?? error.message))
    )
    socket.on("close", () => end(failure("unreachable", "BIRD has closed the connection")))
    return socket
  }
  const reply = Effect.callback<Reply, AnnounceError>((resume) => {
    waiting = resume
    settle()
    return Effect.sync(() => (waiting = undefined))
  })

  return Effect.gen(function* () {
    const socket = yield* Effect.acquireRelease(Effect.sync(open), (socket) => Effect.sync(() => socket.destroy()))
    const greeting = yield* reply
    if (greeting.code !== READY) return yield* failure("protocol", "it does not greet as BIRD does")
    return {
      send: (command) =>
        Effect.suspend(() => {
          // What was not asked for is no answer.
          if (came.length > 0) return Effect.fail(failure("protocol", "it answers before it is asked"))
          socket.write(`${command}\n`, "latin1")
          return reply
        })
    }
  })
}
