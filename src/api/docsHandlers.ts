import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiSwagger from "effect/http-api/HttpApiSwagger"
import * as OpenApi from "effect/http-api/OpenApi"
import { Api } from "./Api.ts"

const PATH = "/docs"

/** The page has its scripts in itself, and may load nothing from anywhere else. */
const pageHeaders = {
  "content-security-policy":
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}

export const layer = (version: string) =>
  HttpApiBuilder.group(
    Api,
    "docs",
    Effect.fnUntraced(function* (handlers) {
      const described = Api.annotate(OpenApi.Version, version)
      const openapi = yield* Effect.cached(Effect.sync(() => HttpServerResponse.jsonUnsafe(OpenApi.fromApi(described))))
      // Two megabytes of scripts, loaded for whoever is the first to look.
      const page = yield* Effect.cached(
        Effect.gen(function* () {
          const router = yield* HttpRouter.make
          const pages = HttpApiSwagger.layer(described, { path: PATH })
          yield* Layer.build(pages.pipe(Layer.provide(Layer.succeed(HttpRouter.HttpRouter, router))))
          return router.asHttpEffect()
        }).pipe(Effect.scoped)
      )

      return handlers.handleAll({
        openapi: () => openapi,
        page: () =>
          page.pipe(
            Effect.flatten,
            Effect.orDie,
            Effect.map((response) => HttpServerResponse.setHeaders(response, pageHeaders))
          )
      })
    })
  )
