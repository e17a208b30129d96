/** Policies and workloads of their source, certificates and own addresses, watched: the state that is in force. */
import {isDeepStrictEqual} from 'node:util';
import {openKnowledge} from '../cluster/open.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {Journal} from '../runtime/journal.ts';
import type {Metrics} from '../runtime/metrics.ts';
import {OwnCidrs} from '../runtime/own-cidrs.ts';
import {readTlsFiles, type TlsFiles} from '../runtime/tls-files.ts';
import {watchPaths} from '../runtime/watch.ts';
import type {KnowledgeSource} from '../sources/knowledge.ts';
import type {ExtauthzConfig} from './settings.ts';
import type {State} from './state.ts';

export class Knowledge {
  readonly #config: ExtauthzConfig;
  readonly #journal: Journal;
  readonly #metrics: Metrics;
  readonly #source: KnowledgeSource;
  #tls: TlsFiles | null;
  #tlsError: string | null = null;
  #tlsWatch: {close(): void} | null = null;
  readonly #ownCidrs = new OwnCidrs();
  #version = 1;
  #changed: (state: State) => void = () => undefined;

  private constructor(config: ExtauthzConfig, journal: Journal, metrics: Metrics, source: KnowledgeSource) {
    this.#config = config;
    this.#journal = journal;
    this.#metrics = metrics;
    this.#source = source;
    this.#tls = config.tls === null ? null : readTlsFiles(config.tls);
    this.#count();
  }

  /** Reads what can be read at once, or throws SallyportError for what is bad at start (exit 3). */
  static async open(config: ExtauthzConfig, journal: Journal, metrics: Metrics): Promise<Knowledge> {
    const {clusterDomain} = config.installation;
    const source = await openKnowledge(config.source, {node: null, clusterDomain, journal, metrics});
    return new Knowledge(config, journal, metrics, source);
  }

  get state(): State {
    return {version: this.#version, known: this.#source.known, ownCidrs: this.#ownCidrs.now, tls: this.#tls};
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
    this.#ownCidrs.watch(() => this.#publish());
    await this.#source.watch(() => this.#publish());
  }

  close(): void {
    this.#source.close();
    this.#tlsWatch?.close();
    this.#ownCidrs.close();
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
