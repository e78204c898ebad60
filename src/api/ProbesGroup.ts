import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as schemas from "./schemas.ts"

/** Where the open questions are asked: everyone may (D3). */
export const HEALTH_PATH = "/health"
export const READY_PATH = "/ready"

/** Liveness and readiness (D3). */
export const ProbesGroup = HttpApiGroup.make("probes").add(
  HttpApiEndpoint.get("health", HEALTH_PATH, { success: schemas.Health }).annotateMerge(
    OpenApi.annotations({ summary: "The process lives" })
  ),
  HttpApiEndpoint.get("ready", READY_PATH, {
    success: [schemas.Ready, schemas.NotReady.pipe(HttpApiSchema.status(503))]
  }).annotateMerge(OpenApi.annotations({ summary: "It takes clients now; 503 when it does not" }))
)
