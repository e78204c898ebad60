import { availableParallelism, cpus, release } from "node:os"
import type { Figure, Measured, Row } from "./Measure.ts"

/** Three digits that count. */
const digits = (value: number): string => {
  if (!Number.isFinite(value)) return "-"
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en")
  return value.toPrecision(3).replace(/\.?0+$/, "")
}

const showFigure = ({ name, unit, value }: Figure): string =>
  unit === "x" ? `${name} ${digits(value)}x` : `${name} ${digits(value)}${unit === "" ? "" : ` ${unit}`}`

const showGoal = ({ goal }: Row): string => (goal === undefined ? "" : `${goal.text}: ${goal.met ? "met" : "MISSED"}`)

const columns = ["measure", "what", "figures", "goal"] as const

/** Everything that was measured as one table, and below it how. */
export const table = (results: ReadonlyArray<Measured>): string => {
  const lines = results.flatMap(({ measure, rows }) =>
    rows.map((row) => [measure, row.what, row.figures.map(showFigure).join(", "), showGoal(row)])
  )
  const widths = columns.map((title, at) => Math.max(title.length, ...lines.map((line) => line[at]?.length ?? 0)))
  const show = (cells: ReadonlyArray<string>): string =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`
  return [
    show(columns),
    show(widths.map((width) => "-".repeat(width))),
    ...lines.map(show),
    "",
    ...results.map(({ how, measure }) => `${measure}: ${how}`)
  ].join("\n")
}

/** Where and when, without which figures say little. */
export const machine = () => ({
  at: new Date().toISOString(),
  node: process.version,
  kernel: release(),
  cpu: cpus()[0]?.model ?? "unknown",
  cores: availableParallelism()
})

export const json = (results: ReadonlyArray<Measured>): string =>
  `${JSON.stringify({ machine: machine(), results }, undefined, 2)}\n`
