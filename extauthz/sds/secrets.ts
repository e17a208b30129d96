/** The certificate for a name: whether there is one, minted when first asked for and kept while it is fresh. */
import {createHash} from 'node:crypto';
import {LRUCache} from 'lru-cache';
import type {Leaf, LeafMint} from '../../pki/index.ts';
import {distinctWorkloads, type PolicySet, type Workload} from '../../policy/index.ts';
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

const NONE: Judged = {outlook: 'unseen', secret: null};

export class Secrets {
  readonly #sources: SecretSources;
  readonly #judged = new LRUCache<string, Outlook>({max: MAX_JUDGED});
  readonly #leaves = new LRUCache<string, {readonly leaf: Leaf; readonly version: string}>({max: MAX_LEAVES});
  /** One of each kind. */
  #kinds: readonly Workload[] | null = null;
  #minted = 0;

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
    return {outlook, secret: this.#secret(name)};
  }

  /** Policies or workloads are not what they were. */
  forgetJudgements(): void {
    this.#judged.clear();
    this.#kinds = null;
  }

  /** The CA is not what it was. */
  forgetLeaves(): void {
    this.#leaves.clear();
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

  #secret(name: string): Secret | null {
    const nowMs = this.#sources.now();
    let kept = this.#leaves.get(name);
    if (kept === undefined || nowMs >= kept.leaf.renewAtMs) {
      let leaf: Leaf;
      try {
        leaf = this.#sources.leaves.mint(name);
      } catch (error) {
        this.#sources.onMintFailed(name, error);
        return null;
      }
      this.#minted++;
      kept = {leaf, version: createHash('sha256').update(leaf.chainPem).digest('hex').slice(0, 16)};
      this.#leaves.set(name, kept);
    }
    const {leaf, version} = kept;
    const ttlMs = Math.min(SECRET_TTL_MS, leaf.notAfterMs - nowMs);
    return ttlMs <= 0 ? null : {version, chainPem: leaf.chainPem, keyPem: leaf.keyPem, ttlMs};
  }
}
