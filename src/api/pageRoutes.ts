import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { PageAsset } from "../dashboard/PageAsset.ts"

/**
 * The dashboard's files, which are for everyone: they hold nothing of this POP, and a browser that opens an address can show
 * no token. What they show they ask the API for, with its rules.
 */
export const pagePaths = ["/", "/dashboard.js", "/dashboard.css", "/dashboard.svg"] as const

/** Nothing but its own files, no inline code, no frames, and no markup made from text. */
const securityHeaders = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()"
}

/** Where browsers heed it; elsewhere they would complain of it. */
const openerPolicy = { "cross-origin-opener-policy": "same-origin" }

const loopbackHost = /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/i

/** By TLS, which a proxy before this one ends, or on this host. */
const isTrusted = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  headers["x-forwarded-proto"] === "https" || loopbackHost.test(headers["host"] ?? "")

type Encoding = "br" | "gzip" | "plain"

/** The smallest that the client takes (RFC 9110, 12.5.3): a weight of zero is a refusal. */
export const encodingFor = (accept: string | undefined): Encoding => {
  const takes = (name: string): boolean =>
    (accept ?? "").split(",").some((part) => {
      const [coding = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase())
      return coding === name && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))
    })
  return takes("br") ? "br" : takes("gzip") ? "gzip" : "plain"
}

/** As `If-None-Match` compares (RFC 9110, 13.1.2). */
const isKnown = (given: string | undefined, etag: string): boolean =>
  (given ?? "").split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag || tag.trim() === "*")

const respond = (asset: PageAsset, request: HttpServerRequest.HttpServerRequest) => {
  const encoding = encodingFor(request.headers["accept-encoding"])
  // Each encoding is another representation.
  const etag = encoding === "plain" ? asset.etag : asset.etag.replace(/"$/, `-${encoding}"`)
  // It is asked for again each time, and sent again when it is another one.
  const headers = {
    ...securityHeaders,
    ...(isTrusted(request) ? openerPolicy : {}),
    "cache-control": "no-cache",
    vary: "accept-encoding",
    etag
  }
  if (isKnown(request.headers["if-none-match"], etag)) return HttpServerResponse.empty({ status: 304, headers })
  return HttpServerResponse.uint8Array(asset[encoding], {
    contentType: asset.contentType,
    headers: encoding === "plain" ? headers : { ...headers, "content-encoding": encoding }
  })
}

/** Answers for one of {@link pagePaths}. */
export const pageResponse = (assets: Effect.Effect<ReadonlyArray<PageAsset>>, path: (typeof pagePaths)[number]) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const asset = (yield* assets).find((asset) => asset.path === path)
    if (asset === undefined) return yield* Effect.die(new Error(`the dashboard lacks ${path}`))
    return respond(asset, request)
  })
