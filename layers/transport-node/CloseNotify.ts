import type * as net from "node:net"

/**
 * Tells whether a TLS stream was cut: its peer's FIN came without the alert that has to come before (close_notify, RFC 8446,
 * 6.1). Node does not say, and gives both as `end`. But the alert takes bytes on the wire: when none has come since
 * everything before was decrypted, there was no alert. When bytes came in the same turn of the loop, nobody knows, and the
 * end counts as orderly.
 */
export class CloseNotify {
  /** Bytes on the wire that are decrypted for certain; -1 when that is not known. */
  private decrypted = -1
  private queued = false
  private readonly wire: net.Socket
  private readonly stream: net.Socket

  constructor(wire: net.Socket, stream: net.Socket) {
    this.wire = wire
    this.stream = stream
    this.bytesCame()
  }

  bytesCame(): void {
    if (this.queued) return
    this.queued = true
    if (queue.push(this) === 1) setImmediate(lookAtAll)
  }

  /** Called at the stream's end. */
  isMissing(): boolean {
    return !this.queued && this.decrypted === this.wire.bytesRead
  }

  look(): void {
    this.queued = false
    // A paused stream may have more, the alert included, than it has given.
    this.decrypted = this.stream.isPaused() ? -1 : this.wire.bytesRead
  }
}

let queue: Array<CloseNotify> = []

const lookAtAll = (): void => {
  const those = queue
  queue = []
  for (const each of those) each.look()
}
