import type { Loaded } from "./load.ts"
import type { Variable } from "./Variable.ts"
import { fields, variableOf } from "./variables.ts"

const legend = `**R**: may change while the process runs, through the [file that is watched](#settings-that-change-live).
A default of *(none)* is no value; an empty text counts as not set. Durations take decimals. A secret may also come from
the file that \`<name>_FILE\` names.`

const cell = (text: string): string => text.replaceAll("|", "\\|")

const defaultCell = (variable: Variable<unknown>): string => {
  if (typeof variable.default !== "string") return variable.default.shown
  return variable.default === "" ? "*(none)*" : `\`${variable.default}\``
}

const row = (variable: Variable<unknown>): string => {
  const meaning = variable.secret ? `${variable.doc} (secret)` : variable.doc
  const cells = [`\`${variable.name}\``, defaultCell(variable), variable.reloadable ? "R" : "", meaning]
  return `| ${cells.map(cell).join(" | ")} |`
}

/** The configuration tables of the README, one for each group, as Markdown. */
export const configurationMarkdown = (): string => {
  const groups = Map.groupBy(fields.map(variableOf), (variable) => variable.group)
  const tables = [...groups].map(([group, variables]) =>
    [`### ${group}`, "", "| variable | default | | meaning |", "|---|---|---|---|", ...variables.map(row)].join("\n")
  )
  return [legend, ...tables].join("\n\n") + "\n"
}

/**
 * What the process runs with, one `NAME=value  # source` line per variable. The values are what the parser takes,
 * except secrets, which are masked.
 */
export const effectiveLines = (loaded: Pick<Loaded, "config" | "sources">): ReadonlyArray<string> =>
  fields.map((field) => {
    const variable = variableOf(field)
    return `${variable.name}=${variable.encode(loaded.config[field])}  # ${loaded.sources[field]}`
  })
