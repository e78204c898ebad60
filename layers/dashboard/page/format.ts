/** Figures for people. */

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 1 })
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 })
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" })
const shortClock = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" })
const countries = new Intl.DisplayNames("en", { type: "region", fallback: "code" })

export const number = (value: number): string => (Math.abs(value) < 100_000 ? plain : compact).format(value)

const units = ["B", "kB", "MB", "GB", "TB", "PB"] as const

export const bytes = (value: number): string => {
  let scaled = value
  let unit = 0
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1_000
    unit++
  }
  return `${unit > 0 && scaled < 9.95 ? scaled.toFixed(1) : Math.round(scaled)} ${units[unit] ?? ""}`
}

/** `3 d`, `4 h`, `5 min`, `6 s`: the largest unit that fits, and half of the next one where it tells more. */
export const duration = (ms: number): string => {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 90) return `${seconds} s`
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`
  if (seconds < 129_600) return `${Math.round(seconds / 3_600)} h`
  return `${Math.round(seconds / 86_400)} d`
}

export const timeOfDay = (at: number): string => clock.format(at)

export const hourAndMinute = (at: number): string => shortClock.format(at)

export const percent = (share: number): string => `${plain.format(share * 100)} %`

/** By its ISO code; XK is no code of ISO's, and some browsers know it all the same. */
export const country = (code: string): string => {
  if (!/^[A-Z]{2}$/.test(code)) return "unknown places"
  return code === "XK" ? "Kosovo" : (countries.of(code) ?? code)
}

export const regions: Readonly<Record<string, string>> = {
  sa: "South America",
  us: "North America",
  eu: "Europe, Middle East, Africa",
  ap: "Asia, Oceania"
}
