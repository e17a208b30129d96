/** The files of `--policy`, `--workloads` and `--tls-*`, watched: what of them is good becomes the state that is in force. */
import {isDeepStrictEqual} from 'node:util';
import {formatFinding} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {Journal} from '../runtime/journal.ts';
import type {Metrics} from '../runtime/metrics.ts';
import {changingCidrs} from '../runtime/own-addresses.ts';
import {readTlsFiles, type TlsFiles} from '../runtime/tls-files.ts';
import {watchPaths} from '../runtime/watch.ts';
import {PolicyStore, requireGood, type PolicyLoad} from '../sources/policy-store.ts';
import {readWorkloads, type WorkloadEntry} from '../sources/workload-table.ts';
import type {ExtauthzConfig} from './settings.ts';
import type {State} from './state.ts';

type Watched = 'policies' | 'workloads' | 'tls';

/** How often the machine's own addresses are looked at: a floating address is nobody's destination a moment after it came. */
const OWN_ADDRESSES_MS = 500;

export class Knowledge {
  readonly #config: ExtauthzConfig;
  readonly #journal: Journal;
  readonly #metrics: Metrics;
  readonly #store: PolicyStore;
  #load: PolicyLoad;
  #workloads: readonly WorkloadEntry[];
  #workloadsError: string | null = null;
  #tls: TlsFiles | null;
  #tlsError: string | null = null;
  #ownCidrs = changingCidrs();
  #version = 1;
  #watches: readonly {readonly ready: Promise<void>; close(): void}[] = [];
  #addresses: NodeJS.Timeout | null = null;
  #changed: (state: State) => void = () => undefined;

  /** Reads all of it, or throws SallyportError for what is bad at start (exit 3). */
  constructor(config: ExtauthzConfig, journal: Journal, metrics: Metrics) {
    this.#config = config;
    this.#journal = journal;
    this.#metrics = metrics;
    this.#store = new PolicyStore(config.policyPaths, config.installation.clusterDomain);
    this.#load = this.#store.load();
    requireGood(this.#load, formatFinding);
    this.#workloads = config.workloadsFile === null ? [] : readWorkloads(config.workloadsFile);
    this.#tls = config.tls === null ? null : readTlsFiles(config.tls);
    this.#sayLoad();
    this.#sayWorkloads();
  }

  get state(): State {
    return {
      version: this.#version,
      documents: this.#load.documents,
      workloads: this.#workloads,
      ownCidrs: this.#ownCidrs,
      tls: this.#tls,
    };
  }

  /** Tells of every new state from now on; what changed since the first reading too. */
  async watch(changed: (state: State) => void): Promise<void> {
    this.#changed = changed;
    const {policyPaths, workloadsFile, tls} = this.#config;
    const watches = [watchPaths(policyPaths, () => this.#reload('policies'))];
    if (workloadsFile !== null) watches.push(watchPaths([workloadsFile], () => this.#reload('workloads')));
    if (tls !== null)
      watches.push(
        watchPaths([tls.cert, tls.key, ...(tls.clientCa === null ? [] : [tls.clientCa])], () => this.#reload('tls')),
      );
    this.#watches = watches;
    await Promise.all(watches.map(({ready}) => ready));
    this.#addresses = setInterval(() => this.#lookAtAddresses(), OWN_ADDRESSES_MS);
    // Between the first reading and the watch something may have changed.
    this.#reload('policies');
    if (workloadsFile !== null) this.#reload('workloads');
    if (tls !== null) this.#reload('tls');
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
    if (this.#addresses !== null) clearInterval(this.#addresses);
  }

  /** The detail of /readyz. */
  describe(): Record<string, unknown> {
    const errors = this.#load.findings.filter((finding) => finding.severity === 'error');
    const good = errors.length === 0 && this.#load.unreadable.length === 0;
    return {
      policies: {
        version: this.#version,
        documents: this.#load.documents.length,
        lastLoad: good ? 'ok' : 'failed: the last good documents stay in force',
        findings: this.#load.findings.map(formatFinding),
        unreadable: this.#load.unreadable,
      },
      workloads: {count: this.#workloads.length, lastLoad: this.#workloadsError ?? 'ok'},
      ...(this.#tls === null ? {} : {tls: {lastLoad: this.#tlsError ?? 'ok'}}),
    };
  }

  #reload(what: Watched): void {
    switch (what) {
      case 'policies': {
        const before = this.#load;
        this.#load = this.#store.load();
        if (isDeepStrictEqual(before, this.#load)) return;
        this.#sayLoad();
        break;
      }
      case 'workloads':
        try {
          const before = this.#workloads;
          this.#workloads = readWorkloads(this.#config.workloadsFile!);
          this.#workloadsError = null;
          if (isDeepStrictEqual(before, this.#workloads)) return;
          this.#sayWorkloads();
        } catch (error) {
          this.#workloadsError = describe(error);
          this.#journal.notice(
            'error',
            'workloads.failed',
            `${this.#workloadsError} The last good table stays in force.`,
          );
          return;
        }
        break;
      case 'tls':
        try {
          const before = this.#tls;
          this.#tls = readTlsFiles(this.#config.tls!);
          this.#tlsError = null;
          if (isDeepStrictEqual(before, this.#tls)) return;
          this.#journal.notice('info', 'tls.loaded', 'new certificates serve new connections');
        } catch (error) {
          this.#tlsError = describe(error);
          this.#journal.notice('error', 'tls.failed', `${this.#tlsError} The last good certificates stay in use.`);
          return;
        }
        break;
    }
    this.#publish();
  }

  #lookAtAddresses(): void {
    const now = changingCidrs();
    if (isDeepStrictEqual(now, this.#ownCidrs)) return;
    this.#ownCidrs = now;
    this.#publish();
  }

  #publish(): void {
    this.#version++;
    this.#changed(this.state);
  }

  #sayWorkloads(): void {
    this.#metrics.workloads.set(this.#workloads.length);
    this.#journal.notice('info', 'workloads.loaded', `${this.#workloads.length} workloads in the table`);
  }

  #sayLoad(): void {
    const {documents, findings, unreadable} = this.#load;
    for (const finding of findings)
      this.#journal.notice(finding.severity === 'error' ? 'error' : 'warn', 'policy.finding', formatFinding(finding), {
        code: finding.code,
        object: finding.object,
      });
    for (const {path, message} of unreadable)
      this.#journal.notice('error', 'policy.unreadable', `${path}: ${message}; its last good documents stay in force`);
    const failed = unreadable.length > 0 || findings.some((finding) => finding.severity === 'error');
    this.#metrics.policyLoads.inc({result: failed ? 'failed' : 'ok'});
    this.#metrics.policyDocuments.reset();
    for (const document of documents) this.#metrics.policyDocuments.inc({kind: document.kind});
    this.#journal.notice(
      failed ? 'error' : 'info',
      failed ? 'policy.failed' : 'policy.loaded',
      `${documents.length} documents in force`,
    );
  }
}

const describe = (error: unknown): string => (error instanceof SallyportError ? error.describe() : String(error));
