/** One process that answers: its listeners and what is behind them, put together here from the parts; fed whole states. */
import {createResolver, type Resolver} from '../dns/resolver.ts';
import type {FilterOptions, RunningFilters} from '../filters/index.ts';
import {createLeafMint, watchCa, type WatchedCa} from '../pki/index.ts';
import {compilePolicies, decide, type PolicySet} from '../policy/index.ts';
import {DenialTally, handOver, tallyingJournal, type Denials} from '../runtime/denials.ts';
import {createJsonJournal, createTextJournal, type Journal} from '../runtime/journal.ts';
import {limitJournal, type LimitedJournal} from '../runtime/journal-limits.ts';
import {countingJournal, createMetrics} from '../runtime/metrics.ts';
import {createLineWriter} from '../runtime/output.ts';
import type {CheckServices} from './checker.ts';
import {createDirectory, type Directory} from './identity/directory.ts';
import {readHops} from './identity/hops.ts';
import {ownTrustDomain} from './identity/spiffe.ts';
import {Judge} from './judge.ts';
import {EXTAUTHZ_LIMITS} from './limits.ts';
import {createSecretService, secretPeers, type SecretEvent, type SecretService} from './sds/index.ts';
import {AUTHORIZATION, authorization} from './server/authorization.ts';
import {HEALTH, Health} from './server/health.ts';
import type {TlsFiles} from '../runtime/tls-files.ts';
import {Listener} from './server/listener.ts';
import type {ExtauthzConfig} from './settings.ts';
import type {State} from './state.ts';

const CHECK_SERVICE = 'envoy.service.auth.v3.Authorization';
const SECRET_SERVICE = 'envoy.service.secret.v3.SecretDiscoveryService';

export class Service {
  readonly #config: ExtauthzConfig;
  readonly #metrics = createMetrics();
  readonly #lines = createLineWriter(1, {
    lost: (count) => this.#metrics.droppedLogLines.inc(count),
    again: (count) => this.#journal.notice('error', 'log.dropped', `${count} log lines were lost`),
  });
  readonly #limited: LimitedJournal;
  readonly #journal: Journal;
  readonly #names: Resolver;
  readonly #checks: Listener;
  readonly #secrets: {readonly listener: Listener; readonly service: SecretService; readonly ca: WatchedCa} | null;
  readonly #health = new Health([CHECK_SERVICE, SECRET_SERVICE]);
  #policies: PolicySet | 'not-loaded' = 'not-loaded';
  #directory!: Directory;
  #state!: State;
  #trustDomain: string | null = null;
  #listening = false;
  #memory: NodeJS.Timeout | null = null;
  readonly #tally = new DenialTally();
  #handingOver: {close(): void} | null = null;

  private constructor(config: ExtauthzConfig, state: State, filtersOf: (journal: Journal) => RunningFilters | null) {
    this.#config = config;
    const colours = process.stdout.isTTY || process.env['FORCE_COLOR'] === '1';
    const journal =
      config.logFormat === 'json' ? createJsonJournal(this.#lines) : createTextJournal(this.#lines, colours);
    this.#limited = limitJournal(journal, {
      limits: {linesPerSecond: config.logLinesPerSecond},
      onSuppressed: (lines) => this.#metrics.suppressedLogLines.inc(lines),
    });
    const counting = countingJournal(this.#limited, this.#metrics);
    this.#journal = config.source.kind === 'cluster' ? tallyingJournal(counting, this.#tally) : counting;
    this.#adopt(state);
    const {resolver} = config;
    this.#names = createResolver({
      server:
        resolver === null ? null : `${resolver.ip.includes(':') ? `[${resolver.ip}]` : resolver.ip}:${resolver.port}`,
      onNotice: (event, message) => this.#journal.notice('warn', event, message),
    });
    const judge = new Judge({
      policies: () => this.#policies,
      decide,
      resolve: (names, recent, done) => this.#names.lookup(names, recent, done),
      journal: this.#journal,
    });
    const checks: CheckServices = {
      judge,
      journal: this.#journal,
      hops: readHops(config.hops, '--hop'),
      dials: config.dials,
      directory: () => this.#directory,
      policies: () => this.#policies,
      authorization: (proxy) => this.#state.credentials.find((one) => one.proxy === proxy)?.authorization,
      trustDomain: () => this.#trustDomain,
      filters: filtersOf(this.#journal),
    };
    const shared = config.workers > 1;
    this.#checks = new Listener({flag: '--listen', place: config.listen, tls: state.tls, shared});
    this.#checks.grpc.addService(AUTHORIZATION, authorization(checks));
    this.#checks.grpc.addService(HEALTH, this.#health.implementation);
    this.#secrets = this.#secretService(shared, state.tls);
  }

  #secretService(shared: boolean, tls: TlsFiles | null) {
    const {sds} = this.#config;
    if (sds === null) return null;
    const ca = watchCa({
      dir: sds.caDir,
      awaited: this.#config.source.kind === 'cluster',
      // What was handed out is made anew, and Envoy is told at once; its connections go on.
      onReplaced: () => void this.#secrets?.service.changed('ca'),
      // The first process says what happens in the directory.
      onFailed: () => undefined,
    });
    const service = createSecretService({
      policies: () => this.#policies,
      workloads: () => this.#state.known?.workloads.map(({workload}) => workload) ?? [],
      leaves: createLeafMint({ca}),
      peers: secretPeers({address: sds.text, mutualTls: tls !== null && tls.clientCa !== null, peers: sds.peers}),
      notify: (event) => this.#tell(event),
    });
    const listener = new Listener({
      flag: '--sds',
      place: sds.place,
      tls: sds.place.kind === 'unix' ? null : tls,
      shared,
    });
    listener.grpc.addService(service.definition, service.implementation);
    listener.grpc.addService(HEALTH, this.#health.implementation);
    return {listener, service, ca};
  }

  /** Listens, or throws SallyportError `PortInUse`, `CannotListen`, `FilterNotLoaded` ... */
  static async start(config: ExtauthzConfig, state: State, onDenials: (denials: Denials) => void): Promise<Service> {
    const {filtersDir: dir, filterTimeoutMs: timeoutMs} = config;
    const {createFilters} = dir === null ? {createFilters: null} : await import('../filters/index.ts');
    let filters: RunningFilters | null = null;
    const service = new Service(config, state, (journal) => {
      if (createFilters === null || dir === null) return null;
      const onNotice: FilterOptions['onNotice'] = (level, event, message) => {
        journal.notice(level, event, message);
        if (event === 'filters.loaded') sayUnhonoured(filters, journal);
      };
      return (filters = createFilters({dir, timeoutMs, onNotice}));
    });
    await (filters as RunningFilters | null)?.ready;
    await service.#checks.listen();
    await service.#secrets?.listener.listen();
    service.#listening = true;
    service.#handingOver = handOver(service.#tally, onDenials);
    service.#sayHealth();
    service.#memory = setInterval(() => service.#watchMemory(), EXTAUTHZ_LIMITS.heldEveryMs);
    return service;
  }

  #adopt(state: State): void {
    const {nodeCidrs} = this.#config.installation;
    const {known} = state;
    const installation = {
      ...this.#config.installation,
      nodeCidrs: [...new Set([...nodeCidrs, ...state.ownCidrs])],
    };
    this.#policies = known === null ? 'not-loaded' : compilePolicies(known.documents, installation, known.notLoaded);
    this.#directory = createDirectory(known?.workloads ?? []);
    this.#trustDomain = state.tls === null ? null : ownTrustDomain(state.tls.cert);
    this.#state = state;
  }

  /** Takes over the whole new state; what of it cannot be used, leaves the last good one in force. */
  apply(state: State): boolean {
    const {tls} = this.#state;
    try {
      // First what can fail, so that nothing is half taken over.
      if (state.tls !== null && state.tls !== tls) {
        this.#checks.replaceCertificates(state.tls);
        this.#secrets?.listener.replaceCertificates(state.tls);
      }
      this.#adopt(state);
    } catch (error) {
      this.#journal.notice(
        'error',
        'state.failed',
        `the new state cannot be used, the last one stays: ${String(error)}`,
      );
      return false;
    }
    this.#sayHealth();
    void this.#secrets?.service.changed('policies');
    return true;
  }

  #sayHealth(): void {
    this.#health.serving = this.#listening && this.#state.known !== null;
  }

  #tell(event: SecretEvent): void {
    switch (event.kind) {
      case 'peer-refused':
        this.#journal.notice('warn', 'sds.peer-refused', 'somebody asked for private keys who may not have them', {
          identities: event.identities,
        });
        break;
      case 'rejected':
        this.#journal.notice('warn', 'sds.rejected', `Envoy could not use a certificate: ${event.message}`, {
          names: event.names,
        });
        break;
      case 'mint-failed':
        this.#journal.notice('error', 'sds.mint-failed', `no certificate for ${event.name}: ${event.message}`);
        break;
      case 'too-many-mints':
        this.#metrics.limited.inc({limit: 'sds.mintsPerSecond'});
        this.#journal.notice(
          'warn',
          'sds.too-many-mints',
          `more than ${event.perSecond} new names a second; some get no certificate for the moment`,
        );
        break;
      case 'too-many-streams':
        this.#journal.notice('error', 'sds.too-many-streams', `more than ${event.limit} streams; new ones are refused`);
        break;
    }
  }

  /** Unfinished messages are the one thing that clients can make us hold. */
  #watchMemory(): void {
    if (process.memoryUsage().arrayBuffers <= EXTAUTHZ_LIMITS.heldBytes) return;
    this.#metrics.limited.inc({limit: 'extauthz.heldBytes'});
    this.#journal.notice(
      'error',
      'extauthz.overloaded',
      'unfinished messages fill the memory; the connection that sent most is cut',
    );
    this.#checks.shed();
    this.#secrets?.listener.shed();
  }

  async metrics(): Promise<object> {
    this.#metrics.connections.set({kind: 'extauthz'}, this.#checks.connections);
    if (this.#secrets !== null) {
      const {listener, service} = this.#secrets;
      const stats = service.stats();
      this.#metrics.connections.set({kind: 'sds'}, listener.connections);
      this.#metrics.leafMints.reset();
      this.#metrics.leafMints.inc(stats.minted);
      this.#metrics.held.set({what: 'sds.streams'}, stats.streams);
    }
    return this.#metrics.registry.getMetricsAsJSON();
  }

  get port(): number {
    return this.#checks.port;
  }

  /** Not serving any more, then what runs finishes within the deadline, then gone. */
  async drain(deadlineMs: number): Promise<void> {
    this.#listening = false;
    this.#sayHealth();
    this.#health.close();
    this.#secrets?.service.close();
    await Promise.all([this.#checks.drain(deadlineMs), this.#secrets?.listener.drain(deadlineMs)]);
    this.close();
  }

  close(): void {
    if (this.#memory !== null) clearInterval(this.#memory);
    this.#handingOver?.close();
    this.#checks.close();
    this.#secrets?.listener.close();
    this.#secrets?.ca.close();
    this.#names.close();
    this.#limited.close();
    this.#lines.flush();
  }
}

function sayUnhonoured(filters: RunningFilters | null, journal: Journal): void {
  if (filters?.hasResponse === true)
    journal.notice(
      'warn',
      'filters.response-ignored',
      'a filter exports response(flow), which cannot run here: Envoy shows us no responses. Its request(flow) runs.',
    );
}
