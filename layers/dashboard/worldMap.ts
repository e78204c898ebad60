import { geoArea, geoCentroid, geoNaturalEarth1, geoPath, type ExtendedFeature } from "d3-geo"
import { iso31661NumericToAlpha2 } from "iso-3166/1-n-to-1-a2.js"
import { createRequire } from "node:module"
import { feature } from "topojson-client"

/** The world on a plane, drawn when the program is built. Country codes are ISO 3166-1 alpha-2. */
export interface WorldMap {
  readonly width: number
  readonly height: number
  /** Outlines as SVG paths; small countries have none. */
  readonly outlines: Readonly<Record<string, string>>
  /** Where a country is: the middle of its largest piece of land. */
  readonly places: Readonly<Record<string, readonly [x: number, y: number]>>
}

// About as many units as the picture has pixels on a large screen.
const WIDTH = 1_440
const HEIGHT = 675

// Nobody connects from there, and it takes a fifth of the picture.
const ANTARCTICA = "010"

type Topology = Parameters<typeof feature>[0]

const load = (file: string): ReadonlyArray<ExtendedFeature> => {
  // JSON of a known shape: the package has no types.
  const topology = createRequire(import.meta.url)(`world-atlas/${file}`) as Topology
  const countries = topology.objects["countries"]
  if (countries === undefined) throw new Error(`world-atlas/${file} has no countries`)
  const collection = feature(topology, countries)
  return collection.type === "FeatureCollection" ? collection.features : [collection]
}

/** Kosovo, Northern Cyprus and Somaliland have no number; the first of them has a code that geo databases use. */
const codeOf = ({ id, properties }: ExtendedFeature): string | undefined => {
  if (id === undefined) return properties?.["name"] === "Kosovo" ? "XK" : undefined
  return iso31661NumericToAlpha2[`${id}`.padStart(3, "0")]
}

/** The largest piece: the middle of France is not in the Atlantic. */
const mainland = ({ geometry, ...rest }: ExtendedFeature): ExtendedFeature => {
  if (geometry?.type !== "MultiPolygon") return { ...rest, geometry }
  const pieces = geometry.coordinates.map((coordinates) => ({ type: "Polygon" as const, coordinates }))
  const [largest = geometry] = pieces.toSorted((a, b) => geoArea(b) - geoArea(a))
  return { ...rest, geometry: largest }
}

/** Whole numbers, and each point from the one before: a third as long. */
const shorten = (path: string): string => {
  let [x, y] = [0, 0]
  const parts = path.split(/(?=[MLZ])/).map((part) => {
    if (part === "Z") return "z"
    const [toX = 0, toY = 0] = part
      .slice(1)
      .split(",")
      .map((text) => Math.round(Number(text)))
    const [byX, byY] = [toX - x, toY - y]
    ;[x, y] = [toX, toY]
    if (part.startsWith("M")) return `M${toX},${toY}l`
    return byX === 0 && byY === 0 ? "" : `${byX},${byY} `
  })
  // A minus parts numbers as well as a comma or a space does.
  return (
    parts
      .join("")
      .replaceAll(/ (?=[-zM]|$)/g, "")
      // Islands of less than a unit.
      .replaceAll(/M[^Mz]*lz/g, "")
      .replaceAll(",-", "-")
  )
}

export const worldMap = (): WorldMap => {
  const rough = load("countries-110m.json").filter(({ id }) => id !== ANTARCTICA)
  // Cut in the Bering Strait, not through Siberia.
  const projection = geoNaturalEarth1()
    .rotate([-11, 0])
    .fitSize([WIDTH, HEIGHT], { type: "FeatureCollection", features: [...rough] })
  const path = geoPath(projection).digits(1)
  const outlines: Record<string, string> = {}
  for (const [index, country] of rough.entries()) {
    const drawn = path(country)
    if (drawn !== null) outlines[codeOf(country) ?? `-${index}`] = shorten(drawn)
  }
  const places: Record<string, readonly [number, number]> = {}
  for (const country of load("countries-50m.json")) {
    const code = codeOf(country)
    const point = code === undefined ? null : projection(geoCentroid(mainland(country)))
    if (code === undefined || point === null) continue
    places[code] = [Math.round(point[0]), Math.round(point[1])]
  }
  return { width: WIDTH, height: HEIGHT, outlines, places }
}
