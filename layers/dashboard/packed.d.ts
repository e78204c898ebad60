/** The dashboard's files, which `build.ts` puts into the bundle; data in base64. */
declare module "edgeproxy:dashboard" {
  const packed: ReadonlyArray<{
    readonly path: string
    readonly contentType: string
    readonly etag: string
    readonly gzip: string
    readonly br: string
  }>
  export default packed
}
