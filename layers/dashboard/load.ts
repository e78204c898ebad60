import { gunzipSync } from "node:zlib"
import type { PageAsset } from "../../src/dashboard/PageAsset.ts"

/** The dashboard's files out of the bundle: a chunk that only the first viewer has loaded. */
export const load = async (): Promise<ReadonlyArray<PageAsset>> => {
  const { default: packed } = await import("edgeproxy:dashboard")
  return packed.map(({ br, gzip, ...about }) => {
    const zipped = Buffer.from(gzip, "base64")
    return { ...about, plain: gunzipSync(zipped), gzip: zipped, br: Buffer.from(br, "base64") }
  })
}
