/** The files of `--policy` and `--workloads`, watched: what of them is good is known. */
import {isDeepStrictEqual} from 'node:util';
import {formatFinding} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {Journal} from '../runtime/journal.ts';
import type {Metrics} from '../runtime/metrics.ts';
import {watchPaths} from '../runtime/watch.ts';
import type {Known, KnowledgeSource} from './knowledge.ts';
import {PolicyStore, requireGood, type PolicyLoad} from './policy-store.ts';
import {readWorkloads, type WorkloadEntry} from './workload-table.ts';

export interface FileKnowledgeOptions {
  readonly policyPaths: readonly string[];
  /** null: none, and so no workload is known by its address. */
  readonly workloadsFile: string | null;
  readonly clusterDomain: string;
  readonly journal: Journal;
  readonly metrics: Metrics;
}

export class FileKnowledge implements KnowledgeSource {
  readonly #options: FileKnowledgeOptions;
  readonly #store: PolicyStore;
  #load: PolicyLoad;
  #workloads: readonly WorkloadEntry[];
  #workloadsError: string | null = null;
  #watches: readonly {readonly ready: Promise<void>; close(): void}[] = [];
  #changed: () => void = () => undefined;

  /** Reads all of it, or throws SallyportError for what is bad at start (exit 3). */
  constructor(options: FileKnowledgeOptions) {
    const {policyPaths, workloadsFile, clusterDomain} = options;
    this.#options = options;
    this.#store = new PolicyStore(policyPaths, clusterDomain);
    this.#load = this.#store.load();
    requireGood(this.#load, formatFinding);
    this.#workloads = workloadsFile === null ? [] : readWorkloads(workloadsFile);
    this.#sayLoad();
  }

  get known(): Known {
    return {documents: this.#load.documents, notLoaded: [], workloads: this.#workloads};
  }

  async watch(changed: () => void): Promise<void> {
    this.#changed = changed;
    const {policyPaths, workloadsFile} = this.#options;
    const watches = [watchPaths(policyPaths, () => this.#readPolicies())];
    if (workloadsFile !== null) watches.push(watchPaths([workloadsFile], () => this.#readWorkloads(workloadsFile)));
    this.#watches = watches;
    await Promise.all(watches.map(({ready}) => ready));
    // Between the first reading and the watch something may have changed.
    this.#readPolicies();
    if (workloadsFile !== null) this.#readWorkloads(workloadsFile);
  }

  describe(): Readonly<Record<string, object>> {
    const errors = this.#load.findings.filter((finding) => finding.severity === 'error');
    const good = errors.length === 0 && this.#load.unreadable.length === 0;
    return {
      policies: {
        documents: this.#load.documents.length,
        lastLoad: good ? 'ok' : 'failed: the last good documents stay in force',
        findings: this.#load.findings.map(formatFinding),
        unreadable: this.#load.unreadable,
      },
      workloads: {count: this.#workloads.length, lastLoad: this.#workloadsError ?? 'ok'},
    };
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
  }

  #readPolicies(): void {
    const before = this.#load;
    this.#load = this.#store.load();
    if (isDeepStrictEqual(before, this.#load)) return;
    this.#sayLoad();
    this.#changed();
  }

  #readWorkloads(file: string): void {
    try {
      const before = this.#workloads;
      this.#workloads = readWorkloads(file);
      this.#workloadsError = null;
      if (isDeepStrictEqual(before, this.#workloads)) return;
      this.#options.journal.notice('info', 'workloads.loaded', `${this.#workloads.length} workloads in the table`);
      this.#changed();
    } catch (error) {
      this.#workloadsError = error instanceof SallyportError ? error.describe() : String(error);
      const message = `${this.#workloadsError} The last good table stays in force.`;
      this.#options.journal.notice('error', 'workloads.failed', message);
    }
  }

  #sayLoad(): void {
    const {documents, findings, unreadable} = this.#load;
    const {journal, metrics} = this.#options;
    for (const finding of findings)
      journal.notice(finding.severity === 'error' ? 'error' : 'warn', 'policy.finding', formatFinding(finding), {
        code: finding.code,
        object: finding.object,
      });
    for (const {path, message} of unreadable)
      journal.notice('error', 'policy.unreadable', `${path}: ${message}; its last good documents stay in force`);
    const failed = unreadable.length > 0 || findings.some((finding) => finding.severity === 'error');
    metrics.policyLoads.inc({result: failed ? 'failed' : 'ok'});
    journal.notice(
      failed ? 'error' : 'info',
      failed ? 'policy.failed' : 'policy.loaded',
      `${documents.length} documents in force`,
    );
  }
}
