import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import * as HttpClientError from "effect/http/HttpClientError"
import * as client from "../api/client.ts"
import type * as errors from "../api/errors.ts"
import { EdgeError, type RunningEdge } from "./EdgeApi.ts"

export interface EdgeClientOptions {
  readonly url: string
  readonly token: Redacted.Redacted | undefined
}

/** An answer that takes longer will not come. */
const TIMEOUT = Duration.seconds(15)
/** The same for probes: whoever runs them as a health check ends them after some 5 seconds, and then nobody is told why. */
const PROBE_TIMEOUT = Duration.seconds(3)

type Refusal = InstanceType<(typeof errors)[Exclude<keyof typeof errors, "Issue">]>

const failures: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no route to the network",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "its name can't be resolved now",
  ETIMEDOUT: "no answer",
  UND_ERR_CONNECT_TIMEOUT: "no answer"
}

/** The first code among an error and those that it came from, else the word of the last of them. */
const wordOf = (error: unknown, depth = 0): string => {
  if (!(error instanceof Error)) return "it can't be asked"
  if ("code" in error && typeof error.code === "string") return failures[error.code] ?? error.code
  return error.cause instanceof Error && depth < MAX_CAUSES ? wordOf(error.cause, depth + 1) : error.message
}
const MAX_CAUSES = 5

const transportDetail = (error: HttpClientError.HttpClientError): string => {
  const { reason } = error
  if (reason._tag === "InvalidUrlError") return "not a URL that can be asked"
  if ("response" in reason) return `what answers is no edgeproxy API (HTTP ${reason.response.status})`
  return wordOf(error.cause)
}

const hint = (error: Refusal): string =>
  error._tag === "Unauthorized" ? "; the token is that of EDGEPROXY_API_TOKEN or --token-file" : ""

/** A running process behind the typed client of its API. */
export const make = Effect.fnUntraced(function* ({ token, url }: EdgeClientOptions) {
  const { backends, operations, probes } = yield* client.make({ baseUrl: url, token })
  const where = url.replace(/^http:\/\//, "").replace(/\/$/, "")

  const failed = (reason: EdgeError["reason"], detail: string) => new EdgeError({ reason, where, detail })

  const asked = <A, E extends HttpClientError.HttpClientError | Refusal | Schema.SchemaError>(
    request: Effect.Effect<A, E>,
    duration = TIMEOUT
  ): Effect.Effect<A, EdgeError> =>
    request.pipe(
      Effect.mapError((error) => {
        if (HttpClientError.isHttpClientError(error)) return failed("unreachable", transportDetail(error))
        if (error._tag === "SchemaError") return failed("unreachable", "its answer is not understood")
        return failed("refused", error.message + hint(error))
      }),
      Effect.timeoutOrElse({
        duration,
        orElse: () => Effect.fail(failed("unreachable", "no answer"))
      })
    )

  return {
    backends: ({ after, app, limit, state }) => asked(backends.list({ query: { app, state, after, limit } })),
    setDraining: (id, draining) =>
      draining
        ? Effect.asVoid(asked(backends.drain({ params: { id } })))
        : Effect.asVoid(asked(backends.undrain({ params: { id } }))),
    explain: (ip, app, shown, sni) => asked(operations.explain({ query: { ip, app, shown, sni } })),
    explainConnection: (id, shown) => asked(operations.explainConnection({ params: { id }, query: { shown } })),
    table: asked(operations.table()),
    confirmTable: Effect.map(asked(operations.confirmTable()), ({ confirmed }) => confirmed),
    connections: ({ after, limit }) => asked(operations.connections({ query: { after, limit } })),
    kill: (id) => Effect.asVoid(asked(operations.kill({ params: { id } }))),
    health: asked(probes.health(), PROBE_TIMEOUT),
    ready: asked(probes.ready(), PROBE_TIMEOUT)
  } satisfies RunningEdge
})
