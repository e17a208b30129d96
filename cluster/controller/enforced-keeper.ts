/** Watches pods, namespaces and the agents' reports, and says of each policy whether it is enforced. */
import type {KubeConfig} from '@kubernetes/client-node';
import type {PolicyDocument} from '../../policy/index.ts';
import type {NodeReport} from '../node-report/report.ts';
import {startReflector} from '../reflector.ts';
import {enforced, gapOf, notAccepted, PASSING, type Enforced, type PodGap, type Wanted} from './enforced.ts';
import {watchNodes} from './enforced-nodes.ts';
import {runningPod, type RunningPod} from './enforced-pods.ts';
import {EnforcedTable} from './enforced-table.ts';

export interface EnforcementOptions {
  readonly config: KubeConfig;
  /** What `of` says of these policies may have changed; all: everything is known for the first time. */
  readonly onChange: (ids: ReadonlySet<string> | 'all') => void;
  /** What `reports` says may have changed. */
  readonly onReports: () => void;
  readonly onTrouble: (message: string, retryMs: number) => void;
  readonly onOrphan: (node: string) => void;
  readonly timing: EnforcementTiming;
}

export interface EnforcementTiming {
  /** Changes of this time are looked at as one. */
  readonly settleMs: number;
  /** What agents get to hear of a new pod or policy, and to say so. */
  readonly graceMs: number;
}

export interface Policy {
  /** null: it could not be loaded. */
  readonly document: PolicyDocument | null;
  readonly uid: string;
  readonly generation: number;
}

export interface Enforcement {
  setPolicy(id: string, policy: Policy | null): void;
  /** `wait`: what was said last stands for the moment; `onChange` will tell. */
  of(id: string): Enforced | 'wait';
  /** Of the agents that still say something; null before all of them were heard. */
  reports(): ReadonlyMap<string, NodeReport> | null;
  stop(): void;
}

export const ENFORCEMENT_TIMING: EnforcementTiming = {settleMs: 1_000, graceMs: 10_000};

export function watchEnforcement(options: EnforcementOptions): Enforcement {
  return new Keeper(options);
}

class Keeper implements Enforcement {
  readonly #options: EnforcementOptions;
  readonly #timing: EnforcementTiming;
  readonly #table = new EnforcedTable();
  /** `sinceMs`: when this version of it was first seen. */
  readonly #policies = new Map<string, Policy & {readonly sinceMs: number}>();
  /** By UID: when it was first seen to run. */
  readonly #podSinceMs = new Map<string, number>();
  /** By namespace/name. */
  readonly #uids = new Map<string, string>();
  readonly #sources: {stop(): void; synced(): boolean}[] = [];
  readonly #nodes: ReturnType<typeof watchNodes>;
  #whole = false;
  #heard = false;
  #timer: NodeJS.Timeout | null = null;
  readonly #again = new Map<string, NodeJS.Timeout>();

  constructor(options: EnforcementOptions) {
    this.#options = options;
    this.#timing = options.timing;
    const {config, onTrouble, onOrphan} = options;
    const onSynced = (): void => this.#settle();
    this.#nodes = watchNodes({
      ...{config, onTrouble, onOrphan, onSynced},
      onChange: (node) => {
        this.#table.touchNode(node);
        this.#heard = true;
        this.#settle();
      },
    });
    const pods = startReflector<RunningPod>({
      ...{config, onTrouble, onSynced},
      resource: {apiVersion: 'v1', kind: 'Pod', path: '/api/v1/pods'},
      keep: runningPod,
      onChange: (key, now) => this.#setPod(key, now),
    });
    const namespaces = startReflector<Readonly<Record<string, string>>>({
      ...{config, onTrouble, onSynced},
      resource: {apiVersion: 'v1', kind: 'Namespace', path: '/api/v1/namespaces'},
      keep: ({metadata}) => metadata?.labels ?? {},
      onChange: (name, now) => {
        this.#table.setNamespace(name, now);
        this.#settle();
      },
    });
    this.#sources.push(this.#nodes, pods, namespaces);
  }

  #setPod(key: string, now: RunningPod | null): void {
    const before = this.#uids.get(key);
    const uid = now?.workload.uid;
    if (before !== uid) {
      if (before !== undefined) this.#podSinceMs.delete(before);
      if (uid === undefined) this.#uids.delete(key);
      else {
        this.#uids.set(key, uid);
        // Those that are there when we begin have been there.
        this.#podSinceMs.set(uid, this.#whole ? performance.now() : -Infinity);
      }
    }
    this.#table.setPod(key, now);
    this.#settle();
  }

  setPolicy(id: string, policy: Policy | null): void {
    const before = this.#policies.get(id);
    if (policy === null) {
      this.#policies.delete(id);
      clearTimeout(this.#again.get(id));
      this.#again.delete(id);
    } else if (before?.uid !== policy.uid || before.generation !== policy.generation) {
      const sinceMs = this.#whole ? performance.now() : -Infinity;
      this.#policies.set(id, {...policy, sinceMs});
    } else return;
    this.#table.setPolicy(id, policy?.document ?? null);
    this.#settle();
  }

  of(id: string): Enforced | 'wait' {
    const policy = this.#policies.get(id);
    if (!this.#whole || policy === undefined) return 'wait';
    const {document, uid, generation, sinceMs} = policy;
    if (document === null) return notAccepted(generation);
    const wanted: Wanted = {id, uid, generation, mode: document.mode};
    const now = performance.now();
    const policyLeftMs = sinceMs + this.#timing.graceMs - now;
    let selected = 0;
    let againMs = Infinity;
    const gaps: PodGap[] = [];
    for (const pod of this.#table.podsOf(id)) {
      const gap = gapOf(pod, wanted, this.#nodes.says(pod.node), this.#nodes.bootId(pod.node));
      if (gap !== null && PASSING.has(gap)) {
        if (policyLeftMs > 0) {
          this.#lookAgain(id, policyLeftMs);
          return 'wait';
        }
        const podLeftMs = (this.#podSinceMs.get(pod.workload.uid) ?? -Infinity) + this.#timing.graceMs - now;
        if (podLeftMs > 0) {
          // Left out until its agent has had the time.
          againMs = Math.min(againMs, podLeftMs);
          continue;
        }
      }
      selected++;
      if (gap !== null) gaps.push({pod, gap});
    }
    if (againMs < Infinity) this.#lookAgain(id, againMs);
    // That it selects nobody would be wrong in a moment.
    if (againMs < Infinity && selected === 0) return 'wait';
    return enforced(wanted, selected, gaps);
  }

  reports(): ReadonlyMap<string, NodeReport> | null {
    return this.#whole ? new Map(this.#nodes.reports()) : null;
  }

  #lookAgain(id: string, inMs: number): void {
    clearTimeout(this.#again.get(id));
    const look = (): void => {
      this.#again.delete(id);
      this.#options.onChange(new Set([id]));
    };
    this.#again.set(id, setTimeout(look, inMs + 1));
  }

  #settle(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.#sources.some((source) => !source.synced())) return;
      const touched = this.#table.takeTouched();
      const first = !this.#whole;
      this.#whole = true;
      if (first) this.#options.onChange('all');
      else if (touched.size > 0) this.#options.onChange(touched);
      if (this.#heard || first) this.#options.onReports();
      this.#heard = false;
    }, this.#timing.settleMs);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const timer of this.#again.values()) clearTimeout(timer);
    for (const source of this.#sources) source.stop();
  }
}
