import * as token from "./token.ts"

/** What the API said no to, in its words. */
export class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

const textOf = (body: unknown, status: number): string => {
  if (typeof body !== "object" || body === null || !("error" in body)) return `HTTP ${status}`
  const issues = "issues" in body && Array.isArray(body.issues) ? body.issues : []
  const told = issues.flatMap((issue: unknown) =>
    typeof issue === "object" && issue !== null && "message" in issue ? [String(issue.message)] : []
  )
  return told.length > 0 ? told.join("; ") : String(body.error)
}

/** Asks the API of this POP; rejects with {@link Refused} when it says no. */
export const ask = async (method: "GET" | "POST", path: string): Promise<unknown> => {
  const response = await fetch(path, { method, headers: token.headers(), cache: "no-store" }).catch(() => {
    throw new Refused(0, "the POP can't be reached")
  })
  const body: unknown = await response.json().catch(() => undefined)
  if (!response.ok) throw new Refused(response.status, textOf(body, response.status))
  return body
}
