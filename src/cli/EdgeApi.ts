import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as schemas from "../api/schemas.ts"
import type { ConfigError } from "../config/ConfigError.ts"
import type { CommandError } from "./CommandError.ts"

/** Where a running process is asked, and with what. */
export interface EdgeAddress {
  /** Base URL; undefined: as this environment configures the API. */
  readonly url: string | undefined
  /** File with the token; undefined: that of the environment, if any. A token as an argument would show in `ps`. */
  readonly tokenFile: string | undefined
}

/** What a running process did not do. */
export class EdgeError extends Data.TaggedError("EdgeError")<{
  /** `unreachable`: nobody answered, or nobody who speaks this API. `refused`: it said no. */
  readonly reason: "unreachable" | "refused"
  readonly where: string
  readonly detail: string
}> {
  override get message(): string {
    return this.reason === "refused"
      ? this.detail
      : `no edgeproxy answers at ${this.where}: ${this.detail}; is it running?`
  }
}

export interface Page {
  readonly after: string | undefined
  readonly limit: number
}

export type BackendEntry = (typeof schemas.BackendList.Type)["backends"][number]
export type ConnectionEntry = typeof schemas.Connection.Type

/** A running process, asked through its API. */
export interface RunningEdge {
  readonly backends: (
    page: Page & { readonly app: string | undefined; readonly state: BackendEntry["state"] | undefined }
  ) => Effect.Effect<typeof schemas.BackendList.Type, EdgeError>
  readonly setDraining: (id: string, draining: boolean) => Effect.Effect<void, EdgeError>
  readonly explain: (
    ip: string,
    app: string | undefined,
    limit: number,
    sni: string | undefined
  ) => Effect.Effect<typeof schemas.Explanation.Type, EdgeError>
  /** By its id in the access log or in the list of connections. */
  readonly explainConnection: (
    id: string,
    limit: number
  ) => Effect.Effect<typeof schemas.ConnectionExplanation.Type, EdgeError>
  readonly table: Effect.Effect<typeof schemas.Table.Type, EdgeError>
  /** False when no update was held. */
  readonly confirmTable: Effect.Effect<boolean, EdgeError>
  readonly connections: (page: Page) => Effect.Effect<typeof schemas.ConnectionList.Type, EdgeError>
  readonly kill: (id: string) => Effect.Effect<void, EdgeError>
  readonly health: Effect.Effect<typeof schemas.Health.Type, EdgeError>
  readonly ready: Effect.Effect<typeof schemas.Ready.Type | typeof schemas.NotReady.Type, EdgeError>
}

/** The way to running processes. */
export class EdgeApi extends Context.Service<
  EdgeApi,
  { readonly connect: (address: EdgeAddress) => Effect.Effect<RunningEdge, CommandError | ConfigError, Scope.Scope> }
>()("edgeproxy/cli/EdgeApi") {}

/** Asks the running process. */
export const ask = <A>(address: EdgeAddress, use: (edge: RunningEdge) => Effect.Effect<A, EdgeError>) =>
  EdgeApi.use(({ connect }) => connect(address)).pipe(Effect.flatMap(use), Effect.scoped)
