import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { accountsOf, memory, needOf } from "../../layers/host/memory.ts"

const usages = (cgroups: string) => accountsOf(cgroups).map(({ usage }) => usage)

describe("where a control group tells its memory", () => {
  it("is found for both versions, seen from the host and from a container", () => {
    assert.deepStrictEqual(usages("0::/system.slice/edgeproxy.service\n"), [
      "/sys/fs/cgroup/system.slice/edgeproxy.service/memory.current",
      "/sys/fs/cgroup/memory.current"
    ])
    assert.deepStrictEqual(usages("12:pids:/a\n4:memory:/docker/ab\n1:name=systemd:/a\n"), [
      "/sys/fs/cgroup/memory/docker/ab/memory.usage_in_bytes",
      "/sys/fs/cgroup/memory/memory.usage_in_bytes"
    ])
    assert.deepStrictEqual(usages("5:cpu,memory,io:/x\n0::/\n"), [
      "/sys/fs/cgroup/memory/x/memory.usage_in_bytes",
      "/sys/fs/cgroup/memory/memory.usage_in_bytes",
      "/sys/fs/cgroup//memory.current",
      "/sys/fs/cgroup/memory.current"
    ])
    assert.deepStrictEqual(usages(""), [])
  })

  it("counts what can't be dropped", () => {
    const stat = "anon 1000\nfile 700\ninactive_file 500\nactive_file 200\n"
    assert.strictEqual(needOf("2000\n", stat, "inactive_file"), 1_500)
    assert.strictEqual(needOf("2000\n", "", "inactive_file"), 2_000)
    assert.strictEqual(needOf("400\n", stat, "inactive_file"), 0)
    assert.isUndefined(needOf("max\n", stat, "inactive_file"))
  })
})

describe("the memory of this process", () => {
  it.live("is a share of what it may have", () =>
    Effect.gen(function* () {
      const share = yield* memory.share
      assert.isAbove(share, 0)
      assert.isBelow(share, 1)
    })
  )

  it.live("is given back when it is no longer needed", () =>
    Effect.gen(function* () {
      const { heapUsed } = process.memoryUsage()
      let garbage: Array<unknown> | undefined = Array.from({ length: 500_000 }, (_, index) => ({ index }))
      assert.isAbove(process.memoryUsage().heapUsed, heapUsed + garbage.length * 8)
      garbage = undefined
      yield* memory.collect
      assert.isBelow(process.memoryUsage().heapUsed, heapUsed + 4_000_000)
    })
  )
})
