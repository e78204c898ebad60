import type * as net from "node:net"
import type * as tls from "node:tls"

const HEADER = 5

/** Bytes that a record takes beside its content; undefined where that differs from record to record. */
const overheadOf = (stream: tls.TLSSocket): number | undefined => {
  const { standardName } = stream.getCipher()
  const tag = /CCM_?8/.test(standardName) ? 8 : 16
  // The type of its content is inside (RFC 8446, 5.2).
  if (stream.getProtocol() === "TLSv1.3") return HEADER + 1 + tag
  if (standardName.includes("CHACHA20")) return HEADER + tag
  // Half of the nonce is in each record (RFC 5288, 3).
  return /GCM|CCM/.test(standardName) ? HEADER + 8 + tag : undefined
}

/**
 * Tells whether a TLS stream was cut: its peer's FIN came without the alert that has to come before (close_notify, RFC 8446,
 * 6.1). Node does not say, and gives both as `end`. But the alert takes bytes on the wire. When none has come since everything
 * before was decrypted, there was no alert. Nor was there one when the records of all that was decrypted account for every
 * byte. Otherwise nobody knows (padded records, keys or tickets renewed, in the same turn of the loop as the end), and the
 * end counts as orderly.
 */
export class CloseNotify {
  /** Bytes on the wire that are decrypted for certain; -1 when that is not known. */
  private decrypted = -1
  /** Bytes of records whose content has come. */
  private recorded = 0
  /** Bytes on the wire that are no such records, while between records: the handshake's; -1 when that is not known. */
  private beside = -1
  /** The same at the last look, when some of it may have been the beginning of a record. */
  private besideBefore = -1
  private recordedBefore = 0
  private queued = false
  private readonly overhead: number | undefined
  private readonly wire: net.Socket
  private readonly stream: tls.TLSSocket

  constructor(wire: net.Socket, stream: tls.TLSSocket) {
    this.wire = wire
    this.stream = stream
    this.overhead = overheadOf(stream)
    this.expectBytes()
  }

  /** The content of a record has come. */
  came(length: number): void {
    this.recorded += length + (this.overhead ?? 0)
    this.expectBytes()
  }

  /** Called at the stream's end. */
  isMissing(): boolean {
    const { bytesRead } = this.wire
    if (!this.queued && this.decrypted === bytesRead) return true
    return this.overhead !== undefined && this.beside === bytesRead - this.recorded
  }

  look(): void {
    this.queued = false
    const { bytesRead } = this.wire
    // A paused stream may have more, the alert included, than it has given.
    const isPaused = this.stream.isPaused()
    this.decrypted = isPaused ? -1 : bytesRead
    if (isPaused) return
    const beside = bytesRead - this.recorded
    // A record that has begun is not likely to have done so by as many bytes twice.
    const isCertain = beside === this.besideBefore && this.recorded > this.recordedBefore
    if (this.beside < 0 || isCertain) this.beside = beside
    this.besideBefore = beside
    this.recordedBefore = this.recorded
  }

  private expectBytes(): void {
    if (this.queued) return
    this.queued = true
    if (queue.push(this) === 1) setImmediate(lookAtAll)
  }
}

let queue: Array<CloseNotify> = []

const lookAtAll = (): void => {
  const those = queue
  queue = []
  for (const each of those) each.look()
}
