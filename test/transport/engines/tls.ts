import * as Layer from "effect/Layer"
import type * as tls from "node:tls"
import { authority, certificate, serverTls } from "../../support/certificates.ts"
import { Wire } from "../../support/tcp.ts"
import type { Engine, TestTls } from "../Engine.ts"
import { engine as threads } from "./nodeThreads.ts"

const ca = authority()
const pair = certificate(ca, ["localhost", "127.0.0.1", "::1"])
const client: TestTls["client"] = { server: serverTls(pair), ca: ca.chain }
const backend: TestTls["backend"] = { verify: true, ca: ca.chain, certificate: undefined, serverName: undefined }
const wire: tls.TlsOptions = { cert: pair.chain, key: pair.key }

const speaking = (name: string, layer: Engine["layer"], speaks: TestTls): Engine => ({
  name,
  layer: speaks.backend === undefined ? layer : Layer.merge(layer, Layer.succeed(Wire, { backend: wire })),
  abilities: [],
  tls: speaks
})

/** The engine that does it, with TLS on both sides. */
export const engine: Engine = speaking("node in threads, TLS to both", threads.layer, { client, backend })
