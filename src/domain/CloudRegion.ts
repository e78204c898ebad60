import { type Region, regions } from "./Region.ts"

/** Fly.io names its regions by airport: https://fly.io/docs/reference/regions/, retired ones included. */
const flyRegions: Readonly<Record<Region, string>> = {
  sa: "bog eze gig gru scl",
  us: "atl bos den dfw ewr gdl iad lax mia ord phx qro sea sjc vin yul yyz",
  eu: "ams arn cdg fra jnb lhr mad mrs otp waw",
  ap: "bom hkg maa nrt sin syd"
}

/** First word of the AWS (`us-east-1`, `cn-north-1`) and Google Cloud (`northamerica-south1`) region names. */
const areas: Readonly<Record<Region, string>> = {
  sa: "sa southamerica",
  us: "us ca mx northamerica",
  eu: "eu eusc europe il me af africa",
  ap: "ap cn asia australia"
}

const byWord = (words: Readonly<Record<Region, string>>): ReadonlyMap<string, Region> =>
  new Map(regions.flatMap((region) => words[region].split(" ").map((word) => [word, region] as const)))

const regionByAirport = byWord(flyRegions)
const regionByArea = byWord(areas)

// area, perhaps a partition of AWS (us-gov-west-1, us-isob-east-1, eusc-de-east-1), point of the compass, number
const areaName = /^([a-z]+)(?:-(?:gov|iso[a-z]?|de))?-(?:central|north|south|(?:north|south)?(?:east|west))-?\d{1,2}$/

/** The region a cloud's own region name lies in (Fly.io, AWS, Google Cloud); undefined for a name of none of them. */
export const regionOfCloudRegion = (name: string): Region | undefined => {
  const text = name.trim().toLowerCase()
  const airport = regionByAirport.get(text)
  if (airport !== undefined) return airport
  const area = areaName.exec(text)?.[1]
  return area === undefined ? undefined : regionByArea.get(area)
}
