import { byId, setText } from "./dom.ts"

/** The token, for this tab alone and until it is closed: never in an address, a cookie or on the disk for good. */

const KEY = "edgeproxy-token"

/** A browser may forbid storage; then it lives as long as the page. */
const stored = (): string => {
  try {
    return sessionStorage.getItem(KEY) ?? ""
  } catch {
    return ""
  }
}

let current = stored()

const keep = (token: string): void => {
  current = token
  try {
    if (token === "") sessionStorage.removeItem(KEY)
    else sessionStorage.setItem(KEY, token)
  } catch {
    // Kept in memory.
  }
}

export const headers = (): Record<string, string> => (current === "" ? {} : { authorization: `Bearer ${current}` })

/** The answer could be another one with a token, or with another token. */
export const wouldHelp = (status: number): boolean => status === 401 || (status === 403 && current !== "")

/** The dialog in which it is given; `onChange` is called when there is another one. */
export const dialog = (onChange: () => void): { readonly open: (why?: string) => void } => {
  const element = byId("token-dialog", HTMLDialogElement)
  const field = byId("token-value", HTMLInputElement)
  const why = byId("token-why", HTMLElement)
  const usual = why.textContent ?? ""

  const use = (token: string): void => {
    keep(token)
    field.value = ""
    element.close()
    onChange()
  }
  byId("token-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault()
    use(field.value.trim())
  })
  byId("token-forget", HTMLButtonElement).addEventListener("click", () => use(""))
  byId("token-cancel", HTMLButtonElement).addEventListener("click", () => element.close())

  const open = (reason?: string): void => {
    setText(why, reason === undefined ? usual : `${reason[0]?.toUpperCase() ?? ""}${reason.slice(1)}. ${usual}`)
    if (!element.open) element.showModal()
    field.focus()
  }
  byId("token", HTMLButtonElement).addEventListener("click", () => open())
  return { open }
}
