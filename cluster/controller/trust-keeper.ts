/** Sees to it that every namespace that needs the trust bundle has it, whatever anybody does to it. */
import type {KubeConfig} from '@kubernetes/client-node';
import {ANNOTATIONS, LABELS} from '../../runtime/names.ts';
import {startReflector, type Reflector} from '../reflector.ts';
import {createWorkQueue} from './queue.ts';
import {applyBundle, copyOf, removeBundle, type Bundle, type Copy} from './trust.ts';

export interface TrustKeeperOptions {
  readonly config: KubeConfig;
  readonly configMap: string;
  /** Our own: it always has the bundle, for agents. */
  readonly namespace: string;
  readonly bundle: Bundle;
  /** How long nothing needs it before it is removed. */
  readonly removeAfterMs?: number;
  readonly onApplied: (namespace: string) => void;
  readonly onRemoved: (namespace: string) => void;
  readonly onFailed: (namespace: string, error: unknown, retryMs: number) => void;
  /** The bundle is wherever it is needed, but where the API server refuses it for good. */
  readonly onEverywhere: (bundle: Bundle) => void;
  readonly onTrouble: (message: string, retryMs: number) => void;
}

export interface TrustKeeper {
  /** There is another bundle from now on. */
  replace(bundle: Bundle): void;
  stop(): void;
}

/** A Deployment that is scaled down or rolled must find it again without a wait. */
const REMOVE_AFTER_MS = 3_600_000;
/** Who changes it again and again is answered this often, so that two who fight do not keep the API server busy. */
const RESTORE_EVERY_MS = 1_000;
/** Namespaces, pods, copies. */
const LISTS = 3;
/** A bundle is about half a megabyte in JSON. */
const PAGE_OBJECTS = 20;
/** Forbidden (also: a quota is used up), or invalid. */
const REFUSALS: ReadonlySet<unknown> = new Set([403, 422]);

/**
 * A namespace needs it where it is labelled for injection, or where a pod was injected (by a label of its own). Keeps what
 * is there current in any case, so that nobody reads an old one.
 */
export function keepTrust(options: TrustKeeperOptions): TrustKeeper {
  return new Keeper(options);
}

class Keeper implements TrustKeeper {
  readonly #options: TrustKeeperOptions;
  readonly #reflectors: readonly Reflector<unknown>[];
  readonly #namespaces: Reflector<'enabled' | 'ending' | 'other'>;
  readonly #copies: Reflector<Copy>;
  readonly #queue;
  /** Injected pods. */
  readonly #pods = new Map<string, Set<string>>();
  /** Nothing needs what is there: when it is removed. */
  readonly #unneeded = new Map<string, {readonly dueMs: number; readonly timer: NodeJS.Timeout}>();
  /** What the API server would not have there. */
  readonly #refused = new Map<string, string>();
  /** What was written, and when. */
  readonly #written = new Map<string, {readonly digest: string; readonly atMs: number}>();
  readonly #restoring = new Map<string, NodeJS.Timeout>();
  #bundle: Bundle;
  #synced = 0;
  #toldEverywhere = '';

  constructor(options: TrustKeeperOptions) {
    this.#options = options;
    this.#bundle = options.bundle;
    this.#queue = createWorkQueue(
      (namespace) => this.#work(namespace),
      (namespace, error, retryMs) => {
        options.onFailed(namespace, error, retryMs);
        // A quota, an admission policy: its pods could not be helped by waiting for it.
        if (!REFUSALS.has((error as {code?: unknown}).code)) return;
        this.#refused.set(namespace, this.#bundle.digest);
        this.#sayEverywhere();
      },
    );
    const {config, configMap, onTrouble} = options;
    const watched = () => {
      let first = true;
      return {
        ...{config, onTrouble},
        onSynced: () => {
          if (first) this.#synced++;
          first = false;
          this.#lookAtAll();
        },
      };
    };
    this.#namespaces = startReflector<'enabled' | 'ending' | 'other'>({
      ...watched(),
      resource: {apiVersion: 'v1', kind: 'Namespace', path: '/api/v1/namespaces'},
      keep: ({metadata}) => {
        if (metadata?.deletionTimestamp != null) return 'ending';
        return metadata?.labels?.[LABELS.injection] === 'enabled' ? 'enabled' : 'other';
      },
      onChange: (name) => this.#look(name),
    });
    const pods = startReflector<true>({
      ...watched(),
      resource: {apiVersion: 'v1', kind: 'Pod', path: '/api/v1/pods'},
      keep: ({metadata}) => (metadata?.annotations?.[ANNOTATIONS.status] === undefined ? null : true),
      onChange: (key, now) => this.#pod(key, now !== null),
    });
    this.#copies = startReflector<Copy>({
      ...watched(),
      resource: {
        ...{apiVersion: 'v1', kind: 'ConfigMap', path: '/api/v1/configmaps', pageObjects: PAGE_OBJECTS},
        fieldSelector: `metadata.name=${configMap}`,
      },
      keep: copyOf,
      onChange: (key) => this.#look(namespaceOf(key)),
    });
    this.#reflectors = [this.#namespaces, pods, this.#copies];
  }

  replace(bundle: Bundle): void {
    if (bundle.digest === this.#bundle.digest) return;
    this.#bundle = bundle;
    this.#lookAtAll();
  }

  stop(): void {
    for (const reflector of this.#reflectors) reflector.stop();
    this.#queue.stop();
    for (const {timer} of this.#unneeded.values()) clearTimeout(timer);
    for (const timer of this.#restoring.values()) clearTimeout(timer);
  }

  #pod(key: string, there: boolean): void {
    const namespace = namespaceOf(key);
    const pods = this.#pods.get(namespace) ?? new Set();
    if (there) pods.add(key);
    else pods.delete(key);
    if (pods.size > 0) this.#pods.set(namespace, pods);
    else this.#pods.delete(namespace);
    this.#look(namespace);
  }

  get #wholeView(): boolean {
    return this.#synced === LISTS;
  }

  #needs(namespace: string): boolean {
    const state = this.#namespaces.store.get(namespace);
    // One that is not known (any more) can hold nothing; its creation is told.
    if (state === undefined || state === 'ending') return false;
    return state === 'enabled' || this.#pods.has(namespace) || namespace === this.#options.namespace;
  }

  #copy(namespace: string): Copy | undefined {
    return this.#copies.store.get(`${namespace}/${this.#options.configMap}`);
  }

  #lookAtAll(): void {
    if (!this.#wholeView) return;
    for (const namespace of this.#namespaces.store.keys()) this.#look(namespace);
    this.#sayEverywhere();
  }

  /** Something of the namespace has changed. What is not whole yet is looked at when it is. */
  #look(namespace: string): void {
    if (!this.#wholeView) return;
    const copy = this.#copy(namespace);
    if (this.#needs(namespace)) {
      clearTimeout(this.#unneeded.get(namespace)?.timer);
      this.#unneeded.delete(namespace);
      if (copy?.digest !== this.#bundle.digest) this.#restore(namespace);
      return;
    }
    if (copy?.ours !== true || this.#namespaces.store.get(namespace) === 'ending') return;
    if (copy.digest !== this.#bundle.digest) this.#restore(namespace);
    if (this.#unneeded.has(namespace)) return;
    const removeAfterMs = this.#options.removeAfterMs ?? REMOVE_AFTER_MS;
    const timer = setTimeout(() => this.#queue.add(namespace), removeAfterMs);
    this.#unneeded.set(namespace, {dueMs: performance.now() + removeAfterMs, timer});
  }

  /** Soon, and not at once where it was only just done. */
  #restore(namespace: string): void {
    if (this.#restoring.has(namespace)) return;
    const last = this.#written.get(namespace);
    const waitMs = last?.digest === this.#bundle.digest ? last.atMs + RESTORE_EVERY_MS - performance.now() : 0;
    if (waitMs <= 0) return this.#queue.add(namespace);
    const again = (): void => {
      this.#restoring.delete(namespace);
      this.#queue.add(namespace);
    };
    this.#restoring.set(namespace, setTimeout(again, waitMs));
  }

  async #work(namespace: string): Promise<void> {
    const {config, configMap, onApplied, onRemoved} = this.#options;
    const copy = this.#copy(namespace);
    const unneeded = this.#unneeded.get(namespace);
    if (!this.#needs(namespace) && copy?.ours !== true) return;
    if (unneeded !== undefined && unneeded.dueMs <= performance.now()) {
      this.#unneeded.delete(namespace);
      await removeBundle(config, namespace, configMap);
      onRemoved(namespace);
      return;
    }
    const bundle = this.#bundle;
    if (copy?.digest !== bundle.digest) {
      await applyBundle(config, namespace, configMap, bundle);
      onApplied(namespace);
    }
    this.#written.set(namespace, {digest: bundle.digest, atMs: performance.now()});
    this.#sayEverywhere();
  }

  #sayEverywhere(): void {
    const {digest} = this.#bundle;
    if (!this.#wholeView || this.#toldEverywhere === digest) return;
    const holds = (namespace: string): boolean =>
      this.#copy(namespace)?.digest === digest || this.#written.get(namespace)?.digest === digest;
    // Where even our own refuses it, it is we who may not write, and nobody has it.
    if (!holds(this.#options.namespace)) return;
    for (const namespace of this.#namespaces.store.keys())
      if (this.#needs(namespace) && !holds(namespace) && this.#refused.get(namespace) !== digest) return;
    this.#toldEverywhere = digest;
    this.#options.onEverywhere(this.#bundle);
  }
}

const namespaceOf = (key: string): string => key.split('/')[0]!;
