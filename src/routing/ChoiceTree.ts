import { combine, unit } from "../domain/Hash.ts"

/**
 * A set of weighted members, each with a load, that answers "who has the lowest load, and who of these is this client's?"
 * without looking at all of them.
 *
 * Members sit in a trie, two levels of 64 ways by the digits of their own hash, so its shape depends on the members alone and
 * is the same at every POP. Each node knows the lowest load below it and the weight that stands at that load; a change
 * walks one path up. A choice walks down from the root: among the children that hold the lowest load it takes the winner
 * of a weighted rendezvous (highest random weight; Thaler and Ravishankar 1998, weights by exponential race). Hence equal
 * loads are shared by weight, the same client gets the same member as long as the loads allow, and a member that comes
 * or goes moves about its own share of the clients, at most once a level (R7). Cost: some 140 steps at 10,000 members.
 */
export interface ChoiceTree<A> {
  /** Adds a member; its hash must stay the same for its life. Load Infinity or weight 0 keeps it out of any choice. */
  readonly add: (item: A, hash: number, load: number, weight: number) => Member<A>
  readonly remove: (member: Member<A>) => void
  readonly update: (member: Member<A>, load: number, weight: number) => void
  /** The client's member among those with the lowest load, or undefined when none can be chosen. */
  readonly choose: (clientHash: number) => A | undefined
  /** The lowest load in the set; Infinity when none can be chosen. */
  readonly lowest: () => number
  readonly size: () => number
}

/** A member's place in one tree; owned by that tree. */
export interface Member<A> {
  readonly item: A
}

const BITS = 6
const LEVELS = 2
const SLOT_MASK = (1 << BITS) - 1

// Inner nodes and members share one shape, so that the hot loops stay monomorphic.
interface Node<A> extends Member<A | undefined> {
  readonly seed: number
  /** Tells members apart whose hashes are the same. */
  readonly salt: number
  readonly slot: number
  parent: Node<A> | undefined
  lowest: number
  /** The sum of the weights at `lowest`. */
  weight: number
  /** Members share one empty list. */
  readonly children: Array<Node<A>>
}

const childless: Array<never> = []

const makeNode = <A>(
  item: A | undefined,
  seed: number,
  salt: number,
  slot: number,
  children: Array<Node<A>>
): Node<A> => ({
  item,
  seed,
  salt,
  slot,
  parent: undefined,
  lowest: Infinity,
  weight: 0,
  children
})

const attach = <A>(parent: Node<A>, child: Node<A>): void => {
  child.parent = parent
  parent.children.push(child)
}

const detach = <A>(child: Node<A>): void => {
  const siblings = child.parent?.children
  child.parent = undefined
  if (siblings === undefined) return
  const last = siblings.pop()
  if (last !== undefined && last !== child) siblings[siblings.indexOf(child)] = last
}

/** Brings the figures from here to the root up to date; stops where nothing changed. */
const settle = <A>(from: Node<A> | undefined): void => {
  for (let node = from; node !== undefined; node = node.parent) {
    let lowest = Infinity
    let weight = 0
    for (const child of node.children) {
      if (child.lowest < lowest) {
        lowest = child.lowest
        weight = child.weight
      } else if (child.lowest === lowest) {
        weight += child.weight
      }
    }
    if (node.lowest === lowest && node.weight === weight) return
    node.lowest = lowest
    node.weight = weight
  }
}

/** The winner of the weighted race among the children at the node's lowest load. */
const descend = <A>(node: Node<A>, clientHash: number): Node<A> | undefined => {
  let winner: Node<A> | undefined
  let best = Infinity
  let contested = false
  for (const child of node.children) {
    if (child.lowest !== node.lowest) continue
    if (winner === undefined) {
      winner = child
      continue
    }
    if (!contested) {
      contested = true
      best = race(winner, clientHash)
    }
    const time = race(child, clientHash)
    if (time < best || (time === best && child.seed < winner.seed)) {
      best = time
      winner = child
    }
  }
  return winner
}

const race = <A>(node: Node<A>, clientHash: number): number =>
  -Math.log(unit(combine(combine(clientHash, node.seed), node.salt))) / node.weight

/** `saltOf` gives a second hash of a member, independent of the one it is added under. */
export const make = <A>(saltOf: (item: A) => number = () => 0): ChoiceTree<A> => {
  const root = makeNode<A>(undefined, 0, 0, 0, [])
  let size = 0

  const branchOf = (hash: number): Node<A> => {
    let node = root
    for (let level = 0; level < LEVELS; level++) {
      const slot = (hash >>> (32 - BITS * (level + 1))) & SLOT_MASK
      let child = node.children.find((candidate) => candidate.slot === slot)
      if (child === undefined) {
        // The seed names the path, the same at every POP whatever the order of arrival.
        child = makeNode<A>(undefined, combine(node.seed + level + 1, slot), 0, slot, [])
        attach(node, child)
      }
      node = child
    }
    return node
  }

  const set = (member: Node<A>, load: number, weight: number): void => {
    const out = weight <= 0 || load === Infinity
    member.lowest = out ? Infinity : load
    member.weight = out ? 0 : weight
    settle(member.parent)
  }

  return {
    add: (item, hash, load, weight) => {
      const member = makeNode<A>(item, hash, saltOf(item), -1, childless)
      attach(branchOf(hash), member)
      size++
      set(member, load, weight)
      return member as Node<A> & Member<A>
    },
    remove: (member) => {
      // Members are only ever made by `add`, which makes nodes.
      const node = member as Node<A>
      let parent = node.parent
      if (parent === undefined) return
      size--
      detach(node)
      while (parent.children.length === 0 && parent.parent !== undefined) {
        const empty: Node<A> = parent
        parent = empty.parent as Node<A>
        detach(empty)
      }
      settle(parent)
    },
    update: (member, load, weight) => set(member as Node<A>, load, weight),
    choose: (clientHash) => {
      if (root.lowest === Infinity) return undefined
      let node: Node<A> | undefined = root
      while (node !== undefined && node.item === undefined) node = descend(node, clientHash)
      return node?.item
    },
    lowest: () => root.lowest,
    size: () => size
  }
}
