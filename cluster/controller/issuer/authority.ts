/** The CA of workloads: a Secret of its own, with roots that name workloads of the trust domain and nothing else. */
import {CoreV1Api, type KubeConfig} from '@kubernetes/client-node';
import {publicKeyOf, type Pair} from '../../../pki/index.ts';
import {SallyportError} from '../../../runtime/errors.ts';
import {openAuthority, type Authority} from '../authority.ts';
import {pairOf, readRoots} from '../root-secret.ts';
import {rootOf, trustedRoots, type Roots} from '../rotation.ts';

export interface WorkloadAuthorityOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  readonly secret: string;
  /** The Secret of the CA that pods trust for sites: this one must be another. */
  readonly siteSecret: string;
  readonly trustDomain: string;
  readonly rootLifeMs: number;
  /** Of the identities. */
  readonly lifeMs: number;
  readonly onChanged: (roots: Roots) => void;
  readonly onRotation: (message: string) => void;
  readonly onTrouble: (error: unknown) => void;
}

/** A root is replaced when this part of its life is left. */
const RENEW_PART = 1 / 4;
/** How many lives of identities a successor is handed out for before it signs: after one everybody has it who has anything. */
const PUBLISH_LIVES = 2;
const NOT_FOUND = 404;

/** Throws SallyportError `Usage` where roots would end before their successors could be known. */
export function checkLives(rootLifeMs: number, lifeMs: number, origin: string): void {
  if (PUBLISH_LIVES * lifeMs < rootLifeMs * RENEW_PART) return;
  throw new SallyportError(
    'Usage',
    `${origin} is too short for identities that live so long`,
    `Give roots more than ${PUBLISH_LIVES / RENEW_PART} times the life of identities.`,
  );
}

/**
 * Every replica keeps it, leader or not: each step is a pure function of the Secret and the time, written with the Secret's
 * version, so that of two that take one at once the first wins. A successor is known to everybody through the identities
 * themselves, which carry the roots: there is no bundle to wait for, only their lives.
 */
export async function openWorkloadAuthority(options: WorkloadAuthorityOptions): Promise<Authority> {
  const {config, namespace, secret, trustDomain, rootLifeMs, lifeMs, onRotation, onTrouble} = options;
  let authority: Authority | null = null;
  const publish = ({next}: Roots): void => {
    if (next !== null && next.publishedAtMs === null) authority?.published(rootOf(next.pair));
  };
  authority = await openAuthority({
    ...{config, namespace, secret, purpose: 'workloads root', urisOf: trustDomain, onRotation, onTrouble},
    timing: {
      ...{rootLifeMs, renewBeforeMs: rootLifeMs * RENEW_PART},
      ...{publishMs: PUBLISH_LIVES * lifeMs, childLifeMs: lifeMs},
    },
    onChanged: (roots) => {
      options.onChanged(roots);
      publish(roots);
    },
  });
  try {
    await refuseShared(authority.signing(), options);
  } catch (error) {
    authority.stop();
    throw error;
  }
  publish(authority.roots);
  return authority;
}

/**
 * Whose key pods trust for every site must not sign identities, nor the other way round: a leaf that was stolen from one would
 * count for the other. Throws SallyportError `CaShared`.
 */
async function refuseShared(
  pair: Pair,
  {config, namespace, secret, siteSecret}: WorkloadAuthorityOptions,
): Promise<void> {
  const api = config.makeApiClient(CoreV1Api);
  let roots: Roots;
  try {
    roots = readRoots(await api.readNamespacedSecret({namespace, name: siteSecret}), `${namespace}/${siteSecret}`);
  } catch (error) {
    if ((error as {code?: unknown}).code === NOT_FOUND) return;
    throw error;
  }
  const site = pairOf(roots.signing, `the Secret ${siteSecret}`);
  const sites = trustedRoots(roots);
  const shared = publicKeyOf(site.key.key).equals(publicKeyOf(pair.key.key)) || sites.includes(pair.chain.at(-1)!.pem);
  if (shared)
    throw new SallyportError(
      'CaShared',
      `the Secrets ${secret} and ${siteSecret} hold one CA: what pods trust for sites would be believed as workloads too`,
      `Bring another CA in ${secret}, or delete it to have one made.`,
    );
}
