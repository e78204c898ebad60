import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { Certificate } from "./Certificate.ts"
import type { ServerTls } from "./ServerTls.ts"

/** What clients are taken in with at the moment. */
export interface CertificateSet {
  /** The same object for as long as nothing changes: engines know it by that. */
  readonly tls: ServerTls
  readonly certificates: ReadonlyArray<Certificate>
  /** The one for a server name, as an index of both; undefined when none has the name: the first one is the default. */
  readonly pairOf: (serverName: string) => number | undefined
}

/** The certificates of the TLS listeners. They may change while the proxy runs. */
export class Certificates extends Context.Service<
  Certificates,
  {
    /** Undefined when no listener ends TLS. */
    readonly current: () => CertificateSet | undefined
  }
>()("edgeproxy/tls/Certificates") {
  static readonly layerOff: Layer.Layer<Certificates> = Layer.succeed(Certificates, { current: () => undefined })
}
