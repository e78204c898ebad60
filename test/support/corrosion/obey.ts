import type { Command } from "./Command.ts"
import type { LineStream } from "./LineStream.ts"
import type { Running } from "./Running.ts"
import type { Subscription } from "./Subscription.ts"

const chosen = ({ hub }: Running, id: string | undefined): ReadonlyArray<Subscription> =>
  hub.list().filter((each) => id === undefined || each.id === id)

const streams = (agent: Running, id: string | undefined): ReadonlyArray<LineStream> =>
  id === undefined ? agent.hub.streams() : chosen(agent, id).flatMap(({ listeners }) => [...listeners])

/** Does what a test says. */
export const obey = async (agent: Running, command: Command): Promise<void> => {
  switch (command.do) {
    case "behave":
      return agent.faults.clear()
    case "end":
      for (const stream of streams(agent, command.sub)) stream.end(command.how, command.message)
      return
    case "gap":
      for (const stream of streams(agent, command.sub)) stream.withheld += command.count ?? 1
      return
    case "repeat":
    case "regress":
      for (const each of chosen(agent, command.sub)) each.retell(command.do === "repeat" ? 0 : 1)
      return
    case "rename":
      for (const each of chosen(agent, command.sub)) each.rename()
      return
    case "drop":
      for (const stream of streams(agent, command.sub)) stream.end("eof")
      for (const each of chosen(agent, command.sub)) agent.hub.forget(each)
      return
    case "prune":
      for (const each of chosen(agent, command.sub)) each.prune(command.keep ?? 500)
      return
    case "stop":
    case "restart":
      if (command.crash === true) agent.hub.forgetAll()
      await agent.stop()
      return command.do === "restart" ? agent.start() : undefined
    case "start":
      return agent.start()
    case "tick":
      return agent.hub.flush()
    case "tick-every":
      agent.tickMs = command.ms
      return
    case "pieces":
      agent.sending.pieces = command.bytes
      return
    case "hold":
      agent.sending.held = true
      return
    case "release":
      agent.sending.held = false
      for (const stream of agent.hub.streams()) stream.release()
      return
    case "health":
      agent.healthKnown = command.known
      return
    case "link":
      return agent.links.link(command.peer)
    case "cut":
      return agent.links.cut(command.peer)
    case "heal":
      return agent.links.heal(command.peer)
    case "delay":
      agent.links.delayMs = command.ms
      return
    default:
      agent.faults.add(command)
  }
}
