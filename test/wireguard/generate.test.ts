import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { has, output, threeHosts, withTopology } from "./rig.ts"

const hosts = ["pop-eu", "pop-sa", "sa-1"]
const mode = (path: string): string => (statSync(path).mode & 0o7777).toString(8)
const value = (file: string, key: string): ReadonlyArray<string> =>
  Array.from(file.matchAll(new RegExp(`^${key} = (.*)$`, "gm")), ([, text = ""]) => text)

describe("wireguard generate", () => {
  it.live("writes files that wg-quick takes, for their owner only, and shows no key", () =>
    Effect.gen(function* () {
      const { at, wireguard } = yield* withTopology(threeHosts)
      const { code, err, out } = yield* wireguard("generate", "mesh.toml", "--out", "mesh", "--svg", "mesh.svg")
      assert.strictEqual(code, 0, err)
      assert.deepStrictEqual(readdirSync(at("mesh")), [...hosts, "preshared.secret"].sort())
      assert.strictEqual(mode(at("mesh")), "700")
      assert.strictEqual(mode(at("mesh/preshared.secret")), "600")
      const secrets = [readFileSync(at("mesh/preshared.secret"), "utf8").trim()]
      for (const host of hosts) {
        assert.strictEqual(mode(at("mesh", host)), "700")
        assert.deepStrictEqual(readdirSync(at("mesh", host)), ["private.key", "wg0.conf"])
        for (const file of ["private.key", "wg0.conf"]) assert.strictEqual(mode(at("mesh", host, file)), "600")
        const conf = readFileSync(at("mesh", host, "wg0.conf"), "utf8")
        secrets.push(...value(conf, "PrivateKey"), ...value(conf, "PresharedKey"))
        assert.deepStrictEqual(value(conf, "PrivateKey"), [
          readFileSync(at("mesh", host, "private.key"), "utf8").trim()
        ])
      }
      // One for the root of the preshared keys, three private keys, and two pairs that both hosts have the same key for.
      assert.deepStrictEqual([secrets.length, new Set(secrets).size], [8, 6])
      const said = out + err + readFileSync(at("mesh.svg"), "utf8")
      for (const secret of secrets) assert.notInclude(said, secret)
      assert.strictEqual(mode(at("mesh.svg")), "644")
    })
  )

  it.live("writes what the plan says", () =>
    Effect.gen(function* () {
      const { at, wireguard } = yield* withTopology(threeHosts)
      yield* wireguard("generate", "mesh.toml", "--out", "mesh")
      const text = readFileSync(at("mesh/pop-sa/wg0.conf"), "utf8").replaceAll(/Key = .*/g, "Key = ...")
      assert.strictEqual(
        text,
        `# pop-sa: POP in sa
[Interface]
Address = 10.50.0.1/16, fd12:3456:789a:0:1::1/48
ListenPort = 51820
MTU = 1420
PrivateKey = ...
PostUp = sysctl -q -w net.ipv4.conf.%i.forwarding=1
PostUp = sysctl -q -w net.ipv6.conf.all.forwarding=1

# pop-eu: POP in eu
[Peer]
PublicKey = ...
PresharedKey = ...
Endpoint = [2001:db8::1]:51821
AllowedIPs = 10.50.0.2/32, fd12:3456:789a:0:2::1/128

# sa-1: backend in sa
[Peer]
PublicKey = ...
PresharedKey = ...
AllowedIPs = 10.50.1.1/32, fd12:3456:789a:1:1::1/128
`
      )
      const spoke = readFileSync(at("mesh/sa-1/wg0.conf"), "utf8")
      assert.deepStrictEqual(value(spoke, "PersistentKeepalive"), ["25"])
      assert.deepStrictEqual(value(spoke, "AllowedIPs"), ["10.50.0.0/16, fd12:3456:789a::/48"])
    })
  )

  it.live("keeps keys and files; changes files only by force, and says which and whose address", () =>
    Effect.gen(function* () {
      const { at, wireguard, write } = yield* withTopology(threeHosts)
      const generate = (...more: ReadonlyArray<string>) => wireguard("generate", "mesh.toml", "--out", "mesh", ...more)
      yield* generate()
      const read = () => hosts.map((host) => readFileSync(at("mesh", host, "wg0.conf"), "utf8"))
      const before = read()
      const again = yield* generate()
      assert.deepStrictEqual([again.code, read()], [0, before])
      assert.strictEqual(again.out.match(/unchanged/g)?.length, 3)

      write(threeHosts.replace('name = "sa-1"', 'name = "sa-1"\nnumber = 9').replace("203.0.113.1", "203.0.113.9"))
      const refused = yield* generate()
      assert.deepStrictEqual([refused.code, refused.out, read()], [1, "", before])
      assert.match(refused.err, /mesh\/pop-eu\/wg0\.conf\n.*mesh\/sa-1\/wg0\.conf \(its address was 10\.50\.1\.1\)/)
      const forced = yield* generate("--force")
      assert.deepStrictEqual([forced.code, forced.out.match(/replaced/g)?.length], [0, 3])
      const [, , spoke = ""] = read()
      assert.match(spoke, /^Endpoint = 203\.0\.113\.9:51820$/m)
      assert.deepStrictEqual(value(spoke, "PrivateKey"), value(before[2] ?? "", "PrivateKey"))
      for (const host of hosts) assert.deepStrictEqual(readdirSync(at("mesh", host)), ["private.key", "wg0.conf"])
    })
  )

  it.live("takes up a run that was cut off, and names what belongs to nobody", () =>
    Effect.gen(function* () {
      const { at, wireguard } = yield* withTopology(threeHosts)
      yield* wireguard("generate", "mesh.toml", "--out", "mesh")
      const key = readFileSync(at("mesh/sa-1/private.key"), "utf8")
      rmSync(at("mesh/sa-1/wg0.conf"))
      mkdirSync(at("mesh/gone-1"), { mode: 0o700 })
      const { code, err } = yield* wireguard("generate", "mesh.toml", "--out", "mesh")
      assert.strictEqual(code, 0)
      assert.include(readFileSync(at("mesh/sa-1/wg0.conf"), "utf8"), key.trim())
      assert.include(err, "mesh/gone-1 belongs to no host")
    })
  )

  it.live("takes keys from files and leaves those that stay on their host", () =>
    Effect.gen(function* () {
      const publicKey = "kL6tJ2yYz0NGbWhw1B9gF3u7xVqFZc2oX2b8v5jZbzA="
      const topology = threeHosts
        .replace('name = "sa-1"', 'name = "sa-1"\nprivate_key_file = "keys/sa.key"')
        .replace('name = "pop-eu"', `name = "pop-eu"\npublic_key = "${publicKey}"`)
      const { at, wireguard } = yield* withTopology(topology)
      const missing = yield* wireguard("generate", "mesh.toml", "--out", "mesh")
      assert.deepStrictEqual([missing.code, existsSync(at("mesh"))], [1, false])
      assert.match(missing.err, /keys\/sa\.key: no such file/)
      mkdirSync(at("keys"))
      // A pair that `wg genkey` and `wg pubkey` made.
      const secret = "GPFyNxhh3+Kd1Ydyip7Vv/B15xqdjOyInV4/gM0MO0o="
      writeFileSync(at("keys/sa.key"), `${secret}\n`, { mode: 0o644 })
      const open = yield* wireguard("generate", "mesh.toml", "--out", "mesh")
      assert.match(open.err, /keys\/sa\.key: others may use it \(0644\): chmod 600/)
      chmodSync(at("keys/sa.key"), 0o600)
      const { code, err, out } = yield* wireguard("generate", "mesh.toml", "--out", "mesh")
      assert.strictEqual(code, 0, err)
      assert.deepStrictEqual(readdirSync(at("mesh/sa-1")), ["wg0.conf"])
      assert.notInclude(out + err, secret)
      const there = readFileSync(at("mesh/pop-eu/wg0.conf"), "utf8")
      assert.include(there, "PostUp = wg set %i private-key /etc/wireguard/private.key\n")
      assert.notInclude(there, "PrivateKey")
      const here = readFileSync(at("mesh/pop-sa/wg0.conf"), "utf8")
      assert.deepStrictEqual(value(here, "PublicKey"), [publicKey, "8mVS2jfD/XgmVEAgONoiKuvilvlVlw8WNRmurrL6VT4="])
    })
  )

  it.live.each([
    [
      "the folder is open to others",
      (at: string) => mkdirSync(at, { mode: 0o755 }),
      /mesh: others may enter it \(0755\)/
    ],
    ["the folder is a file", (at: string) => writeFileSync(at, ""), /mesh: it is not a folder/],
    [
      "a host's folder is a link",
      (at: string) => {
        mkdirSync(at, { mode: 0o700 })
        symlinkSync("/tmp", `${at}/sa-1`)
      },
      /sa-1.*: it is not a folder/
    ],
    [
      "a kept key is a link",
      (at: string) => {
        mkdirSync(`${at}/sa-1`, { recursive: true, mode: 0o700 })
        symlinkSync("/etc/hostname", `${at}/sa-1/private.key`)
      },
      /sa-1\/private\.key: it is a symbolic link/
    ],
    [
      "a kept key is open to others",
      (at: string) => {
        mkdirSync(`${at}/sa-1`, { recursive: true, mode: 0o700 })
        writeFileSync(`${at}/sa-1/private.key`, "x", { mode: 0o640 })
      },
      /sa-1\/private\.key: others may use it/
    ],
    [
      "a kept key is damaged",
      (at: string) => {
        mkdirSync(`${at}/sa-1`, { recursive: true, mode: 0o700 })
        writeFileSync(`${at}/sa-1/private.key`, "c2VjcmV0", { mode: 0o600 })
      },
      /sa-1\/private\.key: not a WireGuard key: put/
    ]
  ] as const)("writes nothing where %s", ([, prepare, expected]) =>
    Effect.gen(function* () {
      const { at, wireguard } = yield* withTopology(threeHosts)
      prepare(at("mesh"))
      const { code, err, out } = yield* wireguard("generate", "mesh.toml", "--out", "mesh")
      assert.deepStrictEqual([code, out], [1, ""])
      assert.match(err, expected)
      assert.notInclude(err, "c2VjcmV0")
    })
  )

  it.live("does not draw over another file", () =>
    Effect.gen(function* () {
      const { at, wireguard } = yield* withTopology(threeHosts)
      writeFileSync(at("notes.svg"), "mine")
      const { code, err } = yield* wireguard("draw", "mesh.toml", "--svg", "notes.svg")
      assert.deepStrictEqual([code, readFileSync(at("notes.svg"), "utf8")], [1, "mine"])
      assert.include(err, "--force")
      const forced = yield* wireguard("draw", "mesh.toml", "--svg", "notes.svg", "--force")
      const shown = yield* wireguard("draw", "mesh.toml")
      assert.deepStrictEqual([forced.code, shown.out], [0, readFileSync(at("notes.svg"), "utf8")])
    })
  )

  it.live("says what is wrong with 64, each with its place in the file; a file that is no TOML with its line", () =>
    Effect.gen(function* () {
      const { wireguard, write } = yield* withTopology(
        threeHosts.replace('"sa"', '"mars"').replace('name = "sa-1"', "")
      )
      const { code, err } = yield* wireguard("check", "mesh.toml")
      assert.strictEqual(code, 64)
      assert.match(err, /^mesh\.toml: pop\[0\]\.region \(pop-sa\): .*\nmesh\.toml: backend\[0\]\.name: /)
      write("topology = \n")
      const broken = yield* wireguard("check", "mesh.toml")
      assert.deepStrictEqual([broken.code, broken.err.startsWith("mesh.toml: line 1: ")], [1, true])
      const absent = yield* wireguard("check", "nix.toml")
      assert.deepStrictEqual([absent.code, absent.err], [1, "nix.toml: no such file or folder\n"])
    })
  )

  it.live("prints an example that checks", () =>
    Effect.gen(function* () {
      const { wireguard, write } = yield* withTopology("")
      write((yield* wireguard("example")).out)
      const { code, err, out } = yield* wireguard("check", "mesh.toml", "--json")
      assert.deepStrictEqual([code, err], [0, ""])
      const { hosts, tunnels } = JSON.parse(out) as { readonly hosts: ReadonlyArray<unknown>; readonly tunnels: number }
      assert.deepStrictEqual([hosts.length, tunnels], [7, 7])
    })
  )

  it.live("is what WireGuard's own tools make of it", (context) =>
    Effect.gen(function* () {
      if (!has("wg") || !has("wg-quick")) return context.skip("needs wireguard-tools")
      const { at, wireguard } = yield* withTopology(threeHosts)
      yield* wireguard("generate", "mesh.toml", "--out", "mesh")
      const publicKeys = new Map(
        hosts.map((host) => [
          host,
          output("wg", ["pubkey"], readFileSync(at("mesh", host, "private.key"), "utf8")).trim()
        ])
      )
      for (const host of hosts) {
        const path = at("mesh", host, "wg0.conf")
        const stripped = output("wg-quick", ["strip", path])
        const known = Array.from(publicKeys.values()).filter((key) => key !== publicKeys.get(host))
        const peers = value(stripped, "PublicKey")
        assert.isNotEmpty(peers)
        for (const key of peers) assert.include(known, key)
        assert.notMatch(stripped, /^(Address|MTU|PostUp)/m)
      }
    })
  )
})
