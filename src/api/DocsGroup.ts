import * as Schema from "effect/Schema"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import { ReadAccess } from "./Authorization.ts"

/** The API about itself. */
export const DocsGroup = HttpApiGroup.make("docs")
  .add(
    HttpApiEndpoint.get("openapi", "/openapi.json", { success: Schema.Json }),
    HttpApiEndpoint.get("page", "/docs", {
      success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/html; charset=utf-8" }))
    })
  )
  .middleware(ReadAccess)
  .annotateEndpoints(OpenApi.Exclude, true)
