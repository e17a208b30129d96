/** A CA of the installation: a Secret in our own namespace is the truth; here is what it says now, and who sees to its changes. */
import {CoreV1Api, type KubeConfig, type V1Secret} from '@kubernetes/client-node';
import {certificatePem, makeRoot, newKey, type Pair} from '../../pki/index.ts';
import {OURS, pairOf, readRoots, writeRoots} from './root-secret.ts';
import {
  advance,
  nextChangeMs,
  phaseOf,
  published,
  rootOf,
  succeeded,
  type RootPair,
  type Roots,
  type RotationTiming,
} from './rotation.ts';

export interface AuthorityOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  readonly secret: string;
  /** Part of the name of roots that we make. */
  readonly purpose: string;
  /** Roots that we make name URIs of this host and nothing else; absent: whatever they like. */
  readonly urisOf?: string;
  readonly timing: RotationTiming;
  /** Other roots, or another one signs. */
  readonly onChanged: (roots: Roots) => void;
  /** What happened, for the log. */
  readonly onRotation: (message: string) => void;
  readonly onTrouble: (error: unknown) => void;
  /** Unix time in ms. */
  readonly now?: () => number;
}

export interface Authority {
  readonly roots: Roots;
  /** What signs now. */
  signing(): Pair;
  /** Every bundle holds this root from now on. */
  published(rootPem: string): void;
  stop(): void;
}

/** An annotation, a Secret that was put back: nobody waits for them for longer. */
const LOOK_MS = 5_000;
/** With lives of seconds (tests) the next change is sooner. */
const MIN_LOOK_MS = 100;
const NOT_FOUND = 404;
const CONFLICT = 409;
/** Somebody who writes it as often as we read it is not let win for ever; the next look tries again. */
const MAX_TRIES = 5;

/**
 * Opens the CA of the Secret, or makes one and keeps it there; of two that make one at once the first wins. Then sees to its
 * rotation until stopped. Rejects where the Secret cannot be read or holds no CA (SallyportError `CaSecretIncomplete` ...).
 */
export async function openAuthority(options: AuthorityOptions): Promise<Authority> {
  const authority = new SecretAuthority(options);
  await authority.look();
  authority.schedule();
  return authority;
}

class SecretAuthority implements Authority {
  readonly #options: AuthorityOptions;
  readonly #api: CoreV1Api;
  readonly #now: () => number;
  #roots: Roots | null = null;
  /** Of `#roots`, parsed. */
  #pair: {readonly of: RootPair; readonly pair: Pair} | null = null;
  /** What every bundle holds, as far as we were told. */
  #published: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  #stopped = false;

  constructor(options: AuthorityOptions) {
    this.#options = options;
    this.#api = options.config.makeApiClient(CoreV1Api);
    this.#now = options.now ?? Date.now;
  }

  get roots(): Roots {
    return this.#roots!;
  }

  signing(): Pair {
    const {signing} = this.roots;
    if (this.#pair?.of.chainPem !== signing.chainPem || this.#pair.of.keyPem !== signing.keyPem)
      this.#pair = {of: signing, pair: pairOf(signing, `the Secret ${this.#options.secret}`)};
    return this.#pair.pair;
  }

  published(rootPem: string): void {
    if (this.#published === rootPem) return;
    this.#published = rootPem;
    void this.#lookSafely();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  schedule(): void {
    if (this.#stopped) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const dueMs = nextChangeMs(this.roots, this.#options.timing) - this.#now();
    const inMs = Math.min(Math.max(dueMs, MIN_LOOK_MS), LOOK_MS);
    this.#timer = setTimeout(() => void this.#lookSafely(), inMs);
  }

  async #lookSafely(): Promise<void> {
    try {
      // One at a time: what was told meanwhile is looked at after it.
      while (this.#looking !== null) await this.#looking.catch(() => undefined);
      if (this.#stopped) return;
      this.#looking = this.look();
      await this.#looking;
    } catch (error) {
      this.#options.onTrouble(error);
    } finally {
      this.#looking = null;
      this.schedule();
    }
  }

  /** Reads the Secret, takes the steps that are due, and writes it where there were any: all of it, or nothing. */
  async look(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        const before = await this.#read();
        const read = before === null ? null : this.#rootsOf(before);
        const roots = this.#step(read ?? this.#made());
        if (this.#stopped) return;
        if (before === null || (read !== roots && roots.origin !== 'managed')) await this.#write(before, roots);
        return this.#adopt(roots);
      } catch (error) {
        if (codeOf(error) !== CONFLICT || tries >= MAX_TRIES) throw error;
      }
    }
  }

  async #read(): Promise<V1Secret | null> {
    const {namespace, secret: name} = this.#options;
    try {
      return await this.#api.readNamespacedSecret({namespace, name});
    } catch (error) {
      if (codeOf(error) === NOT_FOUND) return null;
      throw error;
    }
  }

  #rootsOf(secret: V1Secret): Roots {
    const {namespace, secret: name, timing} = this.#options;
    const read = readRoots(secret, `${namespace}/${name}`);
    if (read.origin !== 'managed' || this.#roots === null) return read;
    return succeeded(this.#roots, read, this.#now(), timing);
  }

  #step(roots: Roots): Roots {
    const nowMs = this.#now();
    const told = this.#published === null ? roots : published(roots, this.#published, nowMs);
    return advance(told, nowMs, this.#options.timing, () => this.#newRoot());
  }

  #made(): Roots {
    const signing = this.#newRoot();
    const longestLifeMs = this.#options.timing.childLifeMs;
    return {origin: 'made', signing, next: null, retired: [], asked: null, answered: null, longestLifeMs};
  }

  #newRoot(): RootPair {
    const {purpose, timing, urisOf = null} = this.#options;
    const key = newKey();
    return {
      chainPem: certificatePem(makeRoot(key, this.#now(), timing.rootLifeMs, purpose, urisOf)),
      keyPem: key.key.export({type: 'pkcs8', format: 'pem'}) as string,
    };
  }

  async #write(before: V1Secret | null, roots: Roots): Promise<void> {
    const {namespace, secret: name} = this.#options;
    if (before !== null) {
      // With the version that was read: somebody else's change is not written over.
      await this.#api.replaceNamespacedSecret({namespace, name, body: writeRoots(before, roots)});
      return;
    }
    const empty: V1Secret = {metadata: {name, labels: {...OURS}}, type: 'Opaque'};
    await this.#api.createNamespacedSecret({namespace, body: writeRoots(empty, roots)});
  }

  #adopt(roots: Roots): void {
    const before = this.#roots;
    this.#roots = roots;
    if (before !== null && JSON.stringify(before) === JSON.stringify(roots)) return;
    if (before !== null) this.#options.onRotation(sayChange(before, roots));
    this.#options.onChanged(roots);
  }
}

function sayChange(before: Roots, roots: Roots): string {
  const phase = phaseOf(roots);
  if (rootOf(before.signing) !== rootOf(roots.signing))
    return `another root signs (${phase}); ${roots.retired.length} that ended are still believed`;
  return phaseOf(before) === phase ? `the Secret has changed (${phase})` : `${phaseOf(before)} -> ${phase}`;
}

const codeOf = (error: unknown): unknown => (error as {code?: unknown}).code;
