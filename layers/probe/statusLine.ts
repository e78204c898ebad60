/** Longest status line that is read; RFC 9112 gives none, and servers send some twenty bytes. */
export const MAX_STATUS_LINE = 512

const statusLine = /^HTTP\/1\.\d (\d{3})(?: .*)?\r?$/s

/** What the first bytes of an answer are: the status, not enough of them yet, or nothing of HTTP/1 (RFC 9112, section 4). */
export const statusOf = (text: string): number | "incomplete" | "malformed" => {
  const end = text.indexOf("\n")
  if (end < 0) {
    const begins = text.length < MAX_STATUS_LINE && "HTTP/1.".startsWith(text.slice(0, 7))
    return begins ? "incomplete" : "malformed"
  }
  const status = statusLine.exec(text.slice(0, end))?.[1]
  return status === undefined ? "malformed" : Number(status)
}
