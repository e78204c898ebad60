import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"

/** A file or folder could not be used. The message never has what is in it. */
export class MeshFileError extends Data.TaggedError("MeshFileError")<{
  readonly path: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.path}: ${this.detail}`
  }
}

/** A folder that only its owner may enter, with files that only the owner may read. */
export interface SecretFolder {
  /** Undefined when there is no such file. Fails when others may read or write it. */
  readonly read: (name: string) => Effect.Effect<Redacted.Redacted<string> | undefined, MeshFileError>
  /** Makes the file, and its folder. Fails when there is one already. */
  readonly create: (name: string, text: Redacted.Redacted<string>) => Effect.Effect<void, MeshFileError>
  /** Puts another in its place at once. */
  readonly replace: (name: string, text: Redacted.Redacted<string>) => Effect.Effect<void, MeshFileError>
  /** The folders in it. */
  readonly folders: Effect.Effect<ReadonlyArray<string>, MeshFileError>
}

/** Files around a mesh. */
export class MeshFiles extends Context.Service<
  MeshFiles,
  {
    /** A decoded TOML file. */
    readonly topology: (path: string) => Effect.Effect<unknown, MeshFileError>
    /** A private key that a topology file names, relative to it. */
    readonly keyFile: (topology: string, path: string) => Effect.Effect<Redacted.Redacted<string>, MeshFileError>
    /** Made with its first file. Fails when it is there and others may enter it. */
    readonly secretFolder: (path: string) => Effect.Effect<SecretFolder, MeshFileError>
    /** A drawing, for everybody. Fails when there is another file, unless it may be overwritten. */
    readonly drawing: (path: string, svg: string, overwrite: boolean) => Effect.Effect<void, MeshFileError>
  }
>()("edgeproxy/wireguard/MeshFiles") {}
