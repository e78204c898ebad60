import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import { monotonicMs } from "../actor/Monotonic.ts"
import { parseTraceparent } from "../domain/TraceContext.ts"
import type { Attributes } from "../observe/Span.ts"
import { type Begun, type Tracer, Tracing } from "../observe/Tracing.ts"

/** The method as an attribute: one that nobody knows could be any text (OpenTelemetry, HTTP spans). */
const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

/** Of paths that are no route, strangers choose the length. */
const MAX_PATH_CHARS = 256

const attributesOf = (
  { method, url, remoteAddress }: HttpServerRequest.HttpServerRequest,
  route: string | undefined,
  { showsClients }: Tracer
): Attributes => ({
  "http.request.method": methods.has(method) ? method : "_OTHER",
  "http.route": route,
  "url.scheme": "http",
  "url.path": url.split("?", 1)[0]?.slice(0, MAX_PATH_CHARS),
  "client.address": showsClients ? Option.getOrUndefined(remoteAddress) : undefined
})

/**
 * A span for each request, within the trace of its caller when the request says which (W3C Trace Context). `routeOf` gives the
 * path as the API has it, with `:id` for an id. Nothing is done while nobody traces.
 */
export const traced = <R>(
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, never, R>,
  routeOf: (method: string, url: string) => string | undefined
) =>
  Effect.gen(function* () {
    const tracer = yield* Tracing
    const now = yield* monotonicMs
    if (!tracer.on) return app

    const finish = (request: HttpServerRequest.HttpServerRequest, begun: Begun, fromMs: number, status: number) => {
      const route = routeOf(request.method, request.url)
      const attributes = attributesOf(request, route, tracer)
      const method = attributes["http.request.method"]
      const failed = status >= 500
      const endMs = tracer.unixMs(now())
      tracer.finish({
        ...begun,
        name: route === undefined ? `${method}` : `${method} ${route}`,
        kind: "server",
        startMs: endMs - (now() - fromMs),
        endMs,
        failed,
        attributes: {
          ...attributes,
          "http.response.status_code": status,
          "error.type": failed ? `${status}` : undefined
        }
      })
    }

    return Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const header = request.headers["traceparent"]
      const begun = tracer.begin(header === undefined ? undefined : parseTraceparent(header))
      if (begun === undefined) return yield* app
      const fromMs = now()
      const response = yield* app
      finish(request, begun, fromMs, response.status)
      return response
    })
  })
