import { bytes, seconds } from "./operationTexts.ts"
import { type Column, COLUMN_GAP, columnWidth } from "./textTable.ts"
import type { TopBackend, TopConnection } from "./topSnapshot.ts"

/** A column that the rows can be ordered by: the largest first for numbers, text from a to z. */
interface TopColumn<A> extends Column<A> {
  readonly order: (row: A) => number | string
  /** Where the terminal is too narrow for all of them, columns with the highest number go first; those without one stay. */
  readonly spare?: number
}

/** One of the two lists. */
export interface TopTable<A extends { readonly id: string }> {
  readonly columns: ReadonlyArray<TopColumn<A>>
  /** What a filter looks at. */
  readonly text: (row: A) => string
}

const rate = (value: number): string | null => (value < 1 ? null : `${bytes(value)}/s`)

const clientOf = ({ client, client_port: port }: TopConnection): string =>
  client.includes(":") ? `[${client}]:${port}` : `${client}:${port}`

export const connectionTable: TopTable<TopConnection> = {
  columns: [
    {
      name: "rate",
      show: (row) => rate(row.inRate + row.outRate),
      right: true,
      order: (row) => row.inRate + row.outRate
    },
    { name: "id", show: ({ id }) => id, order: ({ id }) => id },
    { name: "phase", show: ({ phase }) => phase, spare: 4, order: ({ phase }) => phase },
    { name: "client", show: clientOf, order: ({ client }) => client },
    { name: "cc", show: ({ country }) => country, order: ({ country }) => country ?? "" },
    { name: "app", show: ({ app }) => app, spare: 3, order: ({ app }) => app },
    { name: "backend", show: ({ backend }) => backend, order: ({ backend }) => backend ?? "" },
    { name: "age", show: ({ age_ms }) => seconds(age_ms), right: true, spare: 1, order: ({ age_ms }) => age_ms },
    { name: "idle", show: ({ idle_ms }) => seconds(idle_ms), right: true, spare: 2, order: ({ idle_ms }) => idle_ms },
    { name: "in", show: ({ bytes_in }) => bytes(bytes_in), right: true, order: ({ bytes_in }) => bytes_in },
    { name: "out", show: ({ bytes_out }) => bytes(bytes_out), right: true, order: ({ bytes_out }) => bytes_out }
  ],
  text: (row) => [row.id, row.phase, clientOf(row), row.country ?? "", row.app, row.backend ?? ""].join(" ")
}

export const backendTable: TopTable<TopBackend> = {
  columns: [
    {
      name: "connections",
      show: ({ connections }) => connections,
      right: true,
      order: ({ connections }) => connections
    },
    {
      name: "limit",
      show: ({ hard_limit, soft_limit }) => `${soft_limit}${hard_limit === 0 ? "" : `/${hard_limit}`}`,
      right: true,
      spare: 4,
      order: ({ soft_limit }) => soft_limit
    },
    { name: "id", show: ({ id }) => id, order: ({ id }) => id },
    { name: "state", show: ({ state }) => state, order: ({ state }) => state },
    { name: "app", show: ({ app }) => app, spare: 2, order: ({ app }) => app },
    { name: "region", show: ({ region }) => region, order: ({ region }) => region },
    { name: "cc", show: ({ country }) => country, spare: 3, order: ({ country }) => country ?? "" },
    { name: "in", show: ({ inRate }) => rate(inRate), right: true, spare: 1, order: ({ inRate }) => inRate },
    { name: "out", show: ({ outRate }) => rate(outRate), right: true, spare: 1, order: ({ outRate }) => outRate },
    { name: "weight", show: ({ weight }) => weight, right: true, spare: 5, order: ({ weight }) => weight },
    { name: "why", show: ({ check_error }) => check_error ?? " ", order: ({ check_error }) => check_error ?? "" }
  ],
  text: (row) => [row.id, row.state, row.app, row.region, row.country ?? "", row.check_error ?? ""].join(" ")
}

/** The columns for a width, as wide as these rows make them; that which orders the rows is always there. */
export const columnsFor = <A extends { readonly id: string }>(
  { columns }: TopTable<A>,
  rows: ReadonlyArray<A>,
  { sort, width }: { readonly sort: number; readonly width: number }
): ReadonlyArray<TopColumn<A>> => {
  const named = columns.map((column, at) => (at === sort ? { ...column, name: `${column.name}*` } : column))
  let over = named.reduce((sum, column) => sum + columnWidth(rows, column) + COLUMN_GAP, -COLUMN_GAP) - width
  const left = new Set(named)
  const spare = named
    .filter((column, at) => at !== sort && column.spare !== undefined)
    .toSorted((a, b) => (b.spare ?? 0) - (a.spare ?? 0))
  for (const column of spare) {
    if (over <= 0) break
    left.delete(column)
    over -= columnWidth(rows, column) + COLUMN_GAP
  }
  return Array.from(left)
}

const compare = (a: number | string, b: number | string): number =>
  typeof a === "number" && typeof b === "number" ? b - a : a < b ? -1 : a > b ? 1 : 0

/** Those that fit, in the order of a column; equal ones by id, so that none jumps about. */
export const arrange = <A extends { readonly id: string }>(
  { columns, text }: TopTable<A>,
  rows: ReadonlyArray<A>,
  { filter, sort }: { readonly filter: string; readonly sort: number }
): ReadonlyArray<A> => {
  const wanted = filter.toLowerCase()
  const order = columns[sort % columns.length]?.order
  const fitting = wanted === "" ? rows : rows.filter((row) => text(row).toLowerCase().includes(wanted))
  return fitting.toSorted((a, b) => (order === undefined ? 0 : compare(order(a), order(b))) || compare(a.id, b.id))
}
