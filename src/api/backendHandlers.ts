import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Registry, type RegistryError } from "../backends/Registry.ts"
import { Api } from "./Api.ts"
import { backendJson, rowOf } from "./backendJson.ts"
import { listBackends } from "./backendList.ts"
import { BadRequest, Conflict, Forbidden, type Issue, NotFound, Unavailable } from "./errors.ts"

const notRegistered = (id: string): NotFound => new NotFound({ error: "backend not registered", id })

const column = /^(\w+): (.+)$/s

/** What is wrong with a row is told column by column; one of them has another name here. */
const issuesOf = (detail: string): ReadonlyArray<typeof Issue.Type> =>
  detail.split("; ").map((part) => {
    const [, name = "", message = part] = column.exec(part) ?? []
    return { path: name === "wg_ip" ? "ip" : name, message }
  })

/** D6 for what the registry says. */
const answerTo = ({ detail, id, reason }: RegistryError) => {
  switch (reason) {
    case "unknown":
      return notRegistered(id)
    case "foreign":
      return new Conflict({ error: detail, id })
    case "invalid":
      return new BadRequest({ error: "bad request", issues: issuesOf(detail) })
    case "address":
      return new Forbidden({ error: detail })
    case "not-durable":
    case "busy":
      return new Unavailable({ error: detail })
  }
}

export const layer = HttpApiBuilder.group(
  Api,
  "backends",
  Effect.fnUntraced(function* (handlers) {
    const registry = yield* Registry
    const told = Effect.mapError(answerTo)

    return handlers.handleAll({
      register: ({ payload }) =>
        Effect.map(told(registry.register(rowOf(payload))), (result) =>
          result === "created"
            ? { id: payload.id, registered: true as const, message: "registered" as const }
            : { id: payload.id, registered: true as const, message: "already registered; refreshed" as const }
        ),
      heartbeat: ({ params: { id } }) => Effect.as(told(registry.heartbeat(id)), { id, status: "ok" as const }),
      list: ({ query }) => listBackends(registry, query),
      get: Effect.fnUntraced(function* ({ params: { id } }) {
        const view = registry.get(id)
        if (view === undefined) return yield* notRegistered(id)
        return backendJson(view, yield* Clock.currentTimeMillis)
      }),
      deregister: ({ params: { id } }) => Effect.as(told(registry.deregister(id)), { deregistered: true as const, id }),
      drain: ({ params: { id } }) => Effect.as(told(registry.setDraining(id, true)), { id, draining: true as const }),
      undrain: ({ params: { id } }) =>
        Effect.as(told(registry.setDraining(id, false)), { id, draining: false as const })
    })
  })
)
