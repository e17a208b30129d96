/** A worker: one process with listeners of its own, put together here from the parts; fed whole states by the supervisor. */
import {readFileSync} from 'node:fs';
import {createServer, type Server, type Socket} from 'node:net';
import {hostname} from 'node:os';
import {isDeepStrictEqual} from 'node:util';
import {createLeafSource, watchCa, type MintingLeafSource} from '../pki/index.ts';
import {compilePolicies, decide, inAnyCidr, type Address, type PolicySet, type Workload} from '../policy/index.ts';
import {keepCodeCache} from '../runtime/code-cache.ts';
import {SallyportError} from '../runtime/errors.ts';
import {DenialTally, handOver, tallyingJournal} from '../runtime/denials.ts';
import {createJsonJournal, createTextJournal, type Journal} from '../runtime/journal.ts';
import {limitJournal, type LimitedJournal} from '../runtime/journal-limits.ts';
import {countingJournal, createMetrics} from '../runtime/metrics.ts';
import {createLineWriter} from '../runtime/output.ts';
import {cannotListen, type Listen} from '../runtime/listen.ts';
import {VERSION} from '../runtime/version.ts';
import {connectTransparent, fdOf, listenTransparent, originalDestination, reset} from './capture/sockets.ts';
import {DescriptorWatch} from './descriptors.ts';
import type {FilterOptions, RunningFilters} from '../filters/index.ts';
import {holdOf} from './hold.ts';
import type {State, ToSupervisor, ToWorker} from './messages.ts';
import type {WorkerMtls} from './mtls/worker.ts';
import {ownListener} from '../runtime/own-addresses.ts';
import type {ParentProxy} from '../sources/refs.ts';
import {createRelay, type Relay} from './relay/index.ts';
import type {TproxyConfig} from './settings.ts';
import {createResolver, type Resolver} from '../dns/resolver.ts';
import {hostPort} from './upstream/failures.ts';
import {createUpstream, type OwnedUpstream} from './upstream/index.ts';
import {indexWorkloads} from '../sources/workload-table.ts';

/** Connections that wait to be accepted, in the kernel. */
const BACKLOG = 4096;
/** Destinations that must see the pod and not the node, beside the installation's own ranges (DESIGN §4, no deputy). */
const LINK_LOCAL = ['169.254.0.0/16', 'fe80::/10'];

/** One line of each kind of trouble in this time. */
const NOTICE_EVERY_MS = 10_000;

const tell = (message: ToSupervisor): void => void process.send?.(message);

class Worker {
  readonly #config: TproxyConfig;
  #policies!: PolicySet | 'not-loaded';
  #workloads!: ReadonlyMap<Address, Workload>;
  #mustUseOwnAddress!: (address: Address) => boolean;
  #parents: ReadonlyMap<string, ParentProxy> = new Map();
  readonly #metrics = createMetrics();
  readonly #lines = createLineWriter(1, {
    lost: (lines) => this.#metrics.droppedLogLines.inc(lines),
    again: (lines) => this.#journal.notice('error', 'log.dropped', `${lines} log lines were lost`),
  });
  readonly #limited: LimitedJournal;
  readonly #journal: Journal;
  readonly #names: Resolver;
  readonly #relay: Relay;
  readonly #upstream: OwnedUpstream;
  readonly #leaves: MintingLeafSource;
  readonly descriptors: DescriptorWatch;
  #acceptFailedAt = -NOTICE_EVERY_MS;
  readonly #capturedServers: Server[] = [];
  readonly #explicitServers: Server[] = [];
  #mtls: WorkerMtls | null = null;

  constructor(config: TproxyConfig, state: State, filtersOf: (journal: Journal) => RunningFilters | null) {
    this.#config = config;
    this.#adopt(state);
    const {installation, resolver} = config;
    const colours = process.stdout.isTTY || process.env['FORCE_COLOR'] === '1';
    const journal =
      config.logFormat === 'json' ? createJsonJournal(this.#lines) : createTextJournal(this.#lines, colours);
    this.#limited = limitJournal(journal, {
      limits: {linesPerSecond: config.logLinesPerSecond},
      onSuppressed: (lines) => this.#metrics.suppressedLogLines.inc(lines),
    });
    const counting = countingJournal(this.#limited, this.#metrics);
    const tally = new DenialTally();
    this.#journal = config.source.kind === 'cluster' ? tallyingJournal(counting, tally) : counting;
    handOver(tally, (denials) => tell({kind: 'denials', ...denials}));
    this.descriptors = new DescriptorWatch(this.#journal);
    const isOwnListener = ownListener(installation.ownPorts);
    const ca = watchCa({
      dir: config.caDir,
      awaited: config.source.kind === 'cluster' && config.capture !== 'pod',
      // Leaves of the one before are not shown any more; the supervisor says what happens in the directory.
      onReplaced: () => undefined,
      onFailed: () => undefined,
    });
    this.#leaves = createLeafSource({ca});
    this.#names = createResolver({
      server: resolver === null ? null : hostPort(resolver.ip, resolver.port),
      onNotice: (event, message) => this.#journal.notice('warn', event, message),
    });
    this.#upstream = createUpstream({
      resolver: this.#names,
      proxy: (name) => this.#parents.get(name),
      upstreamCa: config.upstreamCaFile === null ? null : readFileSync(config.upstreamCaFile, 'utf8'),
      isOwnListener,
      // Inside a pod every address of ours is the pod's: what may be wrapped is asked of mTLS all the same.
      mustUseOwnAddress: (address) =>
        config.capture === 'pod'
          ? this.#mtls !== null
          : this.#mustUseOwnAddress(address) || this.#mtls?.isPeer(address) === true,
      connectTransparent:
        config.capture === 'node' || (config.capture === 'pod' && config.mtls !== null)
          ? (options) => (this.#mtls === null ? connectTransparent(options) : this.#mtls.dial(options))
          : null,
      ...(config.capture === 'node' && config.mtls !== null
        ? {connectAsNode: (options) => this.#mtls!.dialAsNode(options)}
        : {}),
    });
    this.#relay = createRelay({
      policies: () => this.#policies,
      decide,
      workloadAt: (ip) => this.#workloads.get(ip) ?? 'unknown',
      known: (of) => this.#names.known(of),
      resolve: (of, recent, done, owner) => this.#names.lookup(of, recent, done, owner),
      leaves: this.#leaves,
      upstream: this.#upstream,
      filters: filtersOf(this.#journal),
      journal: this.#journal,
      isOwnListener,
      count: (event) => this.#metrics.relayEvent(event),
      limited: (limit) => this.#metrics.limited.inc({limit}),
      proof: (workload) => {
        const {namespace, name, uid, node} = workload;
        const hold = holdOf(this.#policies, workload);
        return {pod: {namespace, name, uid}, node: node ?? hostname(), hold, version: VERSION};
      },
    });
  }

  /** Ready to listen: with its filters loaded. Throws SallyportError `FilterNotLoaded` ... */
  static async make(config: TproxyConfig, state: State): Promise<Worker> {
    const {filtersDir: dir, filterTimeoutMs: timeoutMs} = config;
    // Loaded only where there are filters: most installations have none, and start-up is what an upgrade costs.
    const {createFilters} = dir === null ? {createFilters: null} : await import('../filters/index.ts');
    let filters: RunningFilters | null = null;
    const worker = new Worker(config, state, (journal) => {
      if (createFilters === null || dir === null) return null;
      const onNotice: FilterOptions['onNotice'] = (level, event, message) => journal.notice(level, event, message);
      return (filters = createFilters({dir, timeoutMs, onNotice}));
    });
    await (filters as RunningFilters | null)?.ready;
    if (config.mtls !== null && state.mtls !== null) {
      const [{WorkerMtls}, {IN_POD, ON_NODE}] = await Promise.all([
        import('./mtls/worker.ts'),
        import('./mtls/place.ts'),
      ]);
      const place = config.capture === 'pod' ? IN_POD : ON_NODE;
      const count = (event: string): void => worker.#metrics.relayEvent(event);
      worker.#mtls = new WorkerMtls(config.mtls, state.mtls, worker.#journal, count, place);
    }
    return worker;
  }

  /** Listens, or throws SallyportError `PortInUse`, `MissingCapability` ... */
  async listen(): Promise<void> {
    const {listen, explicit, capture} = this.#config;
    // Without capture nothing is handed over, and a transparent socket would need a capability that nobody has given us.
    if (capture !== 'none')
      await this.#accept('--listen', listen, this.#capturedServers, (socket) => this.#captured(socket));
    await this.#mtls?.listen((error) => this.#acceptFailed(error));
    await this.#accept('--explicit', explicit, this.#explicitServers, (socket) => this.#relay.explicit(socket));
  }

  #captured(socket: Socket): void {
    if (this.#config.intercept === 'tproxy') {
      this.#relay.captured(socket);
      return;
    }
    const fd = fdOf(socket);
    const original = fd === null ? null : originalDestination(fd, socket.remoteFamily === 'IPv6' ? 6 : 4);
    // Nobody redirected it: it was dialled straight to our own port.
    if (original === null) reset(socket);
    else this.#relay.captured(socket, original);
  }

  async #accept(flag: string, listen: Listen, servers: Server[], accept: (socket: Socket) => void): Promise<void> {
    const transparent = this.#config.intercept === 'tproxy';
    for (const ip of listen.ip === null ? ['0.0.0.0', '::'] : [listen.ip]) {
      const server = createServer({allowHalfOpen: true, noDelay: true}, accept);
      await new Promise<void>((resolve, reject) => {
        const failed = (error: Error): void =>
          reject(error instanceof SallyportError ? error : cannotListen(flag, {ip, port: listen.port}, error));
        server.once('error', failed);
        if (servers === this.#capturedServers)
          server.listen(
            {fd: listenTransparent({ip, port: listen.port, transparent, reusePort: true, backlog: BACKLOG})},
            resolve,
          );
        else
          server.listen(
            {host: ip, port: listen.port, reusePort: true, ipv6Only: ip === '::', backlog: BACKLOG},
            resolve,
          );
      });
      // What cannot be accepted is the client's loss, not ours.
      server.on('error', (error) => this.#acceptFailed(error));
      servers.push(server);
    }
  }

  #acceptFailed(error: Error): void {
    const now = performance.now();
    if (now - this.#acceptFailedAt < NOTICE_EVERY_MS) return;
    this.#acceptFailedAt = now;
    this.#journal.notice('error', 'worker.accept-failed', `a connection could not be accepted: ${error.message}`);
  }

  #adopt(state: State): void {
    const {serviceCidrs, podCidrs, nodeCidrs: configured} = this.#config.installation;
    const nodeCidrs = [...new Set([...configured, ...state.ownCidrs])];
    const {known} = state;
    this.#policies =
      known === null
        ? 'not-loaded'
        : compilePolicies(known.documents, {...this.#config.installation, nodeCidrs}, known.notLoaded);
    const inside = inAnyCidr([...serviceCidrs, ...podCidrs, ...nodeCidrs, ...LINK_LOCAL]);
    // A pod of the table is a pod, whether --pod-cidr holds it or not.
    this.#mustUseOwnAddress = (address) => inside(address) || this.#workloads.has(address);
    this.#workloads = indexWorkloads(known?.workloads ?? []);
    // Upstream keeps what it knows of a parent as long as it is the same object.
    const before = this.#parents;
    this.#parents = new Map(
      state.parents.map((parent) => {
        const known = before.get(parent.name);
        return [parent.name, known !== undefined && isDeepStrictEqual(known, parent) ? known : parent];
      }),
    );
  }

  /** Takes over the whole new state; if it cannot be compiled, the last good one stays in force. */
  apply(state: State): void {
    try {
      this.#adopt(state);
    } catch (error) {
      this.#journal.notice(
        'error',
        'policy.failed',
        `the new state cannot be compiled, the last one stays: ${String(error)}`,
      );
      return;
    }
    if (state.mtls !== null) this.#mtls?.apply(state.mtls);
    this.#relay.workloadsChanged();
    this.#relay.policiesChanged();
    this.#upstream.closeIdle();
    tell({kind: 'applied', version: state.version});
  }

  async metrics(): Promise<object> {
    this.#metrics.connections.set({kind: 'client'}, this.#relay.connections());
    const {cached, minted} = this.#leaves.stats();
    const {idle, active, sessions, replayBytes} = this.#upstream.counts();
    const legs = {idleLegs: idle, activeLegs: active, upstreamSessions: sessions, replayBytes};
    const held = {...this.#relay.held(), ...legs, leaves: cached, names: this.#names.cached()};
    for (const [what, value] of Object.entries(held)) this.#metrics.held.set({what}, value);
    const {rss, heapUsed, arrayBuffers} = process.memoryUsage();
    this.#metrics.memory.set({kind: 'resident'}, rss);
    this.#metrics.memory.set({kind: 'heap_used'}, heapUsed);
    this.#metrics.memory.set({kind: 'buffers'}, arrayBuffers);
    this.#metrics.leafMints.reset();
    this.#metrics.leafMints.inc(minted);
    return this.#metrics.registry.getMetricsAsJSON();
  }

  /**
   * Lets what runs finish within the deadline, and is gone. While an old connection keeps us, new ones are served, for half of
   * the time. After that captured SYNs are dropped, so that those wait for our successor; on the explicit port they are refused.
   */
  async drain(deadlineMs: number): Promise<void> {
    this.#mtls?.stopListening();
    this.#relay.drain(deadlineMs);
    const started = performance.now();
    const within = (ms: number): boolean => performance.now() - started < ms;
    while (this.#relay.undrained() > 0 && within(deadlineMs / 2)) await drainPoll();
    for (const server of this.#capturedServers) server.close();
    while (this.#relay.connections() + (this.#mtls?.connections() ?? 0) > 0 && within(deadlineMs)) {
      if (!within(deadlineMs / 2)) for (const server of this.#explicitServers.splice(0)) server.close();
      await drainPoll();
    }
    this.close();
  }

  close(): void {
    this.#relay.close();
    this.#mtls?.close();
    this.#limited.close();
    this.#lines.flush();
    process.exit(0);
  }
}

const DRAIN_POLL_MS = 20;
const drainPoll = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));

// The supervisor decides when we end: a Ctrl-C on the terminal reaches the whole process group.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

let worker: Worker | null = null;
/** The newest state that came while the worker was starting: it must not serve by an older one. */
let cameMeanwhile: State | null = null;
process.on('disconnect', () => (worker === null ? process.exit(0) : worker.close()));
process.on('message', (message: ToWorker) => void receive(message));

async function receive(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case 'start':
      try {
        worker = await Worker.make(message.config, message.state);
        if (cameMeanwhile !== null) worker.apply(cameMeanwhile);
        await worker.listen();
        tell({kind: 'listening'});
        keepCodeCache();
      } catch (error) {
        tell({
          kind: 'failed',
          message: error instanceof SallyportError ? error.describe() : String((error as Error).stack),
        });
        process.disconnect();
      }
      break;
    case 'state':
      if (worker === null) cameMeanwhile = message.state;
      else worker.apply(message.state);
      break;
    case 'metrics':
      if (worker !== null) tell({kind: 'metrics', question: message.question, metrics: await worker.metrics()});
      break;
    case 'ping':
      tell({kind: 'pong'});
      worker?.descriptors.look();
      break;
    case 'drain':
      if (worker === null) process.exit(0);
      await worker.drain(message.deadlineMs);
      break;
  }
}
