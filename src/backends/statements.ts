import { STATE_TABLE } from "../domain/BackendState.ts"
import type { BackendFields, StoreChange } from "./BackendStore.ts"

/** One statement with `?` for its parameters; of the SQL that SQLite and PostgreSQL have in common. */
export interface Statement {
  readonly sql: string
  readonly params: ReadonlyArray<string | number>
}

const columns: Readonly<Record<keyof BackendFields, string>> = {
  app: "app",
  region: "region",
  country: "country",
  address: "wg_ip",
  port: "port",
  healthy: "healthy",
  weight: "weight",
  softLimit: "soft_limit",
  hardLimit: "hard_limit"
}

const isField = (key: string): key is keyof BackendFields => Object.hasOwn(columns, key)

const plain = (value: string | number | boolean): string | number =>
  typeof value === "boolean" ? Number(value) : value

type Fields = Readonly<Record<string, string | number>>

/** Sets only the columns that the writer owns: where rows merge column by column, others' changes survive. */
const upsert = (table: string, id: string, fields: Fields, own: Readonly<Record<string, string>> = {}): Statement => {
  const names = Object.keys(fields)
  const set = names.map((name) => `${name} = ${own[name] ?? `excluded.${name}`}`).join(", ")
  return {
    sql: `INSERT INTO ${table} (id, ${names.join(", ")}) VALUES (?${", ?".repeat(names.length)}) ON CONFLICT (id) DO UPDATE SET ${set}`,
    params: [id, ...Object.values(fields)]
  }
}

const update = (table: string, id: string, fields: Fields): Statement => ({
  sql: `UPDATE ${table} SET ${Object.keys(fields)
    .map((name) => `${name} = ?`)
    .join(", ")} WHERE id = ?`,
  params: [...Object.values(fields), id]
})

const only = (fields: Fields, has: (column: string) => boolean = () => true): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([column]) => has(column)))

const remove = (table: string, id: string): Statement => ({ sql: `DELETE FROM ${table} WHERE id = ?`, params: [id] })

// One that was deleted comes back as new; of any other, what an operator says of its health stays.
const healthOfPut = { healthy: "CASE WHEN backends.deleted <> 0 THEN 1 ELSE backends.healthy END" }

/**
 * How a change is made in a store that speaks SQL. `has` tells of a foreign table which columns there are (T4); what it has no
 * column for is not kept.
 */
export const statementsOf = (change: StoreChange, has?: (column: string) => boolean): ReadonlyArray<Statement> => {
  switch (change._tag) {
    case "Put": {
      const { at, backend, owner, source } = change
      const row = {
        app: backend.app,
        region: backend.region,
        country: backend.country ?? "",
        wg_ip: backend.address,
        port: backend.port,
        weight: backend.weight,
        soft_limit: backend.softLimit,
        hard_limit: backend.hardLimit === Infinity ? 0 : backend.hardLimit,
        healthy: 1,
        deleted: 0
      }
      return [
        upsert("backends", backend.id, only(row, has), has?.("deleted") === false ? {} : healthOfPut),
        upsert(STATE_TABLE, backend.id, { owner, source, expired: 0, registered_at: at, heartbeat_at: at })
      ]
    }
    case "Set": {
      const fields = Object.fromEntries(
        Object.entries(change.fields).flatMap(([key, value]) =>
          isField(key) && value !== undefined ? [[columns[key], plain(value)]] : []
        )
      )
      const known = only(fields, has)
      return Object.keys(known).length === 0 ? [] : [update("backends", change.id, known)]
    }
    case "Heartbeat":
      return [update(STATE_TABLE, change.id, { owner: change.owner, expired: 0, heartbeat_at: change.at })]
    case "Expire":
      return [update(STATE_TABLE, change.id, { owner: change.owner, expired: 1 })]
    case "Drain":
      return [upsert(STATE_TABLE, change.id, { draining: change.draining ? 1 : 0 })]
    case "Forget":
      return [
        {
          sql: `DELETE FROM ${STATE_TABLE} WHERE id = ? AND NOT EXISTS (SELECT 1 FROM backends WHERE backends.id = ${STATE_TABLE}.id)`,
          params: [change.id]
        }
      ]
    case "Remove":
      return [remove("backends", change.id), remove(STATE_TABLE, change.id)]
  }
}
