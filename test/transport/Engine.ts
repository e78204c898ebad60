import * as Context from "effect/Context"
import type * as Layer from "effect/Layer"
import type { BackendTls } from "../../src/tls/BackendTls.ts"
import type { ServerTls } from "../../src/tls/ServerTls.ts"
import type { Transport } from "../../src/traffic/Transport.ts"

/** What an engine may lack by its nature; the README says so. */
export type Ability =
  | "hears a reset behind unread bytes"
  /** While nothing is sent to who has finished and then resets. */
  | "hears a reset after a FIN"
  /** Paused or out of descriptors; an engine that can't resets them and counts. */
  | "leaves clients in the backlog"
  | "keeps connections out of threads' heaps"
  /** An engine that can't stands beside one that can. */
  | "opens connections ahead"
  /** What its kernel still passes on to a slow receiver is no stall, though the engine itself can write nothing. */
  | "sees a slow receiver take bytes"
  /** What it is told happens before whatever the kernel tells it next. */
  | "obeys at once"
  | "says that it can't accept"
  /** TCP_USER_TIMEOUT */
  | "sets a user timeout"

/** What the engine's two sides speak. */
export interface TestTls {
  readonly client?: { readonly server: ServerTls; readonly ca: string }
  readonly backend?: BackendTls
}

/** An engine as the cases get it. */
export interface Engine {
  readonly name: string
  readonly layer: Layer.Layer<Transport>
  readonly abilities: ReadonlyArray<Ability>
  /** Its clients are taken in by TLS. */
  readonly tls?: TestTls
  /** One of its own, with so many threads and places for connections; none where an engine has neither. */
  readonly other?: (options: { readonly threads: number; readonly maxConnections: number }) => Layer.Layer<Transport>
  /** Kills the thread of that index as a fault would; none where the engine has no threads of its own. */
  readonly killThread?: (transport: Transport["Service"], index: number) => void
}

/** For cases that ask more of an engine than its port. */
export class EngineUnderTest extends Context.Service<EngineUnderTest, Engine>()("test/transport/EngineUnderTest") {}
