import { displayWidth } from "effect/cli/CliOutput"
import { printable } from "./printable.ts"

/** One column: its name, what it shows of a row, and whether it is aligned to the right, as numbers are. */
export interface Column<A> {
  readonly name: string
  readonly show: (row: A) => string | number | boolean | null | undefined
  readonly right?: boolean
}

const cellOf = (value: ReturnType<Column<never>["show"]>): string => {
  if (value === null || value === undefined || value === "") return "-"
  if (typeof value === "boolean") return value ? "yes" : "no"
  return printable(String(value))
}

/** What a column takes, its name included. */
export const columnWidth = <A>(rows: ReadonlyArray<A>, { name, show }: Column<A>): number =>
  rows.reduce((widest, row) => Math.max(widest, displayWidth(cellOf(show(row)))), displayWidth(name))

/** Between two columns. */
export const COLUMN_GAP = 2

/** Rows as aligned columns under their names; text from elsewhere can't break out of its cell. */
export const textTable = <A>(rows: ReadonlyArray<A>, columns: ReadonlyArray<Column<A>>): string => {
  const cells = rows.map((row) => columns.map(({ show }) => cellOf(show(row))))
  const lines = [columns.map(({ name }) => name.toUpperCase()), ...cells]
  const widths = columns.map((_, at) =>
    lines.reduce((widest, line) => Math.max(widest, displayWidth(line[at] ?? "")), 0)
  )
  const pad = (text: string, at: number): string => {
    const space = " ".repeat((widths[at] ?? 0) - displayWidth(text))
    return columns[at]?.right === true ? space + text : text + space
  }
  return lines.map((line) => line.map(pad).join(" ".repeat(COLUMN_GAP)).trimEnd()).join("\n")
}

/** Name and value pairs, one a line. */
export const textFields = (fields: Readonly<Record<string, string | number | null | undefined>>): string => {
  const width = Math.max(...Object.keys(fields).map((name) => name.length))
  return Object.entries(fields)
    .map(([name, value]) => `${name.padEnd(width)}  ${cellOf(value)}`)
    .join("\n")
}
