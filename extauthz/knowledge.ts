/** Policies and workloads of their source, certificates and own addresses, watched: the state that is in force. */
import {isDeepStrictEqual} from 'node:util';
import {connectionOf} from '../cluster/connection.ts';
import {ClusterKnowledge} from '../cluster/knowledge.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {Journal} from '../runtime/journal.ts';
import type {Metrics} from '../runtime/metrics.ts';
import {changingCidrs} from '../runtime/own-addresses.ts';
import {readTlsFiles, type TlsFiles} from '../runtime/tls-files.ts';
import {watchPaths} from '../runtime/watch.ts';
import {FileKnowledge} from '../sources/file-knowledge.ts';
import type {KnowledgeSource} from '../sources/knowledge.ts';
import type {ExtauthzConfig} from './settings.ts';
import type {State} from './state.ts';

/** How often the machine's own addresses are looked at: a floating address is nobody's destination a moment after it came. */
const OWN_ADDRESSES_MS = 500;

export class Knowledge {
  readonly #config: ExtauthzConfig;
  readonly #journal: Journal;
  readonly #metrics: Metrics;
  readonly #source: KnowledgeSource;
  #tls: TlsFiles | null;
  #tlsError: string | null = null;
  #tlsWatch: {close(): void} | null = null;
  #ownCidrs = changingCidrs();
  #version = 1;
  #addresses: NodeJS.Timeout | null = null;
  #changed: (state: State) => void = () => undefined;

  /** Reads what can be read at once, or throws SallyportError for what is bad at start (exit 3). */
  constructor(config: ExtauthzConfig, journal: Journal, metrics: Metrics) {
    this.#config = config;
    this.#journal = journal;
    this.#metrics = metrics;
    this.#source = sourceOf(config, journal, metrics);
    this.#tls = config.tls === null ? null : readTlsFiles(config.tls);
    this.#count();
  }

  get state(): State {
    return {version: this.#version, known: this.#source.known, ownCidrs: this.#ownCidrs, tls: this.#tls};
  }

  /** Whether there is anything to answer by. */
  get ready(): boolean {
    return this.#source.known !== null;
  }

  /** Tells of every new state from now on; what changed since the first reading too. */
  async watch(changed: (state: State) => void): Promise<void> {
    this.#changed = changed;
    const {tls} = this.#config;
    if (tls !== null) {
      const files = [tls.cert, tls.key, ...(tls.clientCa === null ? [] : [tls.clientCa])];
      const watch = watchPaths(files, () => this.#reloadTls());
      this.#tlsWatch = watch;
      await watch.ready;
      // Between the first reading and the watch they may have changed.
      this.#reloadTls();
    }
    this.#addresses = setInterval(() => this.#lookAtAddresses(), OWN_ADDRESSES_MS);
    await this.#source.watch(() => this.#publish());
  }

  close(): void {
    this.#source.close();
    this.#tlsWatch?.close();
    if (this.#addresses !== null) clearInterval(this.#addresses);
  }

  /** The detail of /readyz. */
  describe(): Record<string, unknown> {
    const detail = this.#source.describe();
    return {
      ...detail,
      policies: {version: this.#version, ...detail['policies']},
      ...(this.#tls === null ? {} : {tls: {lastLoad: this.#tlsError ?? 'ok'}}),
    };
  }

  #reloadTls(): void {
    try {
      const before = this.#tls;
      this.#tls = readTlsFiles(this.#config.tls!);
      this.#tlsError = null;
      if (isDeepStrictEqual(before, this.#tls)) return;
      this.#journal.notice('info', 'tls.loaded', 'new certificates serve new connections');
    } catch (error) {
      this.#tlsError = error instanceof SallyportError ? error.describe() : String(error);
      this.#journal.notice('error', 'tls.failed', `${this.#tlsError} The last good certificates stay in use.`);
      return;
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
    this.#count();
    this.#changed(this.state);
  }

  #count(): void {
    const {documents, workloads} = this.#source.known ?? {documents: [], workloads: []};
    this.#metrics.policyDocuments.reset();
    for (const {kind} of documents) this.#metrics.policyDocuments.inc({kind});
    this.#metrics.workloads.set(workloads.length);
  }
}

function sourceOf({source, installation}: ExtauthzConfig, journal: Journal, metrics: Metrics): KnowledgeSource {
  const {clusterDomain} = installation;
  switch (source.kind) {
    case 'files':
      return new FileKnowledge({...source, clusterDomain, journal, metrics});
    case 'cluster':
      return new ClusterKnowledge({
        config: connectionOf(source.kubeconfig, process.env),
        ...{node: null, clusterDomain, journal, metrics},
      });
  }
}
