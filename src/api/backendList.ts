import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import type { BackendView } from "../backends/BackendView.ts"
import type { Registry } from "../backends/Registry.ts"
import { backendJson, quarantinedJson } from "./backendJson.ts"
import { pageOf } from "./page.ts"
import type { BackendList } from "./schemas.ts"

export interface BackendQuery {
  readonly app?: string | undefined
  readonly state?: BackendView["state"] | "quarantined" | undefined
  readonly limit?: number | undefined
  readonly after?: string | undefined
}

/** What may be listed, which of it is, and how it is shown. */
interface Listing<A> {
  readonly items: Iterable<A>
  /** Undefined: not of the list. */
  readonly idOf: (item: A) => string | undefined
  readonly show: (item: A) => (typeof BackendList.Type)["backends"][number]
}

const CHUNK_CHARACTERS = 16_384
// Items looked at in one turn of the loop.
const TURN = 256

const encoder = new TextEncoder()

/** The list as JSON in pieces; an empty one only gives others their turn. */
function* chunksOf<A>({ idOf, items, show }: Listing<A>): Generator<Uint8Array> {
  let text = '{"backends":['
  let total = 0
  let looked = 0
  for (const item of items) {
    if (idOf(item) !== undefined) text += `${total++ === 0 ? "" : ","}${JSON.stringify(show(item))}`
    if (++looked % TURN === 0 || text.length >= CHUNK_CHARACTERS) {
      yield encoder.encode(text)
      text = ""
    }
  }
  yield encoder.encode(`${text}],"total":${total}}`)
}

/** All of the list: made while it is sent, at the reader's pace, however long it is. */
const whole = <A>(listing: Listing<A>) =>
  HttpServerResponse.stream(
    Stream.fromIterable(chunksOf(listing), { chunkSize: 1 }).pipe(
      Stream.tap(() => Effect.yieldNow),
      Stream.filter((chunk) => chunk.length > 0)
    ),
    { contentType: "application/json" }
  )

const answer = Effect.fnUntraced(function* <A>(listing: Listing<A>, { after, limit }: BackendQuery) {
  if (limit === undefined && after === undefined) return whole(listing)
  const page = yield* pageOf(listing.items, listing.idOf, { after, limit: limit ?? 100 })
  const { next, total } = page
  const list: typeof BackendList.Type = {
    backends: page.items.map(listing.show),
    total,
    ...(next === undefined ? {} : { next })
  }
  return list
})

/** The backends that are asked for (D1), or the rows that are quarantined (R9). */
export const listBackends = Effect.fnUntraced(function* (registry: Registry["Service"], query: BackendQuery) {
  const { app, state } = query
  if (state === "quarantined") {
    // A bad row's app is anybody's guess.
    const items = app === undefined ? registry.quarantined() : new Map<string, string>()
    return yield* answer({ items, idOf: ([id]) => id, show: quarantinedJson }, query)
  }
  const now = yield* Clock.currentTimeMillis
  return yield* answer(
    {
      items: registry.list(),
      idOf: (view) =>
        (app === undefined || view.app === app) && (state === undefined || view.state === state) ? view.id : undefined,
      show: (view) => backendJson(view, now)
    },
    query
  )
})
