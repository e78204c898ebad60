import type { LiveMessage } from "../../../src/dashboard/LiveMessage.ts"
import * as LiveView from "../../../src/dashboard/LiveView.ts"
import * as token from "./token.ts"

/** How the stream fares. */
export type Link =
  | { readonly state: "connecting" | "live" | "paused" }
  | { readonly state: "lost"; readonly retryMs: number }
  | { readonly state: "denied"; readonly why: string; readonly asksForToken: boolean }

export interface Viewer {
  readonly onView: (view: LiveView.LiveView) => void
  readonly onLink: (link: Link) => void
}

const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 5_000
/** The stream says something each second: silent for so long, it has ended and nobody has said so. */
const SILENT_MS = 15_000
/** A hidden page lets go of its stream after so long. */
const HIDDEN_MS = 10_000

const messageOf = async (response: Response): Promise<string> => {
  const body: unknown = await response.json().catch(() => undefined)
  const known = typeof body === "object" && body !== null && "error" in body
  return known ? String(body.error) : `HTTP ${response.status}`
}

/** Follows the live stream for as long as the page is there and seen. A new connection begins with everything. */
export const follow = ({ onLink, onView }: Viewer): { readonly again: () => void } => {
  let abort = new AbortController()
  let retryMs = FIRST_RETRY_MS
  let timer: ReturnType<typeof setTimeout> | undefined

  const read = async (body: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<void> => {
    const view = LiveView.empty()
    const reader = body.getReader()
    const decoder = new TextDecoder()
    let rest = ""
    let silence: ReturnType<typeof setTimeout> | undefined
    try {
      while (!signal.aborted) {
        clearTimeout(silence)
        silence = setTimeout(() => abort.abort(), SILENT_MS)
        const { done, value } = await reader.read()
        if (done) return
        const events = (rest + decoder.decode(value, { stream: true })).split("\n\n")
        rest = events.pop() ?? ""
        for (const event of events) {
          if (event.startsWith("data: ")) LiveView.add(view, JSON.parse(event.slice(6)) as LiveMessage)
        }
        if (events.length === 0) continue
        retryMs = FIRST_RETRY_MS
        onLink({ state: "live" })
        onView(view)
      }
    } finally {
      clearTimeout(silence)
    }
  }

  const connect = async (): Promise<void> => {
    clearTimeout(timer)
    abort.abort()
    abort = new AbortController()
    const { signal } = abort
    onLink({ state: "connecting" })
    try {
      const response = await fetch("/api/v1/live", { headers: token.headers(), signal, cache: "no-store" })
      if (response.status === 401 || response.status === 403) {
        const asksForToken = token.wouldHelp(response.status)
        return onLink({ state: "denied", why: await messageOf(response), asksForToken })
      }
      if (response.ok && response.body !== null) await read(response.body, signal)
    } catch {
      // It was not to be reached, or has gone: both end here.
    }
    // Another one has taken its place, or the page is hidden.
    if (abort.signal !== signal || (signal.aborted && document.hidden)) return
    onLink({ state: "lost", retryMs })
    timer = setTimeout(() => void connect(), retryMs)
    retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)
  }

  let hiding: ReturnType<typeof setTimeout> | undefined
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding)
    if (document.hidden) {
      hiding = setTimeout(() => {
        clearTimeout(timer)
        abort.abort()
        onLink({ state: "paused" })
      }, HIDDEN_MS)
    } else if (abort.signal.aborted) void connect()
  })

  void connect()
  return { again: () => void connect() }
}
