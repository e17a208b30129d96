/** The installation's CA: a Secret in our own namespace is the truth, a directory its copy, in which pki/ works. */
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {CoreV1Api, type KubeConfig} from '@kubernetes/client-node';
import {openCa, type Ca} from '../../pki/index.ts';
import {SallyportError} from '../../runtime/errors.ts';

/** What of the directory is kept: the intermediate below is made again by whoever needs one. */
const FILES = ['root.crt', 'root.key'] as const;
const KEY_MODE = 0o600;

export interface AuthorityOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  readonly secret: string;
  /** An empty directory that only we can read. */
  readonly dir: string;
}

/**
 * Opens the CA of the Secret, or makes one and keeps it there. Of two that make one at once the first wins. Throws
 * SallyportError `CaSecretIncomplete` for a Secret that holds less than a CA.
 */
export async function openAuthority({config, namespace, secret: name, dir}: AuthorityOptions): Promise<Ca> {
  const api = config.makeApiClient(CoreV1Api);
  const kept = async (): Promise<Ca | null> => {
    let data: Record<string, string>;
    try {
      data = (await api.readNamespacedSecret({namespace, name})).data ?? {};
    } catch (error) {
      if ((error as {code?: unknown}).code === 404) return null;
      throw error;
    }
    const missing = FILES.filter((file) => data[file] === undefined);
    if (missing.length > 0)
      throw new SallyportError(
        'CaSecretIncomplete',
        `the Secret ${namespace}/${name} has no ${missing.join(' and no ')}`,
        'Bring both, PEM; or delete the Secret to have a CA made, which every pod has to trust anew.',
      );
    for (const file of FILES) writeFileSync(join(dir, file), Buffer.from(data[file]!, 'base64'), {mode: KEY_MODE});
    return openCa({dir});
  };
  const found = await kept();
  if (found !== null) return found;
  const made = openCa({dir});
  const data = Object.fromEntries(FILES.map((file) => [file, readFileSync(join(dir, file)).toString('base64')]));
  try {
    await api.createNamespacedSecret({namespace, body: {metadata: {name}, type: 'Opaque', data}});
    return made;
  } catch (error) {
    if ((error as {code?: unknown}).code !== 409) throw error;
    return (await kept())!;
  }
}
