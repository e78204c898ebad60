import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as FindMyWay from "effect/http/FindMyWay"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Live, type LiveOptions } from "../dashboard/Live.ts"
import type { PageAsset } from "../dashboard/PageAsset.ts"
import { Api } from "./Api.ts"
import * as Authorization from "./Authorization.ts"
import * as backendHandlers from "./backendHandlers.ts"
import * as docsHandlers from "./docsHandlers.ts"
import * as Input from "./Input.ts"
import * as operationHandlers from "./operationHandlers.ts"
import { pagePaths, pageResponse } from "./pageRoutes.ts"
import * as probeHandlers from "./probeHandlers.ts"
import { Ready } from "./Ready.ts"
import { traced } from "./requestSpans.ts"

export interface AppOptions extends LiveOptions {
  readonly publicReads: boolean
  /** TCP listeners that there should be. */
  readonly listeners: number
  /** The files of the dashboard; undefined: there is none. */
  readonly page: Effect.Effect<ReadonlyArray<PageAsset>> | undefined
}

// An id of 128 bytes, each percent-encoded.
const routerConfig = { caseSensitive: true, maxParamLength: 384 }

const commonHeaders = { "cache-control": "no-store", "x-content-type-options": "nosniff" }

const failed = (status: number, error: string, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.jsonUnsafe({ error }, { status, headers })

/** What there is at a path of the API. */
const makePaths = (pages: ReadonlyArray<HttpRouter.PathInput>) => {
  const router = FindMyWay.make<string>(routerConfig)
  const methods = new Set<string>()
  HttpApi.reflect(Api, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint: { method, path } }) => {
      methods.add(method)
      if (path.startsWith("/")) router.on(method, `/${path.slice(1)}`, path)
    }
  })
  for (const path of pages) router.on("GET", path, path)
  return {
    /** The path as the API has it, with the names of its parameters. */
    routeOf: (method: string, url: string): string | undefined =>
      router.find(method === "HEAD" ? "GET" : method, url)?.handler,
    methodsOf: (url: string): ReadonlyArray<string> => {
      const found = Array.from(methods).filter((method) => router.find(method, url) !== undefined)
      return found.includes("GET") ? [...found, "HEAD"] : found
    }
  }
}

const routes = (options: AppOptions) =>
  HttpApiBuilder.layer(Api).pipe(
    Layer.provide([
      backendHandlers.layer,
      operationHandlers.layer,
      probeHandlers.layer(options),
      docsHandlers.layer(options.version)
    ]),
    Layer.provide(Live.layer(options)),
    Layer.provide(Ready.layer({ listeners: options.listeners })),
    Layer.provide([Authorization.layer({ publicReads: options.publicReads }), Input.layer, HttpServer.layerServices])
  )

/** The API as one function from request to response. Whatever happens it answers in JSON, and never with a stack trace. */
export const make = Effect.fnUntraced(function* (options: AppOptions) {
  const { page } = options
  const { methodsOf, routeOf } = makePaths(page === undefined ? [] : pagePaths)
  // Of its own: the router's layer would be shared with whatever else in the program serves HTTP.
  const router = yield* HttpRouter.make.pipe(Effect.provideService(HttpRouter.RouterConfig, routerConfig))
  yield* Layer.build(routes(options).pipe(Layer.provide(Layer.succeed(HttpRouter.HttpRouter, router))))
  if (page !== undefined) {
    const assets = yield* Effect.cached(page)
    yield* Effect.forEach(pagePaths, (path) => router.add("GET", path, pageResponse(assets, path)), { discard: true })
  }

  const noRoute = (url: string): HttpServerResponse.HttpServerResponse => {
    const methods = methodsOf(url)
    if (methods.length === 0) return failed(404, "no such path")
    return failed(405, "no such method here", { allow: methods.join(", ") })
  }

  const recover = Effect.fnUntraced(function* (cause: Cause.Cause<unknown>) {
    const { method, url } = yield* HttpServerRequest.HttpServerRequest
    const error = Option.getOrUndefined(Cause.findErrorOption(cause))
    if (HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound") return noRoute(url)
    // The client has gone, or the server is closing.
    if (Cause.hasInterruptsOnly(cause)) return yield* Effect.interrupt
    const path = url.split("?", 1)[0]
    yield* Effect.logError("a request of the API failed by a fault of the proxy", { method, path }, cause)
    return failed(500, "internal")
  })

  const app: Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    never,
    HttpServerRequest.HttpServerRequest | Scope.Scope
  > = router.asHttpEffect().pipe(
    Effect.catchCause(recover),
    Effect.map((response) =>
      HttpServerResponse.setHeaders(
        response,
        response.status === 401
          ? { ...commonHeaders, "www-authenticate": "Bearer" }
          : { ...commonHeaders, ...response.headers }
      )
    ),
    Effect.annotateLogs({ service: "api" })
  )
  return yield* traced(app, routeOf)
})
