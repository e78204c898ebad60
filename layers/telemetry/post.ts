import * as http from "node:http"
import * as https from "node:https"

/** What became of a request, as the protocol tells them apart (OTLP 1.5, OTLP/HTTP response). */
export type Outcome =
  | { readonly _tag: "Delivered" }
  /** Not to be sent again. */
  | { readonly _tag: "Rejected"; readonly why: string }
  /** Worth another try; not before this many milliseconds, if the collector has said so. */
  | { readonly _tag: "Failed"; readonly why: string; readonly retryAfterMs: number | undefined }

export interface Collector {
  /** Resolves whatever happens, at most {@link TIMEOUT_MS} later. */
  readonly post: (path: string, body: Uint8Array, signal: AbortSignal) => Promise<Outcome>
  /** Lets go of the connections. */
  readonly close: () => void
}

/** From the first byte of the request to the last one of the answer (OTEL_EXPORTER_OTLP_TIMEOUT has the same default). */
const TIMEOUT_MS = 10_000

// What collectors answer is a few bytes; more is read so that the connection can be used again, and a flood of it is not.
const MAX_ANSWER_BYTES = 65_536

/** One for each signal. */
const CONNECTIONS = 3

const retryable: ReadonlySet<number> = new Set([429, 502, 503, 504])

/** Seconds or an HTTP date (RFC 9110, 10.2.3). */
export const retryAfterMs = (value: string | undefined, now: number): number | undefined => {
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1_000
  const at = /^[A-Z][a-z]{2}, /.test(value) ? Date.parse(value) : NaN
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}

const outcomeOf = (status: number, retryAfter: string | undefined): Outcome => {
  if (status >= 200 && status < 300) return { _tag: "Delivered" }
  const why = `HTTP ${status}`
  // A redirect is not followed: the headers may be secrets, meant for this collector.
  if (!retryable.has(status)) return { _tag: "Rejected", why }
  return { _tag: "Failed", why, retryAfterMs: retryAfterMs(retryAfter, Date.now()) }
}

/** A collector behind a base URL. It is believed nothing but its status line and `Retry-After`. */
export const connect = (url: string, headers: Readonly<Record<string, string>>, timeoutMs = TIMEOUT_MS): Collector => {
  const base = new URL(url)
  const secure = base.protocol === "https:"
  const options = { keepAlive: true, maxSockets: CONNECTIONS }
  const agent = secure ? new https.Agent(options) : new http.Agent(options)
  const request = secure ? https.request : http.request
  const prefix = base.pathname.replace(/\/+$/, "")

  const post: Collector["post"] = (path, body, signal) =>
    new Promise((resolve) => {
      const target = new URL(base)
      target.pathname = `${prefix}${path}`
      const failed = (why: string): void => resolve({ _tag: "Failed", why, retryAfterMs: undefined })
      const sending = request(target, {
        agent,
        method: "POST",
        headers: { ...headers, "content-type": "application/x-protobuf", "content-length": `${body.length}` }
      })
      const stop = (why: string) => (): void => {
        failed(why)
        sending.destroy()
      }
      const giveUp = stop("given up")
      const timer = setTimeout(stop("no answer"), timeoutMs)
      signal.addEventListener("abort", giveUp, { once: true })
      sending.once("close", () => {
        clearTimeout(timer)
        signal.removeEventListener("abort", giveUp)
        failed("the connection was closed")
      })
      sending.on("error", (error: NodeJS.ErrnoException) => failed(error.code ?? error.message))
      sending.once("response", (response) => {
        let bytes = 0
        const outcome = outcomeOf(response.statusCode ?? 0, response.headers["retry-after"])
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length
          // The status has said it all.
          if (bytes <= MAX_ANSWER_BYTES) return
          resolve(outcome)
          sending.destroy()
        })
        response.once("end", () => resolve(outcome))
        response.on("error", () => resolve(outcome))
      })
      if (signal.aborted) return giveUp()
      sending.end(body)
    })

  return { post, close: () => agent.destroy() }
}
