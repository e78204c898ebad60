import { availableParallelism, cpus, release } from "node:os"
import type { BenchOptions, Contest, Figure, Goal, Measured } from "./Measure.ts"

/** Three digits that count. */
export const digits = (value: number): string => {
  if (!Number.isFinite(value)) return "-"
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en")
  const text = value.toPrecision(3)
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text
}

const showFigure = ({ name, unit, value }: Figure): string => `${name} ${digits(value)} ${unit}`.trimEnd()

const showGoal = (goal: Goal | undefined): string =>
  goal === undefined ? "" : `${goal.text}: ${goal.met ? "met" : "MISSED"}`

const grid = (titles: ReadonlyArray<string>, lines: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = titles.map((title, at) => Math.max(title.length, ...lines.map((line) => line[at]?.length ?? 0)))
  const show = (cells: ReadonlyArray<string>): string =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`
  return [show(titles), show(widths.map((width) => "-".repeat(width))), ...lines.map(show)].join("\n")
}

const rowTable = (results: ReadonlyArray<Measured>): string => {
  const lines = results.flatMap(({ measure, rows }) =>
    rows.map(({ figures, goal, what }) => [measure, what, figures.map(showFigure).join(", "), showGoal(goal)])
  )
  return lines.length === 0 ? "" : `${grid(["measure", "what", "figures", "goal"], lines)}\n\n`
}

const standing = ({ standings }: Contest, proxy: string): string => {
  const found = standings.find((each) => each.proxy === proxy)
  if (found === undefined) return ""
  return Number.isFinite(found.ratio) ? `${digits(found.value)} (${digits(found.ratio)}x)` : digits(found.value)
}

const contestTable = (results: ReadonlyArray<Measured>): string => {
  const all = results.flatMap(({ contests = [], measure }) => contests.map((contest) => ({ measure, contest })))
  if (all.length === 0) return ""
  const proxies = [...new Set(all.flatMap(({ contest }) => contest.standings.map(({ proxy }) => proxy)))]
  const lines = all.map(({ contest, measure }) => [
    measure,
    `${contest.what}, ${contest.unit}`,
    ...proxies.map((proxy) => standing(contest, proxy)),
    showGoal(contest.goal)
  ])
  return `${grid(["measure", "what", ...proxies, "goal"], lines)}

Medians of interleaved rounds in turning order. In brackets: to the best HAProxy of the run, median of the ratios of the rounds.
Processor time is of all threads of the proxy, in user and system mode. Through loopback the kernel does much of the receiver's
work in the sender's time; what its own threads (ksoftirqd) take over is in no figure. HAProxy and nginx run with one thread,
without choice and log; edgeProxy does its whole job.

`
}

/** Everything that was measured, and below it how. */
export const text = (results: ReadonlyArray<Measured>): string =>
  [
    rowTable(results),
    contestTable(results),
    ...results
      .map(({ failures = [], how, measure, notes = [] }) =>
        [`${measure}: ${how}`, ...notes, ...failures.map((failure) => `FAILED: ${failure}`), ""].join("\n  ").trimEnd()
      )
      .map((lines) => `${lines}\n`)
  ].join("")

export interface Machine {
  readonly at: string
  readonly node: string
  readonly kernel: string
  readonly cpu: string
  readonly cores: number
}

/** Where and when, without which figures say little. */
export const machine = (): Machine => ({
  at: new Date().toISOString(),
  node: process.version,
  kernel: release(),
  cpu: cpus()[0]?.model ?? "unknown",
  cores: availableParallelism()
})

export const json = (results: ReadonlyArray<Measured>, options: BenchOptions): string =>
  `${JSON.stringify({ machine: machine(), options, results }, undefined, 2)}\n`
