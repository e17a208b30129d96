/** What `secretRef` and `configMapRef` find, whoever tells it: files under `--refs DIR`, or a cluster. */
import {join} from 'node:path';
import type {Ref, UpstreamProxyDocument} from '../policy/index.ts';
import {watchPaths} from '../runtime/watch.ts';
import {readRegularFile} from './regular-file.ts';

/** A parent proxy with its secrets filled in, as upstream/ dials it. */
export interface ParentProxy {
  readonly name: string;
  readonly endpoints: readonly {readonly tls: boolean; readonly host: string; readonly port: number}[];
  readonly credentials: {readonly username: string; readonly password: string} | null;
  /** PEM; null: the public roots and --upstream-ca. */
  readonly caBundle: string | null;
}

/** A ref that finds nothing: the parent cannot be used (502 UpstreamUnreachable), never bypassed. */
export interface MissingRef {
  readonly proxy: string;
  readonly message: string;
}

export interface Refs {
  /** The text under a key, as of now. Throws an Error that says what is missing; it holds no secret. */
  read(ref: Ref, key: string): string;
  /** These are named now, and no others: what is not followed need not be readable. */
  follow(refs: readonly Ref[]): void;
  /** Whether each that is followed has been looked for, found or not. */
  readonly settled: boolean;
  /** Tells of each change from now on. Resolves when it watches. */
  watch(changed: () => void): Promise<void>;
  close(): void;
}

/** The folder of `--refs`, `secrets|configmaps/NAMESPACE/NAME/KEY`, watched; null: there is none. */
export class FileRefs implements Refs {
  readonly settled = true;
  readonly #dir: string | null;
  #watch: {close(): void} | null = null;

  constructor(dir: string | null) {
    this.#dir = dir;
  }

  read(ref: Ref, key: string): string {
    return read(this.#dir, ref, key);
  }

  follow(): void {
    // All of the folder is watched.
  }

  async watch(changed: () => void): Promise<void> {
    if (this.#dir === null) return;
    const watch = watchPaths([this.#dir], changed);
    this.#watch = watch;
    await watch.ready;
    // It may have been read before.
    changed();
  }

  close(): void {
    this.#watch?.close();
  }
}

function read(dir: string | null, ref: Ref, key: string): string {
  const folder = ref.kind === 'secret' ? 'secrets' : 'configmaps';
  if (dir === null)
    throw new Error(`${folder}/${ref.namespace}/${ref.name}/${key} is asked for, and there is no --refs DIR`);
  for (const part of [ref.namespace, ref.name, key]) {
    // A name is one path segment; the API server's rules already say so, and files must not differ.
    if (part === '.' || part === '..' || part.includes('/') || part.includes('\0'))
      throw new Error(`${JSON.stringify(part)} is no object name`);
  }
  return readRegularFile(join(dir, folder, ref.namespace, ref.name, key));
}

/** Trailing line ends are what editors and `kubectl create --from-file` leave; no secret ends in one. */
const trimLineEnd = (text: string): string => text.replace(/[\r\n]+$/, '');

/** What an UpstreamProxy names. */
export const refsOf = ({auth, caBundle}: UpstreamProxyDocument): Ref[] =>
  [auth, caBundle].filter((ref): ref is Ref => ref !== null);

/** Fills in the refs of every UpstreamProxy; one whose ref is missing is left out, and said. */
export function resolveParents(
  proxies: readonly UpstreamProxyDocument[],
  refs: Pick<Refs, 'read'>,
): {parents: ParentProxy[]; missing: MissingRef[]} {
  const parents: ParentProxy[] = [];
  const missing: MissingRef[] = [];
  for (const proxy of proxies) {
    try {
      const {auth, caBundle} = proxy;
      parents.push({
        name: proxy.name,
        endpoints: proxy.endpoints,
        credentials:
          auth === null
            ? null
            : {username: trimLineEnd(refs.read(auth, 'username')), password: trimLineEnd(refs.read(auth, 'password'))},
        caBundle: caBundle === null ? null : refs.read(caBundle, caBundle.key ?? 'ca.crt'),
      });
    } catch (error) {
      missing.push({proxy: proxy.name, message: (error as Error).message});
    }
  }
  return {parents, missing};
}
