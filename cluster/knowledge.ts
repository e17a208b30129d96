/** Policies and workloads as the API server has them, watched. While it is away the last state stays. */
import type {KubeConfig} from '@kubernetes/client-node';
import {
  checkDocuments,
  formatFinding,
  KINDS,
  type Document,
  type Finding,
  type Kind,
  type NotLoaded,
} from '../policy/index.ts';
import type {Journal} from '../runtime/journal.ts';
import type {Metrics} from '../runtime/metrics.ts';
import {Settle} from '../runtime/settle.ts';
import type {Known, KnowledgeSource} from '../sources/knowledge.ts';
import type {WorkloadEntry} from '../sources/workload-table.ts';
import {watchDocuments} from './documents.ts';
import {LastGood} from './last-good.ts';
import type {Reflector} from './reflector.ts';
import {watchWorkloads, type Workloads} from './workloads.ts';

export interface ClusterKnowledgeOptions {
  readonly config: KubeConfig;
  /** Only the pods of this node; null: all. */
  readonly node: string | null;
  readonly clusterDomain: string;
  readonly journal: Journal;
  readonly metrics: Metrics;
}

/** Changes come in bursts (a rollout, a GitOps sync), and each new state is compiled as a whole. A pod that starts is free until somebody holds it. */
const SETTLE_MS = 20;

export class ClusterKnowledge implements KnowledgeSource {
  readonly #options: ClusterKnowledgeOptions;
  readonly #lastGood = new LastGood();
  readonly #documents = new Map<Kind, Reflector<unknown>>();
  #pods: Workloads | null = null;
  #workloads: readonly WorkloadEntry[] | null = null;
  /** null: looked at anew when things have settled. */
  #policies: Pick<Known, 'documents' | 'notLoaded'> | null = null;
  #findings: readonly Finding[] = [];
  #said: ReadonlySet<string> = new Set();
  #known: Known | null = null;
  /** What the API server does not tell at the moment, and why. */
  readonly #away = new Map<string, string>();
  readonly #settle = new Settle(SETTLE_MS, () => this.#take());
  #changed: () => void = () => undefined;

  constructor(options: ClusterKnowledgeOptions) {
    this.#options = options;
  }

  get known(): Known | null {
    return this.#known;
  }

  async watch(changed: () => void): Promise<void> {
    this.#changed = changed;
    const {config, node} = this.#options;
    const health = {
      onTrouble: (message: string, retryMs: number, kind: string) => this.#troubled(kind, message, retryMs),
      onWell: (kind: string) => this.#well(kind),
    };
    for (const kind of Object.keys(KINDS) as Kind[])
      this.#documents.set(
        kind,
        watchDocuments({
          ...{config, kind, ...health},
          onChange: (key, now) => {
            this.#lastGood.set(kind, key, now);
            this.#policies = null;
            this.#settle.ask();
          },
          onSynced: () => this.#settle.ask(),
        }),
      );
    this.#pods = watchWorkloads({
      ...{config, node, ...health},
      onChange: (entries) => {
        this.#workloads = entries;
        this.#settle.ask();
      },
    });
  }

  describe(): Readonly<Record<string, object>> {
    const missing = this.#missing();
    return {
      policies: {
        documents: this.#known?.documents.length ?? 0,
        lastLoad:
          this.#known === null
            ? `waiting for the API server: ${missing.join(', ')}`
            : this.#findings.some(isError)
              ? 'failed: the last good documents stay in force'
              : 'ok',
        findings: this.#findings.map(formatFinding),
        refusedEverything: this.#known?.notLoaded.map(placeText) ?? ['every pod'],
      },
      workloads: {count: this.#known?.workloads.length ?? 0},
      cluster: {synced: this.#known !== null, away: Object.fromEntries(this.#away)},
    };
  }

  close(): void {
    this.#settle.stop();
    this.#pods?.stop();
    for (const reflector of this.#documents.values()) reflector.stop();
  }

  #take(): void {
    if (this.#missing().length > 0) return;
    this.#policies ??= this.#look();
    this.#known = {...this.#policies, workloads: this.#workloads!};
    this.#changed();
  }

  /** What has never been told as a whole. */
  #missing(): string[] {
    const kinds = [...this.#documents].filter(([, reflector]) => !reflector.synced()).map(([kind]) => kind as string);
    return this.#workloads === null ? [...kinds, 'Pod, Namespace'] : kinds;
  }

  #look(): Pick<Known, 'documents' | 'notLoaded'> {
    const documents = this.#lastGood.documents();
    const notLoaded = this.#lastGood.notLoaded();
    this.#findings = [
      ...this.#lastGood.findings(),
      ...checkDocuments(documents, {clusterDomain: this.#options.clusterDomain}),
    ];
    this.#say(documents, notLoaded);
    return {documents, notLoaded};
  }

  #say(documents: readonly Document[], notLoaded: NotLoaded): void {
    const {journal, metrics} = this.#options;
    const texts = new Set<string>();
    for (const finding of this.#findings) {
      const text = formatFinding(finding);
      texts.add(text);
      // Somebody else's change is no reason to repeat what was said.
      if (this.#said.has(text)) continue;
      const {code, object} = finding;
      journal.notice(isError(finding) ? 'error' : 'warn', 'policy.finding', text, {code, object});
    }
    this.#said = texts;
    const failed = this.#findings.some(isError);
    metrics.policyLoads.inc({result: failed ? 'failed' : 'ok'});
    journal.notice(
      failed ? 'error' : 'info',
      failed ? 'policy.failed' : 'policy.loaded',
      `${documents.length} documents in force${notLoaded.length === 0 ? '' : `; never good, and so refused everything: ${notLoaded.map(placeText).join(', ')}`}`,
    );
  }

  #troubled(kind: string, message: string, retryMs: number): void {
    const before = this.#away.get(kind);
    this.#away.set(kind, message);
    if (before === message) return;
    const meanwhile = this.#known === null ? 'everything is refused until it answers' : 'the last state stays in force';
    this.#options.journal.notice(
      'error',
      'cluster.away',
      `the API server does not tell ${kind}: ${message}; asked again in ${Math.round(retryMs)} ms and so on; ${meanwhile}`,
    );
  }

  #well(kind: string): void {
    if (this.#away.delete(kind) && this.#away.size === 0)
      this.#options.journal.notice('info', 'cluster.back', 'the API server tells everything again');
  }
}

const placeText = (namespace: string | null): string => (namespace === null ? 'every pod' : `the pods of ${namespace}`);
const isError = ({severity}: Finding): boolean => severity === 'error';
