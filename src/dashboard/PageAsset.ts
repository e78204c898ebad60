/** A file of the web page, as it is sent. */
export interface PageAsset {
  /** Where it is asked for. */
  readonly path: string
  readonly contentType: string
  /** Tells one content from another; with its quotes. */
  readonly etag: string
  readonly plain: Uint8Array
  readonly gzip: Uint8Array
  readonly br: Uint8Array
}
