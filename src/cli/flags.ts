import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import { regions } from "../domain/Region.ts"
import type { BackendFields } from "../backends/BackendStore.ts"

export const json = Flag.Boolean("json").pipe(Flag.withDescription("Print JSON, for programs"), Flag.withDefault(false))

/** Where the running process is, of commands that ask it. */
export const edge = {
  url: Flag.String("api").pipe(
    Flag.withMetavar("URL"),
    Flag.withDescription("API of the process to ask; without it, that of EDGEPROXY_API_LISTEN_ADDR"),
    Flag.optional,
    Flag.map(Option.getOrUndefined)
  ),
  tokenFile: Flag.String("token-file").pipe(
    Flag.withMetavar("PATH"),
    Flag.withDescription("File with the API token; without it, EDGEPROXY_API_TOKEN"),
    Flag.optional,
    Flag.map(Option.getOrUndefined)
  )
}

export const store = Flag.Boolean("store").pipe(
  Flag.withDescription("Use the configured table itself, not a running process"),
  Flag.withDefault(false)
)

export const limit = (what: string, usual: number) =>
  Flag.Int("limit").pipe(
    Flag.withDescription(`Most ${what} to show; ${usual} without it`),
    Flag.filter(
      (count) => count > 0,
      () => "expected a number above 0"
    ),
    Flag.withDefault(usual)
  )

export const id = Argument.String("id").pipe(Argument.withDescription("Id of the backend"))

const text = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.optional)

const integer = (name: string, description: string) =>
  Flag.Int(name).pipe(Flag.withDescription(description), Flag.optional)

/** What `add` needs. */
export const required = {
  region: Flag.Literals("region", regions).pipe(Flag.withDescription("Where it is")),
  ip: Flag.String("ip").pipe(Flag.withDescription("Its IPv4 or IPv6 address, or the name of its host")),
  port: Flag.Int("port").pipe(Flag.withDescription("The port it listens on"))
}

/** What both `add` and `set` may be told. */
export const optional = {
  app: text("app", "App it belongs to"),
  country: text("country", "ISO 3166 code; '' for none"),
  weight: integer("weight", "Share of new clients, 0 to 1000; 0 keeps bound clients only"),
  softLimit: integer("soft-limit", "Connections it carries with ease"),
  hardLimit: integer("hard-limit", "Connections it carries at most; 0 for no limit")
}

/** What `set` may be told besides. */
export const settable = {
  region: Flag.optional(required.region),
  ip: Flag.optional(required.ip),
  port: Flag.optional(required.port),
  ...optional,
  healthy: Flag.Boolean("healthy").pipe(Flag.withDescription("--no-healthy takes it out of rotation"), Flag.optional)
}

type Given = { readonly [Name in keyof typeof settable]?: Option.Option<string | number | boolean> }

const names = {
  app: "app",
  region: "region",
  country: "country",
  ip: "address",
  port: "port",
  healthy: "healthy",
  weight: "weight",
  softLimit: "softLimit",
  hardLimit: "hardLimit"
} as const satisfies Record<keyof Given, keyof BackendFields>

/** The fields that were given, and no others. */
export const fieldsOf = (given: Given): BackendFields =>
  Object.fromEntries(
    Object.entries(names).flatMap(([flag, field]) => {
      // The names are those of `Given`.
      const value = given[flag as keyof Given]
      return value === undefined || Option.isNone(value) ? [] : [[field, value.value]]
    })
  )
