/** Certificates of our own services (the webhook's, extauthz'): made and renewed in Secrets that their pods mount. */
import {createPrivateKey, X509Certificate} from 'node:crypto';
import {CoreV1Api, type KubeConfig, type V1Secret} from '@kubernetes/client-node';
import {makeServerCertificate, type Pair} from '../../pki/index.ts';
import {SallyportError} from '../../runtime/errors.ts';
import {isOurs, OURS} from './root-secret.ts';
import {rootOf, trustedRoots, type Roots} from './rotation.ts';

/** A Service of our namespace, and the Secret with its certificate. */
export interface Serving {
  readonly service: string;
  readonly secret: string;
}

export interface ServingOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  readonly clusterDomain: string;
  readonly lifeMs: number;
  /** Unix time in ms. */
  readonly now?: () => number;
}

/** Renewed when less than this part of its life is left: two tries of a month each, by default. */
const RENEW_PART = 1 / 3;
const NOT_FOUND = 404;

/** How the Service is called from within the cluster; the API server says SERVICE.NAMESPACE.svc. */
export function servingNames({service}: Serving, namespace: string, clusterDomain: string): string[] {
  const inNamespace = `${service}.${namespace}`;
  return [service, inNamespace, `${inNamespace}.svc`, `${inNamespace}.svc.${clusterDomain}`];
}

/**
 * Sees to it that the Secret holds a certificate of the signing root for these names, with time left; whether it had to be
 * written. Rejects for a Secret that is not ours (SallyportError `SecretNotOurs`): it is somebody's own certificate.
 */
export async function keepServing(
  serving: Serving,
  roots: Roots,
  root: Pair,
  options: ServingOptions,
): Promise<boolean> {
  const {config, namespace, clusterDomain, lifeMs, now = Date.now} = options;
  const api = config.makeApiClient(CoreV1Api);
  const {secret: name} = serving;
  const before = await readSecret(api, namespace, name);
  if (before !== null && !isOurs(before))
    throw new SallyportError(
      'SecretNotOurs',
      `the Secret ${namespace}/${name} was made by somebody else, and is left as it is`,
      'Set --serving-certificates external where you bring certificates; or delete the Secret.',
    );
  const nowMs = now();
  const names = servingNames(serving, namespace, clusterDomain);
  const ca = trustedRoots(roots).join('');
  const text = (key: string): string => Buffer.from(before?.data?.[key] ?? '', 'base64').toString('utf8');
  const good = isGood(text('tls.crt'), text('tls.key'), {names, rootPem: rootOf(roots.signing), nowMs, lifeMs});
  if (good && text('ca.crt') === ca) return false;
  const {chainPem, keyPem} = good
    ? {chainPem: text('tls.crt'), keyPem: text('tls.key')}
    : makeServerCertificate(root, names, nowMs, lifeMs);
  const texts = {'tls.crt': chainPem, 'tls.key': keyPem, 'ca.crt': ca};
  const data = Object.fromEntries(
    Object.entries(texts).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  );
  if (before !== null) await api.replaceNamespacedSecret({namespace, name, body: {...before, data}});
  else {
    const body: V1Secret = {metadata: {name, labels: {...OURS}}, type: 'kubernetes.io/tls', data};
    await api.createNamespacedSecret({namespace, body});
  }
  return true;
}

/** Whether it can stay: of this root, for these names, with its key, and with more than a third of its life left. */
export function isGood(
  chainPem: string,
  keyPem: string,
  wanted: {
    readonly names: readonly string[];
    readonly rootPem: string;
    readonly nowMs: number;
    readonly lifeMs: number;
  },
): boolean {
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(chainPem);
  } catch {
    return false;
  }
  const {names, rootPem, nowMs, lifeMs} = wanted;
  const leftMs = Date.parse(leaf.validTo) - nowMs;
  // One that lives longer than is wanted now (the flag was lowered) is renewed too.
  if (leftMs <= lifeMs * RENEW_PART || leftMs > lifeMs) return false;
  const sans = (leaf.subjectAltName ?? '').split(', ').map((san) => san.replace(/^DNS:/, ''));
  const last = new X509Certificate((chainPem.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? []).at(-1)!);
  const root = new X509Certificate(rootPem);
  return (
    names.every((name) => sans.includes(name)) &&
    (last.checkIssued(root) ? last.verify(root.publicKey) : last.fingerprint256 === root.fingerprint256) &&
    keyPem !== '' &&
    fits(leaf, keyPem)
  );
}

function fits(leaf: X509Certificate, keyPem: string): boolean {
  try {
    return leaf.checkPrivateKey(createPrivateKey(keyPem));
  } catch {
    return false;
  }
}

async function readSecret(api: CoreV1Api, namespace: string, name: string): Promise<V1Secret | null> {
  try {
    return await api.readNamespacedSecret({namespace, name});
  } catch (error) {
    if ((error as {code?: unknown}).code === NOT_FOUND) return null;
    throw error;
  }
}
