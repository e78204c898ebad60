import { backendColumns, requiredColumns } from "../../src/domain/Backend.ts"
import { STATE_TABLE, stateColumns } from "../../src/domain/BackendState.ts"
import type { TableQuery } from "./queries.ts"

export const backends: TableQuery = { table: "backends", columns: backendColumns, required: requiredColumns }

/** The companion (D0). */
export const states: TableQuery = { table: STATE_TABLE, columns: stateColumns, required: stateColumns.slice(0, 4) }
