import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import * as https from "node:https"
import { codeOf } from "../../src/traffic/errno.ts"
import { AgentError } from "./AgentError.ts"
import { type CorrosionOptions, type CorrosionTimes, defaultTimes } from "./options.ts"

export interface AgentRequest {
  readonly method: "GET" | "POST"
  /** Below the URL of the agent, with its query. */
  readonly path: string
  /** JSON. */
  readonly body?: string
}

/** An answer whose head has come. Its body is read at the reader's pace: what is not read stays with the agent. */
export interface Answer {
  readonly status: number
  readonly header: (name: string) => string | undefined
  /** What has arrived and was not read yet; null when nothing has. */
  readonly read: () => Buffer | null
  /** True when there is something to read, false at the end of the body. Fails when the connection breaks before. */
  readonly more: Effect.Effect<boolean, AgentError>
}

/** The HTTP API of one Corrosion agent. */
export interface Agent {
  /** Its address, without anything secret. */
  readonly target: string
  readonly times: CorrosionTimes
  /** The answer lives as long as the scope. Its body may last for ever: only the head has a time limit. */
  readonly open: (request: AgentRequest) => Effect.Effect<Answer, AgentError, Scope.Scope>
}

const KEEP_ALIVE_MS = 10_000

/**
 * Over `node:http`, not `fetch`: an agent sends no heartbeat, and the body timeout of `fetch` (300 s of silence) would end a
 * healthy subscription to a quiet table; without the undici package it can't be changed. Here a body has no time limit, and the
 * socket is at hand for TCP keepalive. Each request has a connection of its own: a subscription needs one anyway, and one that
 * the agent has just closed is never reused for a write.
 */
export const make = ({ times, token, url }: CorrosionOptions): Agent => {
  const base = new URL(url)
  const prefix = base.pathname.replace(/\/+$/, "")
  const { request } = base.protocol === "https:" ? https : http

  const headers = (body: string | undefined): Record<string, string | number> => ({
    ...(token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }),
    ...(body === undefined
      ? {}
      : // The length keeps node from sending in chunks, of which the agent's logs make more.
        { "content-type": "application/json", "content-length": Buffer.byteLength(body) })
  })

  const agent: Agent = {
    target: `${base.protocol}//${base.host}${prefix}`,
    times: { ...defaultTimes, ...times },
    open: Effect.fnUntraced(function* ({ body, method, path }) {
      const sent = yield* Effect.acquireRelease(
        Effect.try({
          try: () =>
            request({
              protocol: base.protocol,
              // Brackets are for URLs.
              hostname: base.hostname.replace(/^\[|\]$/g, ""),
              port: base.port,
              path: `${prefix}${path}`,
              method,
              headers: headers(body),
              agent: false
            }),
          // Of what makes no request only the code is told: it might quote a header.
          catch: (error) => new AgentError({ kind: "denied", detail: `the request can't be made: ${codeOf(error)}` })
        }),
        (sent) =>
          Effect.sync(() => {
            sent.on("error", ignore)
            sent.destroy()
          })
      )
      return yield* Effect.callback<Answer, AgentError>((resume) => {
        sent.on("socket", (socket) => {
          socket.setNoDelay(true)
          socket.setKeepAlive(true, KEEP_ALIVE_MS)
        })
        sent.on("error", (error) => resume(Effect.fail(broken(error))))
        sent.on("response", (response) => resume(Effect.succeed(answerOf(response))))
        sent.end(body)
      }).pipe(
        Effect.timeoutOrElse({
          duration: agent.times.headMs,
          orElse: () => Effect.fail(late(`no answer within ${agent.times.headMs} ms`))
        })
      )
    })
  }
  return agent
}

const ignore = (): void => undefined

export const late = (detail: string): AgentError => new AgentError({ kind: "timeout", detail })

const broken = (error: unknown): AgentError => {
  const code = codeOf(error)
  // Node's words for these say nothing that the code does not.
  const detail = code === "UNKNOWN" && error instanceof Error ? error.message : code
  return new AgentError({ kind: "unreachable", detail })
}

const answerOf = (response: http.IncomingMessage): Answer => {
  let state: "open" | "ended" | AgentError = "open"
  let wake: (() => void) | undefined
  let readable = false
  const notify = (): void => {
    const waiting = wake
    wake = undefined
    waiting?.()
  }
  const end = (as: "ended" | AgentError): void => {
    if (state === "open") state = as
    notify()
  }
  response.on("readable", () => {
    readable = true
    notify()
  })
  response.on("end", () => end("ended"))
  response.on("error", (error) => end(broken(error)))
  response.on("close", () => end(new AgentError({ kind: "unreachable", detail: "the connection was cut" })))

  const outcome = (): Effect.Effect<boolean, AgentError> | undefined => {
    if (readable) {
      readable = false
      return Effect.succeed(true)
    }
    if (state === "open") return undefined
    return state === "ended" ? Effect.succeed(false) : Effect.fail(state)
  }
  return {
    status: response.statusCode ?? 0,
    header: (name) => {
      const value = response.headers[name]
      return typeof value === "string" ? value : undefined
    },
    read: () => response.read() as Buffer | null,
    more: Effect.callback((resume) => {
      const attempt = (): void => {
        const known = outcome()
        if (known === undefined) wake = attempt
        else resume(known)
      }
      attempt()
      return Effect.sync(() => {
        wake = undefined
      })
    })
  }
}
