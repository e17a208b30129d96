/** The certificate for a name: whether there is one, minted when first asked for and kept while it is fresh. */
import {createHash} from 'node:crypto';
import {LRUCache} from 'lru-cache';
import type {Leaf, LeafMint} from '../../pki/index.ts';
import {distinctWorkloads, type PolicySet, type Workload} from '../../policy/index.ts';
import {TokenBucket} from '../../runtime/token-bucket.ts';
import {nameOf, outlookOf, type Outlook} from './outlook.ts';
import type {Secret} from './stream.ts';

export interface SecretSources {
  /** What is in force now. */
  readonly policies: () => PolicySet | 'not-loaded';
  /** Everybody whose connections may come through an Envoy that asks here. */
  readonly workloads: () => Iterable<Workload>;
  readonly leaves: LeafMint;
  /** Unix time in ms. */
  readonly now: () => number;
  /** No certificate could be made (the CA has expired): the handshake fails, and somebody has to know. */
  readonly onMintFailed: (name: string, error: unknown) => void;
  /** So many new names a second that some get nothing for the moment; told once a minute. */
  readonly onMintLimited: (perSecond: number) => void;
}

export interface Judged {
  readonly outlook: Outlook;
  readonly secret: Secret | null;
}

/** Names judged and not judged again before something changes; each is a text and a word. */
const MAX_JUDGED = 16_384;
/** A new name costs about 10 µs for each, and clients choose the names. What is beyond is not asked about: a certificate lets nothing out. */
const MAX_KINDS = 500;
/** About 3 kB each; more than there are places (places.ts), so that no name in use is minted twice. */
const MAX_LEAVES = 8192;
/**
 * Envoy forgets a certificate after this long and asks again at the next handshake, so what nobody uses goes by itself,
 * there as here; a name that is used pays one question an hour.
 */
const SECRET_TTL_MS = 3_600_000;

/**
 * New certificates, at once and a second. Each takes half a millisecond of the process that answers Checks too, and whoever
 * connects chooses the names. Those in use are minted again after a restart, so as many as there are places may come at once;
 * names that are refused are the ones that somebody invents.
 */
export const MINTS = {
  inspected: {burst: 4096, perSecond: 200},
  refused: {burst: 256, perSecond: 50},
} as const;
const LIMITED_TOLD_EVERY_MS = 60_000;

const NONE: Judged = {outlook: 'unseen', secret: null};

export class Secrets {
  readonly #sources: SecretSources;
  readonly #judged = new LRUCache<string, Outlook>({max: MAX_JUDGED});
  readonly #leaves = new LRUCache<string, Kept>({max: MAX_LEAVES});
  /** One of each kind. */
  #kinds: readonly Workload[] | null = null;
  #minted = 0;
  #buckets = newBuckets();
  #limitedToldMs = -Infinity;

  constructor(sources: SecretSources) {
    this.#sources = sources;
  }

  get minted(): number {
    return this.#minted;
  }

  /** What an SNI gets. Never throws: what cannot be minted is refused. */
  get(sni: string): Judged {
    const name = nameOf(sni);
    if (name === null) return NONE;
    const outlook = this.#outlook(name);
    if (outlook === 'passed' || outlook === 'unseen') return {outlook, secret: null};
    return {outlook, secret: this.#secret(name, outlook)};
  }

  /** Policies or workloads are not what they were. */
  forgetJudgements(): void {
    this.#judged.clear();
    this.#kinds = null;
  }

  /** The CA is not what it was. */
  forgetLeaves(): void {
    this.#leaves.clear();
    this.#buckets = newBuckets();
  }

  #outlook(name: string): Outlook {
    let outlook = this.#judged.get(name);
    if (outlook === undefined) {
      const policies = this.#sources.policies();
      this.#kinds ??=
        policies === 'not-loaded' ? [] : distinctWorkloads(policies, this.#sources.workloads()).slice(0, MAX_KINDS);
      outlook = outlookOf(policies, name, this.#kinds);
      this.#judged.set(name, outlook);
    }
    return outlook;
  }

  #secret(name: string, outlook: 'inspected' | 'refused'): Secret | null {
    const nowMs = this.#sources.now();
    let kept = this.#leaves.get(name);
    if (kept === undefined || nowMs >= kept.leaf.renewAtMs) kept = this.#mint(name, outlook, nowMs) ?? kept;
    if (kept === undefined) return null;
    const {leaf, version} = kept;
    const ttlMs = Math.min(SECRET_TTL_MS, leaf.notAfterMs - nowMs);
    return ttlMs <= 0 ? null : {version, chainPem: leaf.chainPem, keyPem: leaf.keyPem, ttlMs};
  }

  #mint(name: string, outlook: 'inspected' | 'refused', nowMs: number): Kept | null {
    if (!this.#buckets[outlook].take(nowMs)) {
      if (nowMs - this.#limitedToldMs >= LIMITED_TOLD_EVERY_MS) {
        this.#limitedToldMs = nowMs;
        this.#sources.onMintLimited(MINTS[outlook].perSecond);
      }
      return null;
    }
    let leaf: Leaf;
    try {
      leaf = this.#sources.leaves.mint(name);
    } catch (error) {
      this.#sources.onMintFailed(name, error);
      return null;
    }
    this.#minted++;
    const kept = {leaf, version: createHash('sha256').update(leaf.chainPem).digest('hex').slice(0, 16)};
    this.#leaves.set(name, kept);
    return kept;
  }
}

interface Kept {
  readonly leaf: Leaf;
  readonly version: string;
}

const newBuckets = () => ({
  inspected: new TokenBucket(MINTS.inspected.burst, MINTS.inspected.perSecond),
  refused: new TokenBucket(MINTS.refused.burst, MINTS.refused.perSecond),
});
