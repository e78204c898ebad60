import { assert, describe, it } from "@effect/vitest"
import { regionOfCloudRegion } from "../../src/domain/CloudRegion.ts"
import { type Region, regions } from "../../src/domain/Region.ts"

const fly: Readonly<Record<Region, string>> = {
  sa: "gru scl bog eze gig",
  us: "iad ord lax dfw sea sjc ewr mia den atl bos phx yyz yul qro gdl",
  eu: "lhr fra ams cdg mad waw arn otp jnb",
  ap: "nrt hkg sin syd bom maa"
}

const aws: Readonly<Record<Region, string>> = {
  sa: "sa-east-1",
  us: "us-east-1 us-east-2 us-west-1 us-west-2 us-gov-east-1 us-gov-west-1 us-iso-east-1 us-isob-east-1 ca-central-1 ca-west-1 mx-central-1",
  eu: "eu-central-1 eu-central-2 eu-west-1 eu-west-2 eu-west-3 eu-north-1 eu-south-1 eu-south-2 eusc-de-east-1 il-central-1 me-south-1 me-central-1 af-south-1",
  ap: "ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-5 ap-east-1 ap-east-2 cn-north-1 cn-northwest-1"
}

const gcp: Readonly<Record<Region, string>> = {
  sa: "southamerica-east1 southamerica-west1",
  us: "us-central1 us-east1 us-east4 us-south1 us-west4 northamerica-northeast1 northamerica-northeast2 northamerica-south1",
  eu: "europe-west1 europe-west12 europe-north1 europe-central2 europe-southwest1 me-west1 me-central1 me-central2 africa-south1",
  ap: "asia-east1 asia-east2 asia-northeast3 asia-south2 asia-southeast2 australia-southeast1 australia-southeast2"
}

describe("regionOfCloudRegion", () => {
  for (const [cloud, names] of Object.entries({ fly, aws, gcp })) {
    it.each(regions.flatMap((region) => names[region].split(" ").map((name) => [name, region] as const)))(
      `${cloud} %s is in %s`,
      (name, region) => {
        assert.strictEqual(regionOfCloudRegion(name), region)
      }
    )
  }

  it("takes any case and blanks around", () => {
    assert.strictEqual(regionOfCloudRegion(" GRU\n"), "sa")
    assert.strictEqual(regionOfCloudRegion("EU-West-1"), "eu")
  })

  it.each([
    "",
    "xxx",
    "sa",
    "us",
    "mars-east-1",
    "us-east",
    "us-up-1",
    "us-east-1x",
    "east-1",
    "constructor",
    "a-east-1"
  ])("%j is no region of a known cloud", (name) => {
    assert.isUndefined(regionOfCloudRegion(name))
  })
})
