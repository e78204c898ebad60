import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import { type Caller, decide, type Holder, type Policy, type Purpose } from "./access.ts"
import { Flooded, Forbidden, Unauthorized } from "./errors.ts"

const options = {
  security: { bearer: HttpApiSecurity.bearer },
  error: [Unauthorized, Forbidden, Flooded]
} as const

/** For whoever may look. */
export class ReadAccess extends HttpApiMiddleware.Service<ReadAccess>()("edgeproxy/api/ReadAccess", options) {}

/** For whoever may change. */
export class WriteAccess extends HttpApiMiddleware.Service<WriteAccess>()("edgeproxy/api/WriteAccess", options) {}

/** The tokens there are. */
export class Tokens extends Context.Service<
  Tokens,
  {
    readonly exists: Readonly<Record<"reader" | "writer", boolean>>
    /** Compares in a time that does not depend on where a token differs. */
    readonly holder: (token: string) => "reader" | "writer" | "wrong"
  }
>()("edgeproxy/api/Tokens") {}

// What proxies add. It is never believed, and it shows that the peer is not the caller.
const forwardingHeaders = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"] as const

const callerOf = (request: HttpServerRequest.HttpServerRequest, holder: Holder): Caller => {
  const { headers } = request
  return {
    peer: Option.getOrUndefined(request.peerAddress),
    holder,
    host: headers["host"],
    origin: headers["origin"],
    fetchSite: headers["sec-fetch-site"],
    forwarded: forwardingHeaders.some((name) => headers[name] !== undefined)
  }
}

const make = Effect.fnUntraced(function* (purpose: Purpose, publicReads: boolean) {
  const { exists, holder } = yield* Tokens
  const some = exists.reader || exists.writer
  const policy: Policy = { publicReads, tokenFor: { read: some, write: exists.writer } }

  const holderOf = (request: HttpServerRequest.HttpServerRequest, token: string): Holder => {
    // Where nobody was given a token, none can be wrong: a client that has one for other POPs need not know.
    if (!some || request.headers["authorization"] === undefined) return "none"
    return token === "" ? "wrong" : holder(token)
  }

  const authorize = Effect.fnUntraced(function* (token: string) {
    const request = yield* HttpServerRequest.HttpServerRequest
    const verdict = decide(purpose, callerOf(request, holderOf(request, token)), policy)
    if (verdict._tag === "Unauthorized") return yield* new Unauthorized({ error: verdict.why })
    if (verdict._tag === "Forbidden") return yield* new Forbidden({ error: verdict.why })
  })

  return {
    bearer: <A, E, R>(
      handler: Effect.Effect<A, E, R>,
      { credential }: { readonly credential: Redacted.Redacted }
    ): Effect.Effect<A, E | Forbidden | Unauthorized, R | HttpServerRequest.HttpServerRequest> =>
      Effect.andThen(authorize(Redacted.value(credential)), handler)
  }
})

/** `publicReads`: looking is for everyone. */
export const layer = (options: {
  readonly publicReads: boolean
}): Layer.Layer<ReadAccess | WriteAccess, never, Tokens> =>
  Layer.mergeAll(
    Layer.effect(ReadAccess, make("read", options.publicReads)),
    Layer.effect(WriteAccess, make("write", options.publicReads))
  )
