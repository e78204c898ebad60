import * as HttpApi from "effect/http-api/HttpApi"
import * as OpenApi from "effect/http-api/OpenApi"
import { BackendsGroup } from "./BackendsGroup.ts"
import { DocsGroup } from "./DocsGroup.ts"
import { OperationsGroup } from "./OperationsGroup.ts"
import { ProbesGroup } from "./ProbesGroup.ts"

/** The discovery API (D1-D6): what there is to ask, and the shape of each answer. */
export const Api = HttpApi.make("edgeproxy")
  .add(BackendsGroup.prefix("/api/v1"), OperationsGroup.prefix("/api/v1"), ProbesGroup, DocsGroup)
  // All that is wrong in a request is told at once.
  .annotate(HttpApi.ParseOptions, { errors: "all" })
  .annotateMerge(
    OpenApi.annotations({
      title: "edgeProxy",
      description:
        "Discovery and operation of one point of presence. Looking and changing are for loopback and for holders of a token."
    })
  )
