import * as Result from "effect/Result"
import { regionOfCloudRegion } from "../domain/CloudRegion.ts"
import { type Region, regions } from "../domain/Region.ts"
import { literals } from "./scalars.ts"
import type { Ambient, AmbientCodec } from "./Variable.ts"

/** Where clouds and their tools say in which of their regions a process runs, the surest first. */
export const cloudRegionVariables = ["FLY_REGION", "AWS_REGION", "GOOGLE_CLOUD_REGION", "CLOUD_REGION"] as const

const words = literals([...regions, "auto"])

const detect = ({ env }: Ambient): Result.Result<Region, string> => {
  for (const name of cloudRegionVariables) {
    const region = regionOfCloudRegion(env[name] ?? "")
    if (region !== undefined) return Result.succeed(region)
  }
  const found = cloudRegionVariables.filter((name) => env[name]).map((name) => `${name}=${JSON.stringify(env[name])}`)
  return Result.fail(
    `${words.allowed}, where auto needs a region of Fly.io, AWS or Google Cloud in one of ` +
      `${cloudRegionVariables.join(", ")} (${found.length === 0 ? "none is set" : `found ${found.join(", ")}`})`
  )
}

/** One of the four regions, or `auto`: the region the cloud says this process runs in. */
export const regionOrAuto: AmbientCodec<Region> = {
  allowed: words.allowed,
  decode: (text, ambient) =>
    Result.flatMap(words.decode(text), (word) => (word === "auto" ? detect(ambient) : Result.succeed(word))),
  encode: (region) => region
}
