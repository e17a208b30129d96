/** The issuer's own certificate: a Secret that the leader, cert-manager or an operator writes, as it is now. */
import {CoreV1Api, type KubeConfig} from '@kubernetes/client-node';
import {pause} from '../../../runtime/pause.ts';

export interface Served {
  readonly cert: string;
  readonly key: string;
  /** By what who asks knows us: `ca.crt`. */
  readonly ca: string;
}

export interface ServedSecretOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  readonly secret: string;
  readonly onChanged: (served: Served) => void;
  /** It is not there, or cannot be read; told when it is another reason too. */
  readonly onTrouble: (message: string) => void;
}

/** Read through the API and not from a mount: it is made by the one of us that leads, after we have started. */
const LOOK_MS = 5_000;
/** Until it is there for the first time. */
const FIRST_LOOK_MS = 500;

/** Starts at once. One Secret by name needs `get` and no `list`, so it is looked at again and again. */
export function watchServedSecret(options: ServedSecretOptions): {stop(): void} {
  const {config, namespace, secret: name, onChanged, onTrouble} = options;
  const api = config.makeApiClient(CoreV1Api);
  const stopped = new AbortController();
  let seen = '';
  let said = '';
  const look = async (): Promise<void> => {
    let trouble = '';
    try {
      const {data = {}} = await api.readNamespacedSecret({namespace, name});
      const text = (key: string): string => Buffer.from(data[key] ?? '', 'base64').toString('utf8');
      const served = {cert: text('tls.crt'), key: text('tls.key'), ca: text('ca.crt')};
      const missing = Object.entries({'tls.crt': served.cert, 'tls.key': served.key, 'ca.crt': served.ca})
        .filter(([, value]) => value === '')
        .map(([key]) => key);
      if (missing.length > 0) trouble = `the Secret ${namespace}/${name} has no ${missing.join(' and no ')}`;
      else if (JSON.stringify(served) !== seen) {
        onChanged(served);
        seen = JSON.stringify(served);
      }
    } catch (error) {
      const {code, message} = error as {code?: unknown; message: string};
      trouble = `the Secret ${namespace}/${name}: ${code === 404 ? 'it is not there yet' : message.split('\n')[0]!}`;
    }
    if (trouble !== '' && trouble !== said && !stopped.signal.aborted) onTrouble(trouble);
    said = trouble;
  };
  void (async () => {
    while (!stopped.signal.aborted) {
      await look();
      await pause(seen === '' ? FIRST_LOOK_MS : LOOK_MS, stopped.signal);
    }
  })();
  return {stop: () => stopped.abort()};
}
