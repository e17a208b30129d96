/** What `secretRef` and `configMapRef` find: files under `--refs DIR`, `secrets|configmaps/NAMESPACE/NAME/KEY`. */
import {join} from 'node:path';
import type {Ref, UpstreamProxyDocument} from '../policy/index.ts';
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

/** Fills in the refs of every UpstreamProxy; one whose ref is missing is left out, and said. */
export function resolveParents(
  proxies: readonly UpstreamProxyDocument[],
  dir: string | null,
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
            : {username: trimLineEnd(read(dir, auth, 'username')), password: trimLineEnd(read(dir, auth, 'password'))},
        caBundle: caBundle === null ? null : read(dir, caBundle, caBundle.key ?? 'ca.crt'),
      });
    } catch (error) {
      missing.push({proxy: proxy.name, message: (error as Error).message});
    }
  }
  return {parents, missing};
}
