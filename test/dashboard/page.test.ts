import { assert, describe, it } from "@effect/vitest"
import axe, { type AxeResults } from "axe-core"
import * as Effect from "effect/Effect"
import { createServer } from "node:net"
import type { Browser, Page } from "playwright-core"
import { elsewhere } from "../api/rig.ts"
import { browser, chromiumPath } from "../support/browser.ts"
import { dashboardScene } from "../support/dashboardScene.ts"

const PATIENCE = 60_000

type PageOptions = NonNullable<Parameters<Browser["newPage"]>[0]>

/** An empty page, whatever its console says that is amiss, and what it asks of others than the dashboard's own host. */
const newPage = Effect.fnUntraced(function* (options: PageOptions = {}) {
  const chromium = yield* browser
  const page = yield* Effect.promise(() => chromium.newPage(options))
  page.setDefaultTimeout(PATIENCE)
  const errors: Array<string> = []
  const outside: Array<string> = []
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") errors.push(message.text())
  })
  page.on("pageerror", (error) => errors.push(error.message))
  page.on("request", (request) => {
    if (!request.url().startsWith("http://127.0.0.1:")) outside.push(request.url())
  })
  return { page, errors, outside }
})

const open = Effect.fnUntraced(function* (url: string, options?: PageOptions) {
  const made = yield* newPage(options)
  yield* Effect.promise(() => made.page.goto(url))
  return made
})

const inPage = (page: Page, expression: string): Effect.Effect<unknown> =>
  Effect.promise(() => page.evaluate(expression))

/** Completes when the expression is true in the page. Asked from outside: the page itself may not make code of text. */
const until = Effect.fnUntraced(function* (page: Page, expression: string) {
  const deadline = performance.now() + PATIENCE
  while ((yield* inPage(page, expression)) !== true) {
    if (performance.now() > deadline) {
      const seen = yield* inPage(page, "document.body.innerText")
      return yield* Effect.die(new Error(`never: ${expression}\n${String(seen)}`))
    }
    yield* Effect.sleep(50)
  }
})

const text = (page: Page, selector: string, fits: RegExp) =>
  until(page, `${fits}s.test(document.querySelector(${JSON.stringify(selector)})?.textContent ?? "")`)

const rowOf = (page: Page, id: string) =>
  page.locator("#backend-rows tr", { has: page.locator(".id", { hasText: id }) })

/** Violations as axe names them, each with its elements. */
const violations = Effect.fnUntraced(function* (page: Page) {
  yield* inPage(page, axe.source)
  // The shape is axe's.
  const { violations } = (yield* inPage(page, "axe.run(document, { resultTypes: ['violations'] })")) as AxeResults
  return violations.map(
    ({ id, nodes }) =>
      `${id}: ${nodes.map(({ failureSummary, html }) => `${html} ${failureSummary ?? ""}`).join(" | ")}`
  )
})

/** A port that nobody has for the moment. */
const freePort = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

const TOKEN = "the-token-of-this-pop"

describe.skipIf(chromiumPath === undefined)(
  "the dashboard in Chromium (skipped where it is not installed)",
  { timeout: 180_000 },
  () => {
    it.live("shows the POP, follows it, and needs nothing from elsewhere", () =>
      Effect.gen(function* () {
        const scene = yield* dashboardScene({ env: { TLS_ENABLED: "true", TLS_LISTEN_ADDR: "127.0.0.1:0" } })
        const { errors, outside, page } = yield* open(scene.url)
        yield* text(page, "#identity", /gru1 · sa/)
        yield* text(page, "#readiness", /^ready: bad rows in the table$/)
        yield* text(page, "#backend-counts", /^13 up$/)
        yield* text(page, "#quarantine", /ams-a.*region/)
        // Clients of 18 countries, most of them with a line to a region.
        yield* until(page, "document.querySelectorAll('#world .line').length >= 15")
        yield* text(page, "#flows", /Brazil.*South America/)
        yield* text(page, ".tile:nth-child(1) .figure", /^(9\d|1[01]\d)$/)
        yield* text(page, ".tile:nth-child(4) .figure", /[kM]B\/s/)
        yield* Effect.promise(() => page.waitForSelector("#charts canvas"))
        yield* text(page, "#ends", /client.*finished/)
        yield* text(
          page,
          "#vitals",
          /Control loop.*File descriptors.*Data-plane queues\d+ B to it.*Routing table.*Geo database.*certificate to endself-signed, in \d+ d/
        )
        yield* text(page, "#actor-rows", /routing-table.*running/)

        scene.kill("gru-a")
        yield* text(page, "#backend-counts", /12 up, 1 (down|circuit open)/)
        yield* text(page, "#events", /gru-a.*(is down|failed too often)/)
        assert.match(yield* Effect.promise(() => rowOf(page, "gru-a").innerText()), /down|circuit open/)
        assert.match((yield* Effect.promise(() => page.locator("#news").textContent())) ?? "", /gru-a/)
        yield* scene.revive("gru-a")
        yield* text(page, "#backend-counts", /^13 up$/)
        assert.deepStrictEqual([errors, outside], [[], []])
      }).pipe(Effect.scoped)
    )

    it.live("explains where a client would go", () =>
      Effect.gen(function* () {
        const scene = yield* dashboardScene()
        const { errors, page } = yield* open(scene.url)
        yield* Effect.promise(() => page.fill("#explain-ip", "127.20.0.250"))
        yield* Effect.promise(() => page.keyboard.press("Enter"))
        yield* text(
          page,
          "#explanation .answer",
          /^127\.20\.0\.250, in Brazil \(BR, sa\), goes to gru-[ab]: tier 0, same country; chosen afresh\.$/
        )
        yield* text(page, "#explanation pre", /"pop_region": "sa"/)
        yield* Effect.promise(() => page.fill("#explain-app", "nobody's"))
        yield* Effect.promise(() => page.click("#explain-form button"))
        yield* text(page, "#explanation .answer", /would be reset: no backend is eligible/)
        assert.deepStrictEqual(errors, [])
        yield* Effect.promise(() => page.fill("#explain-ip", "<img src=x onerror=alert(1)>"))
        yield* Effect.promise(() => page.click("#explain-form button"))
        yield* text(page, "#explanation", /no such connection|[Ee]xpected an IPv4/)
      }).pipe(Effect.scoped)
    )

    it.live("explains a connection that is open, and one that nobody knows", () =>
      Effect.gen(function* () {
        const scene = yield* dashboardScene({ lifetimeMs: 60_000 })
        const { page } = yield* open(scene.url)
        const { body } = yield* scene.api.until("/api/v1/connections?limit=1", ({ body }) => body["total"] !== 0)
        const [first] = body["connections"] as ReadonlyArray<{ readonly id: string; readonly client: string }>
        assert.isDefined(first)
        yield* Effect.promise(() => page.fill("#explain-ip", first.id))
        yield* Effect.promise(() => page.keyboard.press("Enter"))
        yield* text(
          page,
          "#explanation",
          new RegExp(`${first.client} port .* went to .*It is open.*would go now.*goes to`)
        )
        yield* Effect.promise(() => page.fill("#explain-ip", "zzzzzz"))
        yield* Effect.promise(() => page.keyboard.press("Enter"))
        yield* text(page, "#explanation", /^no such connection/)
      }).pipe(Effect.scoped)
    )

    it.live("drains and undrains, with the token where one is set", () =>
      Effect.gen(function* () {
        const scene = yield* dashboardScene({ env: { API_TOKEN: TOKEN } })
        const { page } = yield* open(scene.url)
        yield* text(page, "#backend-counts", /13 up/)
        // From loopback it may be looked at and changed; a token that is wrong is wrong from there too.
        const give = (token: string) =>
          Effect.promise(async () => {
            await page.fill("#token-value", token)
            await page.click("#token-form button[type=submit]")
          })
        yield* Effect.promise(() => page.click("#token"))
        yield* give("not-the-token")
        yield* text(page, "#stream", /wrong token/)
        yield* give(TOKEN)
        yield* text(page, "#stream", /^$/)
        yield* Effect.promise(() => page.click("#backend-rows button >> nth=0"))
        yield* text(page, "#backend-counts", /12 up, 1 draining/)
        const { body } = yield* scene.api.call("GET", "/api/v1/backends?state=draining")
        assert.deepInclude(body, { total: 1 })
        yield* Effect.promise(() => page.click('#backend-rows button:has-text("Undrain")'))
        yield* text(page, "#backend-counts", /^13 up$/)
        // It is this tab's alone.
        const kept = yield* inPage(page, "[sessionStorage.length, localStorage.length, document.cookie, location.href]")
        assert.deepStrictEqual(kept, [1, 0, "", `${scene.url}/`])
      }).pipe(Effect.scoped)
    )

    it.live("shows that a drain has failed, and why, until something works", () =>
      Effect.gen(function* () {
        const scene = yield* dashboardScene()
        const { page } = yield* open(scene.url)
        yield* text(page, "#backend-counts", /13 up/)
        const json = JSON.stringify({ error: "the table can't be written: disk full" })
        yield* Effect.promise(() =>
          page.route("**/drain", (route) => route.fulfill({ status: 503, contentType: "application/json", body: json }))
        )
        yield* Effect.promise(() => page.click("#backend-rows button >> nth=0"))
        yield* text(page, "#failure", /^\S+ was not changed: the table can't be written: disk full$/)
        assert.isTrue(yield* Effect.promise(() => page.locator("#failure").isVisible()))
        yield* Effect.promise(() => page.unroute("**/drain"))
        yield* Effect.promise(() => page.click("#backend-rows button >> nth=0"))
        yield* text(page, "#backend-counts", /12 up, 1 draining/)
        assert.isFalse(yield* Effect.promise(() => page.locator("#failure").isVisible()))
      }).pipe(Effect.scoped)
    )

    it.live.skipIf(elsewhere === undefined)(
      "from another host asks for a token where there is one, and else says so",
      () =>
        Effect.gen(function* () {
          const lookFrom = Effect.fnUntraced(function* (env: Readonly<Record<string, string>>) {
            const scene = yield* dashboardScene({ env: { API_LISTEN_ADDR: "0.0.0.0:0", ...env } })
            const made = yield* newPage()
            yield* Effect.promise(() => made.page.goto(scene.url.replace("0.0.0.0", elsewhere ?? "")))
            return made
          })
          const locked = yield* lookFrom({})
          yield* text(locked.page, "#stream", /from loopback only, since no token is set \(EDGEPROXY_API_READ_TOKEN\)/)
          assert.isFalse(yield* Effect.promise(() => locked.page.locator("#token-dialog").isVisible()))
          const asking = yield* lookFrom({ API_TOKEN: TOKEN })
          yield* text(asking.page, "#stream", /a token is needed/)
          yield* Effect.promise(() => asking.page.fill("#token-value", TOKEN))
          yield* Effect.promise(() => asking.page.keyboard.press("Enter"))
          yield* text(asking.page, "#backend-counts", /13 up/)
          // The answers that said no, and nothing else: a browser complains of headers that mean nothing without TLS.
          for (const { errors } of [locked, asking])
            assert.isTrue(
              errors.every((error) => /40[13]/.test(error)),
              errors.join()
            )
        }).pipe(Effect.scoped)
    )

    it.live("survives a restart of the proxy", () =>
      Effect.gen(function* () {
        const port = yield* freePort
        const env = { API_LISTEN_ADDR: `127.0.0.1:${port}` }
        const { errors, page } = yield* newPage()
        yield* Effect.gen(function* () {
          const scene = yield* dashboardScene({ env })
          yield* Effect.promise(() => page.goto(scene.url))
          yield* text(page, "#backend-counts", /13 up/)
          yield* scene.edge.stop
          yield* text(page, "#stream", /can't be reached/)
        }).pipe(Effect.scoped)
        const scene = yield* dashboardScene({ env: { ...env, POP_ID: "gru2" } })
        yield* text(page, "#identity", /gru2 · sa/)
        yield* text(page, "#stream", /^$/)
        scene.kill("fra-a")
        yield* text(page, "#events", /fra-a/)
        assert.isTrue(errors.every((error) => error.includes("ERR_CONNECTION_REFUSED")))
      }).pipe(Effect.scoped)
    )

    it.live("lets nothing that a row says become markup, script or style", () =>
      Effect.gen(function* () {
        const scene = yield* dashboardScene()
        const { errors, page } = yield* open(scene.url)
        const hostile = `<img src=x onerror="document.title='owned'"><b>x</b>`
        yield* scene.api.call("POST", "/api/v1/register", {
          id: hostile,
          app: hostile,
          region: "eu",
          ip: "127.0.0.1",
          port: 9
        })
        yield* text(page, "#backend-rows", /<img src=x/)
        assert.strictEqual(yield* Effect.promise(() => page.locator("#backend-rows img, #backend-rows b b").count()), 0)
        assert.match(yield* Effect.promise(() => page.title()), /gru1/)
        assert.deepStrictEqual(errors, [])
      }).pipe(Effect.scoped)
    )

    it.live.each([
      ["light", 1_280],
      ["dark", 1_280],
      ["light", 390],
      ["dark", 390]
    ] as const)("has no accessibility violations: %s, %i pixels wide", ([colorScheme, width]) =>
      Effect.gen(function* () {
        const scene = yield* dashboardScene()
        const { errors, page } = yield* open(scene.url, {
          colorScheme,
          viewport: { width, height: 844 },
          reducedMotion: "reduce"
        })
        scene.kill("gru-a")
        yield* scene.api.call("POST", "/api/v1/backends/fra-a/drain")
        yield* text(page, "#backend-counts", /11 up, 1 draining/)
        yield* Effect.promise(() => page.fill("#explain-ip", "127.20.0.250"))
        yield* Effect.promise(() => page.keyboard.press("Enter"))
        yield* text(page, "#explanation .answer", /goes to/)
        assert.deepStrictEqual(yield* violations(page), [])
        // Nothing makes a phone scroll sideways.
        const wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        const over = yield* inPage(page, wide)
        assert.strictEqual(over, 0)
        yield* Effect.promise(() => page.click("#token"))
        assert.deepStrictEqual(yield* violations(page), [])
        assert.deepStrictEqual(errors, [])
      }).pipe(Effect.scoped)
    )

    it.live("can be used with the keyboard alone", () =>
      Effect.gen(function* () {
        const scene = yield* dashboardScene()
        const { page } = yield* open(scene.url)
        yield* text(page, "#backend-counts", /13 up/)
        const focused = () => inPage(page, "document.activeElement?.textContent?.trim()")
        yield* Effect.promise(() => page.keyboard.press("Tab"))
        assert.strictEqual(yield* focused(), "Skip to the backends")
        yield* Effect.promise(() => page.keyboard.press("Enter"))
        // Past the two fields of the filter, the table itself and its eight headings.
        for (let step = 0; step < 12; step++) yield* Effect.promise(() => page.keyboard.press("Tab"))
        assert.strictEqual(yield* focused(), "Drain")
        yield* Effect.promise(() => page.keyboard.press("Enter"))
        yield* text(page, "#backend-counts", /12 up, 1 draining/)
        // The row has moved to the top, and the focus with it.
        assert.strictEqual(yield* focused(), "Undrain")
      }).pipe(Effect.scoped)
    )
  }
)
