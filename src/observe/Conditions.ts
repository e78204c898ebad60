import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

/**
 * What limits this POP without keeping clients away (D3: `degraded`): each part says for itself, by a name that is fit for
 * everyone's eyes, whether it is so at the moment.
 */
export class Conditions extends Context.Service<
  Conditions,
  {
    /** For as long as the scope lives. `holds` is asked with every look, and must be cheap. */
    readonly watch: (name: string, holds: () => boolean) => Effect.Effect<void, never, Scope.Scope>
    /** Those that hold now, each once. */
    readonly present: () => ReadonlyArray<string>
  }
>()("edgeproxy/observe/Conditions") {
  static readonly layer: Layer.Layer<Conditions> = Layer.sync(Conditions, () => {
    const watched = new Set<{ readonly name: string; readonly holds: () => boolean }>()
    return {
      watch: (name, holds) => {
        const entry = { name, holds }
        return Effect.asVoid(
          Effect.acquireRelease(
            Effect.sync(() => void watched.add(entry)),
            () => Effect.sync(() => void watched.delete(entry))
          )
        )
      },
      present: () => Array.from(new Set(Array.from(watched).flatMap(({ holds, name }) => (holds() ? [name] : []))))
    }
  })
}
