import * as Effect from "effect/Effect"
import type { EdgeProcess } from "./EdgeProcess.ts"

export interface Answer {
  readonly status: number
  /** Decoded JSON. */
  readonly body: Readonly<Record<string, unknown>>
}

/** The API of a running proxy, as curl would use it. */
export interface EdgeApi {
  readonly url: string
  readonly call: (method: string, path: string, body?: unknown) => Effect.Effect<Answer>
  /** Asks until an answer fits. */
  readonly until: (path: string, fits: (answer: Answer) => boolean) => Effect.Effect<Answer>
}

const POLL_MS = 10
const PATIENCE_MS = 20_000

/** Where the proxy says that its API is. */
export const apiOf = Effect.fnUntraced(function* (edge: EdgeProcess) {
  const { address } = yield* edge.log("API endpoint")
  const url = `http://${String(address)}`
  const call: EdgeApi["call"] = (method, path, body) =>
    Effect.promise(async () => {
      const response = await fetch(`${url}${path}`, {
        method,
        // Kept for the next, the connection would be one more of the proxy's descriptors.
        headers: { connection: "close", ...(body === undefined ? {} : { "content-type": "application/json" }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) })
      })
      return { status: response.status, body: (await response.json()) as Answer["body"] }
    })
  const until: EdgeApi["until"] = (path, fits) => {
    let last: Answer | undefined
    return Effect.gen(function* () {
      while (true) {
        last = yield* call("GET", path)
        // Asked as often as this, it may ask for patience.
        if (last.status !== 429 && fits(last)) return last
        yield* Effect.sleep(POLL_MS)
      }
    }).pipe(
      Effect.timeoutOrElse({
        duration: PATIENCE_MS,
        orElse: () => Effect.die(new Error(`${path} still answers ${JSON.stringify(last)}`))
      })
    )
  }
  return { url, call, until } satisfies EdgeApi
})
