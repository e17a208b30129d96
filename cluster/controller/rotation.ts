/**
 * When a root is made, published, signs and is forgotten: a pure function of what the Secret says and the time, so that a
 * controller that was restarted, or another one, goes on where the last one stopped.
 */
import {X509Certificate} from 'node:crypto';

/** PEM: the certificate that signs first, the root last. */
export interface RootPair {
  readonly chainPem: string;
  readonly keyPem: string;
}

export interface Roots {
  /**
   * `brought`: the operator's. We make no successor of it; one that he brings is published and takes over as ours would.
   * `managed`: another controller's (cert-manager); its Secret is never written.
   */
  readonly origin: 'made' | 'brought' | 'managed';
  readonly signing: RootPair;
  /** The successor; `publishedAtMs` null: not every bundle has it yet. */
  readonly next: {readonly pair: RootPair; readonly publishedAtMs: number | null} | null;
  /** They sign no more; what they signed is still about until then. */
  readonly retired: readonly {readonly rootPem: string; readonly untilMs: number}[];
  /** What the Secret's annotation says; a value that was not answered yet asks for a rotation. */
  readonly asked: string | null;
  readonly answered: string | null;
  /** The longest life of what the signing root has signed: flags may have changed since. */
  readonly longestLifeMs: number;
}

export interface RotationTiming {
  /** Of a root that we make. */
  readonly rootLifeMs: number;
  /** A successor is made when less than this is left. */
  readonly renewBeforeMs: number;
  /** How long a successor is in every bundle before it signs. */
  readonly publishMs: number;
  /** Of what the root signs. */
  readonly childLifeMs: number;
}

export type Phase = 'steady' | 'made' | 'published' | 'retiring';

/**
 * What the last of an ended root's children is given beyond its end: clocks differ, and a leader that has just lost its
 * lease may have signed once more.
 */
export const RETIRE_MARGIN_MS = 3_600_000;

/** The roots as they are to be at `nowMs`; the same object where nothing changes. Idempotent. */
export function advance(roots: Roots, nowMs: number, timing: RotationTiming, make: () => RootPair): Roots {
  let now = roots;
  // 1. Nothing that it signed is valid any more.
  if (now.retired.some(({untilMs}) => untilMs <= nowMs))
    now = {...now, retired: now.retired.filter(({untilMs}) => untilMs > nowMs)};
  // 2. It signs for longer than it ever did. (Not noted in what others keep: they would see their Secret change.)
  if (now.origin === 'made' && timing.childLifeMs > now.longestLifeMs)
    now = {...now, longestLifeMs: timing.childLifeMs};
  // 3. A successor is due, or asked for. Two rotations at once there are not: an ask waits until this one signs.
  const asked = now.asked !== null && now.asked !== now.answered;
  if (now.next === null && now.origin === 'made' && (asked || endOf(now.signing) - nowMs <= timing.renewBeforeMs))
    now = {...now, next: {pair: make(), publishedAtMs: null}, answered: now.asked};
  // 4. It takes over when it was known for long enough; or at once where the other has ended, since nothing could be worse.
  if (now.next !== null && takesOverAtMs(now, timing) <= nowMs) {
    const untilMs = nowMs + Math.max(now.longestLifeMs, timing.childLifeMs) + RETIRE_MARGIN_MS;
    now = {
      ...now,
      signing: now.next.pair,
      next: null,
      retired: [...now.retired, {rootPem: rootOf(now.signing), untilMs}],
      longestLifeMs: timing.childLifeMs,
    };
  }
  return now;
}

/** Every bundle holds the successor `rootPem` since `nowMs`. The same object where it is no successor, or was told before. */
export function published(roots: Roots, rootPem: string, nowMs: number): Roots {
  const {next} = roots;
  if (next === null || next.publishedAtMs !== null || rootOf(next.pair) !== rootPem) return roots;
  return {...roots, next: {...next, publishedAtMs: nowMs}};
}

/** Somebody else's root was replaced by him: what the one before signed is still about. */
export function succeeded(before: Roots, roots: Roots, nowMs: number, timing: RotationTiming): Roots {
  const old = rootOf(before.signing);
  const untilMs = nowMs + timing.childLifeMs + RETIRE_MARGIN_MS;
  const retired = old === rootOf(roots.signing) ? before.retired : [...before.retired, {rootPem: old, untilMs}];
  return {...roots, retired};
}

/** The earliest time at which `advance` may change something; Infinity: never by itself. */
export function nextChangeMs(roots: Roots, timing: RotationTiming): number {
  const times = roots.retired.map(({untilMs}) => untilMs);
  if (roots.next !== null) times.push(takesOverAtMs(roots, timing));
  else if (roots.origin === 'made') times.push(endOf(roots.signing) - timing.renewBeforeMs);
  return Math.min(...times);
}

export function phaseOf({next, retired}: Roots): Phase {
  if (next !== null) return next.publishedAtMs === null ? 'made' : 'published';
  return retired.length > 0 ? 'retiring' : 'steady';
}

/** What has to be believed now, PEM: the signing one first. */
export function trustedRoots({signing, next, retired}: Roots): string[] {
  const roots = [rootOf(signing), ...(next === null ? [] : [rootOf(next.pair)]), ...retired.map((one) => one.rootPem)];
  return [...new Set(roots)];
}

/** When the root, or one of those between, ends. */
export function endOf({chainPem}: RootPair): number {
  return Math.min(...certificatesOf(chainPem).map((pem) => Date.parse(new X509Certificate(pem).validTo)));
}

export function rootOf({chainPem}: RootPair): string {
  return certificatesOf(chainPem).at(-1)!;
}

function takesOverAtMs({signing, next}: Roots, {publishMs}: RotationTiming): number {
  const {publishedAtMs} = next!;
  return Math.min(publishedAtMs === null ? Infinity : publishedAtMs + publishMs, endOf(signing));
}

function certificatesOf(pem: string): string[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []).map((block) => `${block}\n`);
}
