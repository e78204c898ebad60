import { assert, describe, it } from "@effect/vitest"
import * as Clients from "../../layers/http/Clients.ts"
import * as Doorkeeper from "../../layers/http/Doorkeeper.ts"
import { defaultLimits, type ServerLimits } from "../../layers/http/limits.ts"

const small: ServerLimits = {
  ...defaultLimits,
  connections: 8,
  connectionsPerClient: 3,
  connectionsForLoopback: 2,
  requests: 4,
  requestsPerClient: 2,
  clientBurst: 10,
  clientPerSecond: 5,
  totalBurst: 15,
  totalPerSecond: 5,
  probeBurst: 2,
  probePerSecond: 1
}

const room = (limits: Partial<ServerLimits> = {}) => {
  const evicted: Array<Doorkeeper.Guest> = []
  const doorkeeper = Doorkeeper.make({ ...small, ...limits })
  return {
    doorkeeper,
    evicted,
    enter: (address: string) => doorkeeper.enter(address, 0, (guest) => void evicted.push(guest))
  }
}

const present = (guest: Doorkeeper.Guest | undefined): Doorkeeper.Guest => {
  if (guest === undefined) throw new Error("was not let in")
  return guest
}

describe("places", () => {
  it("a client has its part; of its own that wait, the longest waiting makes room", () => {
    const { doorkeeper, enter, evicted } = room()
    const [first, second, third] = [enter("10.0.0.1"), enter("10.0.0.1"), enter("10.0.0.1")].map(present)
    assert.isDefined(enter("10.0.0.1"))
    assert.deepStrictEqual(evicted, [first])
    // All busy: no place.
    for (const guest of [second, third]) assert.isUndefined(doorkeeper.begin(present(guest), true, 0))
    assert.isDefined(enter("10.0.0.1"))
    assert.strictEqual(evicted.length, 2)
    assert.strictEqual(doorkeeper.connections(), 3)
    assert.isDefined(enter("10.0.0.2"))
  })

  it("a client whose connections are all busy gets no further one", () => {
    const { doorkeeper, enter, evicted } = room({ connectionsPerClient: 2 })
    for (const guest of [enter("10.0.0.1"), enter("10.0.0.1")]) doorkeeper.begin(present(guest), false, 0)
    assert.isUndefined(enter("10.0.0.1"))
    assert.deepStrictEqual(evicted, [])
  })

  it("the /64 of an IPv6 address is one client, and so is an IPv4-mapped address", () => {
    const { enter, evicted } = room()
    for (const address of ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"]) enter(address)
    assert.strictEqual(evicted.length, 1)
    for (const address of ["10.0.0.1", "::ffff:10.0.0.1", "::ffff:a00:1", "10.0.0.1"]) enter(address)
    assert.strictEqual(evicted.length, 2)
  })

  it("loopback finds a place when all others are taken by busy ones", () => {
    const { doorkeeper, enter } = room({ requests: 100 })
    for (let client = 1; client <= 6; client++) {
      assert.isUndefined(doorkeeper.begin(present(enter(`10.0.0.${client}`)), false, 0))
    }
    assert.isUndefined(enter("10.0.0.9"))
    assert.isDefined(enter("127.0.0.1"))
    assert.isDefined(enter("::1"))
  })

  it("when all is taken, who has waited longest makes room", () => {
    const { doorkeeper, enter, evicted } = room()
    const guests = Array.from({ length: 6 }, (_, client) => present(enter(`10.0.0.${client}`)))
    const first = present(guests[0])
    doorkeeper.begin(first, false, 0)
    doorkeeper.done(first, 1)
    assert.isDefined(enter("10.0.1.1"))
    assert.deepStrictEqual(evicted, [guests[1]])
    doorkeeper.leave(first)
    doorkeeper.leave(first)
    assert.strictEqual(doorkeeper.connections(), 5)
  })
})

describe("rates", () => {
  it("so many at once, then as they come back; one client's do not cost another's", () => {
    const { doorkeeper, enter } = room({ requestsPerClient: 100, requests: 100, totalBurst: 1_000 })
    const [one, other] = [present(enter("10.0.0.1")), present(enter("10.0.0.2"))]
    for (let request = 0; request < 10; request++) assert.isUndefined(doorkeeper.begin(one, false, 0))
    assert.deepInclude(doorkeeper.begin(one, false, 0), { status: 429, retryAfterSecs: 1 })
    assert.isUndefined(doorkeeper.begin(other, false, 0))
    assert.isUndefined(doorkeeper.begin(one, false, 200))
    assert.deepInclude(doorkeeper.begin(one, false, 200), { status: 429 })
  })

  it("questions for health go on in a flood, and have a rate too", () => {
    const { doorkeeper, enter } = room({ requestsPerClient: 100, requests: 100 })
    const guest = present(enter("127.0.0.1"))
    for (let request = 0; request < 11; request++) doorkeeper.begin(guest, false, 0)
    assert.isUndefined(doorkeeper.begin(guest, true, 0))
    assert.isUndefined(doorkeeper.begin(guest, true, 0))
    assert.deepInclude(doorkeeper.begin(guest, true, 0), { status: 429 })
  })

  it("many clients together do not take it from loopback", () => {
    const { doorkeeper, enter } = room({ requests: 100 })
    let refused = 0
    for (let request = 0; request < 30; request++) {
      const guest = enter(`10.0.${request}.1`)
      if (guest === undefined) continue
      if (doorkeeper.begin(guest, false, 0) !== undefined) refused++
      doorkeeper.leave(guest)
    }
    assert.strictEqual(refused, 15)
    assert.isUndefined(doorkeeper.begin(present(enter("127.0.0.1")), false, 0))
  })

  it("what is being answered at once has a bound, for one and for all", () => {
    const { doorkeeper, enter } = room()
    const [a, b, c] = [enter("10.0.0.1"), enter("10.0.0.2"), enter("10.0.0.3")].map(present)
    for (const guest of [a, a, b, b]) assert.isUndefined(doorkeeper.begin(present(guest), false, 0))
    assert.deepInclude(doorkeeper.begin(present(a), false, 0), { status: 429 })
    assert.deepInclude(doorkeeper.begin(present(c), false, 0), { status: 503 })
    assert.isUndefined(doorkeeper.begin(present(c), true, 0))
    doorkeeper.done(present(c), 0)
    doorkeeper.done(present(b), 0)
    assert.isUndefined(doorkeeper.begin(present(c), false, 0))
    assert.strictEqual(doorkeeper.active(), 4)
  })

  it("who leaves in the middle gives all back, once", () => {
    const { doorkeeper, enter } = room()
    const [gone, other] = [present(enter("10.0.0.1")), present(enter("10.0.0.1"))]
    doorkeeper.begin(gone, false, 0)
    doorkeeper.begin(gone, false, 0)
    doorkeeper.leave(gone)
    doorkeeper.done(gone, 0)
    doorkeeper.done(gone, 0)
    assert.strictEqual(doorkeeper.active(), 0)
    for (const guest of [other, other]) assert.isUndefined(doorkeeper.begin(guest, false, 0))
    assert.deepInclude(doorkeeper.begin(other, false, 0), { status: 429 })
  })

  it("one that was refused keeps its place until it leaves", () => {
    const { doorkeeper, enter, evicted } = room({ connectionsPerClient: 1, clientBurst: 1 })
    const guest = present(enter("10.0.0.1"))
    doorkeeper.begin(guest, false, 0)
    assert.isDefined(doorkeeper.begin(guest, false, 0))
    doorkeeper.done(guest, 0)
    assert.isUndefined(enter("10.0.0.1"))
    assert.deepStrictEqual(evicted, [])
    doorkeeper.leave(guest)
    assert.isDefined(enter("10.0.0.1"))
  })

  it("an answer that makes no progress is overdue", () => {
    const { doorkeeper, enter } = room()
    const guest = present(enter("10.0.0.1"))
    doorkeeper.begin(guest, false, 1_000)
    assert.deepStrictEqual(doorkeeper.overdue(1_000 + small.answerMs), [])
    assert.deepStrictEqual(doorkeeper.overdue(1_001 + small.answerMs), [guest])
    doorkeeper.done(guest, 50_000)
    assert.deepStrictEqual(doorkeeper.overdue(1_000_000), [])
  })
})

describe("the memory for clients", () => {
  it("is bounded, and who is connected is not forgotten", () => {
    const clients = Clients.make({ ...small, clientPerSecond: 1 }, 100)
    const connected = clients.of("10.255.0.1")
    connected.connections = 1
    const flooder = clients.of("10.255.0.2")
    for (let client = 0; client < 1_000; client++) {
      clients.of(`10.1.${client >>> 8}.${client & 255}`)
      // One that is seen again and again stays.
      assert.strictEqual(clients.of("10.255.0.2"), flooder)
    }
    assert.isAtMost(clients.size(), 100)
    assert.strictEqual(clients.of("10.255.0.1"), connected)
  })
})
