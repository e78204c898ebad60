/** The world's outlines, which are drawn when the page is built. */
declare module "edgeproxy:world" {
  const world: {
    readonly width: number
    readonly height: number
    readonly outlines: Readonly<Record<string, string>>
    readonly places: Readonly<Record<string, readonly [x: number, y: number]>>
  }
  export default world
}

declare module "*.css"
