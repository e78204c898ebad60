import { api } from "./groups/Api.ts"
import { core } from "./groups/Core.ts"
import { dnsAnycast } from "./groups/DnsAnycast.ts"
import { failure } from "./groups/Failure.ts"
import { observability } from "./groups/Observability.ts"
import { sources } from "./groups/Sources.ts"
import { tls } from "./groups/Tls.ts"
import { traffic } from "./groups/Traffic.ts"
import type { Variable } from "./Variable.ts"

/**
 * Every variable edgeProxy reads, by the field its value has in the configuration: the one definition that parsing,
 * warnings, `edgeproxy config` and the documentation are made of.
 */
export const variables = {
  ...core,
  ...traffic,
  ...tls,
  ...api,
  ...sources,
  ...failure,
  ...observability,
  ...dnsAnycast
}

export type Field = keyof typeof variables

/** The value of every variable, by field. Durations are in milliseconds. */
export type ConfigValues = {
  readonly [F in Field]: (typeof variables)[F] extends Variable<infer A> ? A : never
}

/** In the order of the documentation. */
// Object.keys forgets the key type; the record above has exactly these keys.
export const fields = Object.keys(variables) as ReadonlyArray<Field>

/** The definition of a field, its type forgotten. */
export const variableOf = (field: Field): Variable<unknown> => variables[field]
