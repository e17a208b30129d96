/** Roots as a Secret holds them, there and back. */
import type {V1Secret} from '@kubernetes/client-node';
import {checkCaChain, checkKeyFits, parseCaCertificates, parseCaKey, type Pair} from '../../pki/index.ts';
import {SallyportError} from '../../runtime/errors.ts';
import {phaseOf, type RootPair, type Roots} from './rotation.ts';

/** A value that was not there before asks for a rotation. */
export const ROTATE_ANNOTATION = 'sallyport.dev/rotate';
/** Written by us, for who looks. */
export const PHASE_ANNOTATION = 'sallyport.dev/ca-phase';
/** What we made. A Secret without it is somebody else's. */
export const OURS = {'app.kubernetes.io/managed-by': 'sallyport'} as const;

const KEYS = {
  signing: ['root.crt', 'root.key'],
  /** As cert-manager names them; `ca.crt` is the root above. */
  tls: ['tls.crt', 'tls.key'],
  next: ['next.crt', 'next.key'],
  rotation: 'rotation.json',
} as const;

interface Rotation {
  readonly publishedAt?: string | undefined;
  readonly retired?: readonly {readonly certificate: string; readonly until: string}[];
  readonly answered?: string | undefined;
  readonly longestLifeSeconds?: number;
}

export const isOurs = (object: {metadata?: {labels?: Record<string, string>}}): boolean =>
  Object.entries(OURS).every(([key, value]) => object.metadata?.labels?.[key] === value);

/** Throws SallyportError `CaSecretIncomplete` or `CaSecretUnreadable`, or what is wrong with the CA, each naming the Secret. */
export function readRoots(secret: V1Secret, name: string): Roots {
  const data = Object.fromEntries(
    Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
  );
  const pair = ([crt, key]: readonly [string, string]): RootPair | null => {
    if (data[crt] === undefined && data[key] === undefined) return null;
    const missing = [crt, key].filter((one) => data[one] === undefined);
    if (missing.length > 0) throw incomplete(name, missing);
    const above = crt === KEYS.tls[0] ? (data['ca.crt'] ?? '') : '';
    const read = {chainPem: withRoot(data[crt]!, above), keyPem: data[key]!};
    pairOf(read, `the Secret ${name} (${crt}, ${key})`);
    return read;
  };
  const own = pair(KEYS.signing);
  const signing = own ?? pair(KEYS.tls);
  if (signing === null) throw incomplete(name, KEYS.signing);
  const rotation = readRotation(data[KEYS.rotation], name);
  const next = pair(KEYS.next);
  return {
    origin: own === null ? 'managed' : isOurs(secret) ? 'made' : 'brought',
    signing,
    next:
      next === null
        ? null
        : {pair: next, publishedAtMs: rotation.publishedAt === undefined ? null : timeOf(rotation.publishedAt, name)},
    retired: (rotation.retired ?? []).map(({certificate, until}) => ({
      rootPem: certificate,
      untilMs: timeOf(until, name),
    })),
    asked: secret.metadata?.annotations?.[ROTATE_ANNOTATION] ?? null,
    answered: rotation.answered ?? null,
    longestLifeMs: (rotation.longestLifeSeconds ?? 0) * 1_000,
  };
}

/** `before` is what was read; what else is in it stays. */
export function writeRoots(before: V1Secret, roots: Roots): V1Secret {
  const rotation: Rotation = {
    ...(typeof roots.next?.publishedAtMs === 'number' ? {publishedAt: textOf(roots.next.publishedAtMs)} : {}),
    retired: roots.retired.map(({rootPem, untilMs}) => ({certificate: rootPem, until: textOf(untilMs)})),
    ...(roots.answered === null ? {} : {answered: roots.answered}),
    longestLifeSeconds: Math.ceil(roots.longestLifeMs / 1_000),
  };
  const texts: Record<string, string> = {
    [KEYS.signing[0]]: roots.signing.chainPem,
    [KEYS.signing[1]]: roots.signing.keyPem,
    ...(roots.next === null ? {} : {[KEYS.next[0]]: roots.next.pair.chainPem, [KEYS.next[1]]: roots.next.pair.keyPem}),
    [KEYS.rotation]: JSON.stringify(rotation, null, 2),
  };
  const others = Object.entries(before.data ?? {}).filter(([key]) => !(KEYS.next as readonly string[]).includes(key));
  const ours = Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')] as const);
  return {
    ...before,
    metadata: {
      ...before.metadata,
      annotations: {...before.metadata?.annotations, [PHASE_ANNOTATION]: phaseOf(roots)},
    },
    data: Object.fromEntries([...others, ...ours]),
  };
}

/** As it signs. Throws SallyportError (Ca...) for what is no CA, or whose key is another's; `from` names it. */
export function pairOf({chainPem, keyPem}: RootPair, from: string): Pair {
  const chain = parseCaCertificates(chainPem, from);
  const key = parseCaKey(keyPem, from);
  checkKeyFits(chain[0]!, key, from);
  // Its dates are looked at when it signs: one that has ended must not keep its successor from taking over.
  checkCaChain(chain, 1, Math.max(...chain.map(({notBeforeMs}) => notBeforeMs)));
  return {chain, key};
}

/** cert-manager leaves the root out of tls.crt. */
function withRoot(chainPem: string, rootPem: string): string {
  return chainPem.includes(rootPem.trim()) ? chainPem : `${chainPem.trimEnd()}\n${rootPem}`;
}

function readRotation(text: string | undefined, name: string): Rotation {
  if (text === undefined) return {};
  try {
    return JSON.parse(text) as Rotation;
  } catch (cause) {
    throw unreadable(name, (cause as Error).message);
  }
}

function timeOf(text: string, name: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw unreadable(name, `${JSON.stringify(text)} is no time`);
  return ms;
}

const textOf = (ms: number): string => new Date(ms).toISOString();

function incomplete(name: string, missing: readonly string[]): SallyportError {
  return new SallyportError(
    'CaSecretIncomplete',
    `the Secret ${name} has no ${missing.join(' and no ')}`,
    'Bring both, PEM; or delete the Secret to have a CA made, which every pod has to trust anew.',
  );
}

function unreadable(name: string, why: string): SallyportError {
  return new SallyportError(
    'CaSecretUnreadable',
    `the Secret ${name}, ${KEYS.rotation}: ${why}`,
    `Restore it; or remove the key ${KEYS.rotation}, when no rotation is under way.`,
  );
}
