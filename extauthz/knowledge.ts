/** Policies and workloads of their source, certificates and own addresses, watched: the state that is in force. */
import {isDeepStrictEqual} from 'node:util';
import {openKnowledge, openRefs} from '../cluster/open.ts';
import type {UpstreamProxyDocument} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {Journal} from '../runtime/journal.ts';
import type {Metrics} from '../runtime/metrics.ts';
import {OwnCidrs} from '../runtime/own-cidrs.ts';
import {readTlsFiles, type TlsFiles} from '../runtime/tls-files.ts';
import {watchPaths} from '../runtime/watch.ts';
import type {KnowledgeSource} from '../sources/knowledge.ts';
import type {MissingRef, Refs} from '../sources/refs.ts';
import {parentCredentials} from './parent-credentials.ts';
import type {ExtauthzConfig} from './settings.ts';
import type {ParentCredentials, State} from './state.ts';

export class Knowledge {
  readonly #config: ExtauthzConfig;
  readonly #journal: Journal;
  readonly #metrics: Metrics;
  readonly #source: KnowledgeSource;
  #tls: TlsFiles | null;
  #tlsError: string | null = null;
  #tlsWatch: {close(): void} | null = null;
  readonly #ownCidrs = new OwnCidrs();
  /** null: nobody asked for credentials, and no Secret is read. */
  readonly #refs: Refs | null;
  #credentials: readonly ParentCredentials[] = [];
  #missing: readonly MissingRef[] = [];
  #version = 1;
  #changed: (state: State) => void = () => undefined;

  private constructor(
    config: ExtauthzConfig,
    journal: Journal,
    metrics: Metrics,
    source: KnowledgeSource,
    refs: Refs | null,
  ) {
    this.#config = config;
    this.#journal = journal;
    this.#metrics = metrics;
    this.#source = source;
    this.#refs = refs;
    this.#tls = config.tls === null ? null : readTlsFiles(config.tls);
    this.#readCredentials();
    this.#count();
  }

  /** Reads what can be read at once, or throws SallyportError for what is bad at start (exit 3). */
  static async open(config: ExtauthzConfig, journal: Journal, metrics: Metrics): Promise<Knowledge> {
    const {clusterDomain} = config.installation;
    const source = await openKnowledge(config.source, {node: null, clusterDomain, journal, metrics});
    const refs = config.parentCredentials ? await openRefs(config.source, journal) : null;
    return new Knowledge(config, journal, metrics, source, refs);
  }

  get state(): State {
    const credentials = this.#credentials;
    return {
      ...{version: this.#version, known: this.#source.known, ownCidrs: this.#ownCidrs.now},
      ...{tls: this.#tls, credentials},
    };
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
    await this.#refs?.watch(() => this.#publish());
  }

  close(): void {
    this.#source.close();
    this.#refs?.close();
    this.#tlsWatch?.close();
    this.#ownCidrs.close();
  }

  /** The detail of /readyz. */
  describe(): Record<string, unknown> {
    const detail = this.#source.describe();
    return {
      ...detail,
      policies: {version: this.#version, ...detail['policies']},
      ...(this.#missing.length === 0 ? {} : {missingRefs: this.#missing}),
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
    this.#readCredentials();
    this.#count();
    this.#changed(this.state);
  }

  #readCredentials(): void {
    if (this.#refs === null) return;
    const proxies = (this.#source.known?.documents ?? []).filter(
      (one): one is UpstreamProxyDocument => one.kind === 'UpstreamProxy',
    );
    const before = this.#missing;
    ({credentials: this.#credentials, missing: this.#missing} = parentCredentials(proxies, this.#refs));
    for (const {proxy, message} of this.#missing)
      if (!before.some((one) => one.proxy === proxy && one.message === message))
        this.#journal.notice('warn', 'refs.missing', `UpstreamProxy ${proxy} cannot be used: ${message}`);
  }

  #count(): void {
    const {documents, workloads} = this.#source.known ?? {documents: [], workloads: []};
    this.#metrics.policyDocuments.reset();
    for (const {kind} of documents) this.#metrics.policyDocuments.inc({kind});
    this.#metrics.workloads.set(workloads.length);
  }
}
