import type { Soaked } from "./soak.ts"
import { lows, rises, slopeOf } from "./trend.ts"

const STRETCH_MS = 30_000

const column = (value: number | string, width: number): string =>
  (typeof value === "number" ? value.toFixed(1) : value).padStart(width)

/** The figures for people, and what of them is not as it ought to be. */
export const report = ({ errors, ledger, left, series, warmMs }: Soaked) => {
  const failures: Array<string> = []
  const text: Array<string> = ["done:"]
  for (const [what, count] of ledger.counts) text.push(`  ${String(count).padStart(8)}  ${what}`)

  text.push(
    "",
    `trend of the lowest of each ${STRETCH_MS / 1_000} s, from ${(warmMs / 60_000).toFixed(1)} min on:`,
    `  ${"".padEnd(20)}${["first", "last", "most", "slope/h", "+-", "limit/h"].map((head) => column(head, 10)).join("")}`
  )
  for (const { limit, name, points, unit } of series) {
    const warm = points.filter(({ ms }) => ms >= warmMs)
    const low = lows(warm, STRETCH_MS)
    const slope = slopeOf(low)
    const most = Math.max(...warm.map(({ value }) => value))
    const figures = [low[0]?.value ?? NaN, low.at(-1)?.value ?? NaN, most, slope.perHour, 2 * slope.error, limit]
    const verdict = Number.isNaN(slope.perHour) ? "too short" : rises(slope, limit) ? "RISES" : "flat"
    if (verdict === "RISES") failures.push(`${name} rises`)
    text.push(
      `  ${name.padEnd(20)}${figures.map((figure) => column(figure, 10)).join("")}  ${unit.padEnd(3)} ${verdict}`
    )
  }

  text.push("", "at rest, before and after:")
  for (const [name, [before, after]] of left) {
    text.push(`  ${name.padEnd(20)}${column(String(before), 10)}${column(String(after), 10)}`)
    if (after > before) failures.push(`${name} left over: ${after - before}`)
  }
  if (ledger.wrongCount() > 0) {
    failures.push(`${ledger.wrongCount()} wrong`)
    text.push("", "wrong:", ...ledger.wrongs.map((line) => `  ${line}`))
  }
  if (errors.length > 0) {
    failures.push("errors in the log")
    text.push("", "errors in the log:", ...errors.map((line) => `  ${line}`))
  }
  text.push("", failures.length === 0 ? "flat, and nothing wrong" : `FAILED: ${failures.join("; ")}`)
  return { text: `${text.join("\n")}\n`, failures }
}
