import { assert, describe, it } from "@effect/vitest"
import { regions } from "../../src/domain/Region.ts"
import { layoutOf } from "../../src/wireguard/drawing/layout.ts"
import { drawMesh } from "../../src/wireguard/drawing/svg.ts"
import { anyTopology, planned, pop } from "./topologies.ts"

describe("the drawing of a mesh", () => {
  it.prop(
    "is the same for the same mesh, has a title, words and nothing that is not a number",
    [anyTopology],
    ([raw]) => {
      const svg = drawMesh(planned(raw))
      assert.strictEqual(svg, drawMesh(planned(raw)))
      assert.match(
        svg,
        /^<svg [^>]*role="img" aria-labelledby="mesh-title mesh-words">\n<title id="mesh-title">WireGuard/
      )
      assert.match(svg, /<desc id="mesh-words">[^<]+<\/desc>/)
      assert.include(svg, "prefers-color-scheme: dark")
      assert.notMatch(svg, /NaN|undefined|Infinity/)
    }
  )

  it.prop("keeps all in the picture, and cards apart", [anyTopology], ([raw]) => {
    const { cards, height, pops, width } = layoutOf(planned(raw))
    for (const { x, y } of pops) assert.isTrue(x > 20 && x < width - 20 && y > 60 && y < height - 20)
    for (const card of cards) {
      assert.isTrue(card.y >= 60 && card.y + card.height <= height)
      const others = cards.filter((other) => other !== card && other.side === card.side)
      for (const other of others) assert.isTrue(other.y >= card.y + card.height || other.y + other.height <= card.y)
    }
  })

  it("shows many backends of a region as one line, with one line for their tunnels", () => {
    const backend = Array.from({ length: 200 }, (_, index) => ({ name: `n${index}`, region: "sa" }))
    const pops = regions.slice(0, 2).map((region) => pop(`pop-${region}`, region))
    const svg = drawMesh(planned({ topology: "hierarchical", pop: pops, backend }))
    assert.include(svg, "and 189 more")
    assert.strictEqual(svg.match(/class="link"/g)?.length, 12)
    assert.isBelow(svg.length, 20_000)
  })

  it("shortens long names in the card, and has them whole in the words", () => {
    const name = `a-backend-with-a-name-of-${"x".repeat(30)}`
    const svg = drawMesh(planned({ topology: "full-mesh", pop: [pop("p", "sa")], backend: [{ name, region: "sa" }] }))
    assert.include(svg, ">a-backend-with-a-…<")
    assert.include(svg, `Backend in sa: ${name}`)
  })
})
