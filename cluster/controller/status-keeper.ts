/** Keeps the status of every policy and UpstreamProxy true: Accepted, Enforced with its pods, Resolved. */
import type {KubeConfig} from '@kubernetes/client-node';
import {KINDS, type Finding, type Kind} from '../../policy/index.ts';
import {clusterDocument, PLURALS, type ClusterDocument} from '../documents.ts';
import {startReflector, type Reflector} from '../reflector.ts';
import {acrossDocuments} from './across.ts';
import {accepted, type Condition} from './conditions.ts';
import {ENFORCEMENT_TIMING, watchEnforcement, type Enforcement, type EnforcementTiming} from './enforced-keeper.ts';
import {createOrphanage} from './orphans.ts';
import {createWorkQueue, type WorkQueue} from './queue.ts';
import {resolved} from './resolved.ts';
import {difference, statusIn, toWrite, type Status, type Wish} from './status.ts';
import {statusWriter, type WriteStatus} from './status-writer.ts';

export interface StatusTiming extends EnforcementTiming {
  /** Of what people read alone: counts of pods change all the time in a busy cluster; who waits, waits for conditions. */
  readonly countsMs: number;
}
const TIMING: StatusTiming = {...ENFORCEMENT_TIMING, countsMs: 10_000};

export interface StatusKeeperOptions {
  readonly config: KubeConfig;
  readonly clusterDomain: string;
  /** A condition of the object has another status, reason or generation now. */
  readonly onWritten: (object: string, condition: Condition) => void;
  readonly onFailed: (object: string, error: unknown, retryMs: number) => void;
  readonly onTrouble: (message: string, retryMs: number) => void;
  readonly timing?: StatusTiming;
}

/** Changes of policies come in bursts (a GitOps sync): what spans documents is worked out once for each burst. */
const SETTLE_MS = 100;

interface Kept extends ClusterDocument {
  readonly status: Status;
}

export function keepStatus(options: StatusKeeperOptions): {stop(): void} {
  return new StatusKeeper(options);
}

class StatusKeeper {
  readonly #options: StatusKeeperOptions;
  readonly #timing: StatusTiming;
  readonly #write: WriteStatus;
  readonly #queue: WorkQueue;
  readonly #orphans: WorkQueue;
  readonly #enforcement: Enforcement;
  /** Which version of each object was looked at: our own writing is no change of it. */
  readonly #versions = new Map<string, string>();
  readonly #reflectors = new Map<Kind, Reflector<Kept>>();
  /** As the API server has it, by our last word from it. */
  readonly #now = new Map<string, Status>();
  readonly #writtenMs = new Map<string, number>();
  readonly #later = new Map<string, NodeJS.Timeout>();
  #across: ReadonlyMap<string, readonly Finding[]> = new Map();
  #settling: NodeJS.Timeout | null = null;

  constructor(options: StatusKeeperOptions) {
    this.#options = options;
    const {config, onTrouble, timing = TIMING} = options;
    this.#timing = timing;
    this.#write = statusWriter(config);
    this.#queue = createWorkQueue((id) => this.#look(id), options.onFailed);
    this.#orphans = createOrphanage(config, options.onFailed);
    this.#enforcement = watchEnforcement({
      ...{config, onTrouble, timing},
      onOrphan: (node) => this.#orphans.add(node),
      onChange: (ids) => {
        if (ids === 'all') this.#addAll(['EgressPolicy', 'ClusterEgressPolicy']);
        else for (const id of ids) this.#queue.add(id);
      },
      onReports: () => this.#addAll(['UpstreamProxy']),
    });
    for (const kind of Object.keys(KINDS) as Kind[])
      this.#reflectors.set(
        kind,
        startReflector<Kept>({
          ...{config, onTrouble, onSynced: () => this.#settle()},
          resource: {apiVersion: 'sallyport.dev/v1alpha1', kind, path: `/apis/sallyport.dev/v1alpha1/${PLURALS[kind]}`},
          keep: (object) => ({...clusterDocument(object, kind), status: statusIn(object)}),
          onChange: (key, now) => this.#changed(kind, key, now),
        }),
      );
  }

  #changed(kind: Kind, key: string, now: Kept | null): void {
    const id = idOf(kind, key);
    if (now === null) {
      for (const map of [this.#now, this.#versions, this.#writtenMs]) map.delete(id);
      clearTimeout(this.#later.get(id));
      this.#later.delete(id);
    } else {
      this.#now.set(id, now.status);
      const version = `${now.uid} ${now.generation}`;
      // Only its status: ours, or somebody put something else there.
      if (this.#versions.get(id) === version) return this.#queue.add(id);
      this.#versions.set(id, version);
    }
    const document = now?.document ?? null;
    if (kind !== 'UpstreamProxy' && document?.kind !== 'UpstreamProxy')
      this.#enforcement.setPolicy(id, now === null ? null : {...now, document});
    this.#settle();
  }

  #settle(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = null;
      if ([...this.#reflectors.values()].some((reflector) => !reflector.synced())) return;
      this.#across = acrossDocuments(this.#reflectors, this.#options.clusterDomain, idOf);
      this.#addAll([...this.#reflectors.keys()]);
    }, SETTLE_MS);
  }

  #addAll(kinds: readonly Kind[]): void {
    for (const kind of kinds)
      for (const key of this.#reflectors.get(kind)?.store.keys() ?? []) this.#queue.add(idOf(kind, key));
  }

  async #look(id: string): Promise<void> {
    const {kind, key} = parseId(id);
    const object = this.#reflectors.get(kind)?.store.get(key);
    const now = this.#now.get(id);
    if (object === undefined || now === undefined) return;
    const wish = this.#wish(id, object, now);
    const differs = difference(now, wish);
    if (differs === 'none') return;
    const leftMs = (this.#writtenMs.get(id) ?? -Infinity) + this.#timing.countsMs - performance.now();
    if (differs === 'text' && leftMs > 0) return this.#lookLater(id, leftMs);
    const written = await this.#write(kind, key, toWrite(now, wish, new Date()));
    this.#writtenMs.set(id, performance.now());
    if (written === null || !this.#now.has(id)) return;
    this.#now.set(id, written);
    for (const condition of wish.conditions)
      if (
        difference(
          {...now, conditions: now.conditions.filter(ofType(condition))},
          {...wish, conditions: [condition]},
        ) === 'condition'
      )
        this.#options.onWritten(`${kind} ${key}`, condition);
  }

  #wish(id: string, {document, findings, generation}: Kept, now: Status): Wish {
    const first = accepted([...findings, ...(this.#across.get(id) ?? [])], generation);
    const before = (type: Condition['type']): readonly Condition[] => now.conditions.filter((one) => one.type === type);
    if (id.startsWith('UpstreamProxy ')) {
      const reports = this.#enforcement.reports();
      if (document?.kind !== 'UpstreamProxy') return {conditions: [first], pods: null};
      const second = reports === null ? before('Resolved') : [resolved(document, generation, reports)];
      return {conditions: [first, ...second], pods: null};
    }
    const second = this.#enforcement.of(id);
    return second === 'wait'
      ? {conditions: [first, ...before('Enforced')], pods: now.pods}
      : {conditions: [first, second.condition], pods: second.pods};
  }

  #lookLater(id: string, inMs: number): void {
    if (this.#later.has(id)) return;
    const look = (): void => {
      this.#later.delete(id);
      this.#queue.add(id);
    };
    this.#later.set(id, setTimeout(look, inMs));
  }

  stop(): void {
    if (this.#settling !== null) clearTimeout(this.#settling);
    for (const timer of this.#later.values()) clearTimeout(timer);
    for (const reflector of this.#reflectors.values()) reflector.stop();
    this.#enforcement.stop();
    this.#queue.stop();
    this.#orphans.stop();
  }
}

const ofType =
  ({type}: Condition) =>
  (one: Condition): boolean =>
    one.type === type;

const idOf = (kind: Kind, key: string): string => `${kind} ${key}`;
function parseId(id: string): {kind: Kind; key: string} {
  const space = id.indexOf(' ');
  return {kind: id.slice(0, space) as Kind, key: id.slice(space + 1)};
}
