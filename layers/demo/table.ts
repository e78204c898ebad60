/** Rows as aligned columns under their names, for a terminal. */
export const formatTable = (rows: ReadonlyArray<Readonly<Record<string, string>>>): string => {
  const names = Object.keys(rows[0] ?? {})
  const widths = names.map((name) => Math.max(name.length, ...rows.map((row) => (row[name] ?? "").length)))
  const line = (cells: ReadonlyArray<string>): string =>
    `  ${cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join("  ")}`.trimEnd()
  return [
    line(names),
    line(widths.map((width) => "-".repeat(width))),
    ...rows.map((row) => line(names.map((name) => row[name] ?? "")))
  ].join("\n")
}
