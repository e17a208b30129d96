/** The supervisor knows policies and workloads, owns the capture and the admin port, and keeps the workers alive and of one mind. */
import {existsSync, readFileSync} from 'node:fs';
import type {Server} from 'node:http';
import {hostname} from 'node:os';
import {openKnowledge, openPeers, openRefs} from '../cluster/open.ts';
import {openRoleCa, type RoleCa, type RoleCaOptions} from '../cluster/node-ca/open.ts';
import type {NodeReport} from '../cluster/node-report/report.ts';
import type {OwnNode} from '../cluster/own-node.ts';
import {openTelling, type Telling} from '../cluster/telling.ts';
import type {UpstreamProxyDocument} from '../policy/index.ts';
import {startAdmin} from '../runtime/admin.ts';
import {keepCodeCache} from '../runtime/code-cache.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {Journal} from '../runtime/journal.ts';
import {listenText} from '../runtime/listen.ts';
import {createMetrics, exposition, type Metrics} from '../runtime/metrics.ts';
import {isOwnAddress} from '../runtime/own-addresses.ts';
import {OwnCidrs} from '../runtime/own-cidrs.ts';
import {parseCertificates} from '../runtime/pem.ts';
import {VERSION} from '../runtime/version.ts';
import type {KnowledgeSource} from '../sources/knowledge.ts';
import type {Peers} from '../sources/peers.ts';
import {refsOf, resolveParents, type MissingRef, type Refs} from '../sources/refs.ts';
import type {State} from './messages.ts';
import {showCapture} from './capture-metrics.ts';
import {NodeMtls, type RunningMtls} from './mtls/node.ts';
import {PodMtls} from './mtls/pod.ts';
import {NodeCapture} from './node-capture.ts';
import {nodeReport} from './node-report.ts';
import {shareTrust} from './pod-trust.ts';
import {readinessOf, type Readiness} from './readiness.ts';
import type {TproxyConfig} from './settings.ts';
import {Workers} from './workers.ts';

export class Supervisor {
  readonly #config: TproxyConfig;
  readonly #journal: Journal;
  readonly #metrics: Metrics;
  readonly #source: KnowledgeSource;
  readonly #ownCidrs = new OwnCidrs();
  readonly #capture: NodeCapture | null;
  #node: OwnNode | null = null;
  #telling: Telling | null = null;
  #ca: RoleCa | null = null;
  #mtls: RunningMtls | null = null;
  readonly #refs: Refs;
  /** Policies, workloads and what they name have been told. */
  #whole = false;
  #missingRefs: readonly MissingRef[] = [];
  #saidMissing: ReadonlySet<string> = new Set();
  #version = 0;
  #state: State;
  #workers: Workers;
  #admin: Server | null = null;
  /** Before that, changes are only remembered: the workers have not begun. */
  #up = false;
  #missed = false;
  #draining = false;

  private constructor(config: TproxyConfig, journal: Journal, metrics: Metrics, source: KnowledgeSource, refs: Refs) {
    this.#config = config;
    this.#journal = journal;
    this.#metrics = metrics;
    this.#source = source;
    this.#refs = refs;
    this.#capture = config.capture === 'node' ? new NodeCapture(config, journal, this.#ownCidrs) : null;
    this.#state = this.#nextState();
    this.#workers = new Workers(config, this.#state, journal, () => metrics.workerRestarts.inc());
  }

  /**
   * Brings everything up, in the order in which a hole can not open: listeners before the capture, both before ready. Where
   * the source is not whole yet it resolves without the capture, which begins with the first whole state: until then what an
   * earlier run left in the kernel stays as it was.
   */
  static async start(config: TproxyConfig, journal: Journal): Promise<Supervisor> {
    requireFiles(config);
    const metrics = createMetrics();
    const {clusterDomain} = config.installation;
    const source = await openKnowledge(config.source, {node: config.nodeName, clusterDomain, journal, metrics});
    const refs = await openRefs(config.source, journal);
    const supervisor = new Supervisor(config, journal, metrics, source, refs);
    try {
      await supervisor.#bringUp();
    } catch (error) {
      supervisor.#unwatch();
      throw error;
    }
    keepCodeCache();
    return supervisor;
  }

  async #bringUp(): Promise<void> {
    const config = this.#config;
    // Watched before anything is started: what changes meanwhile is not lost.
    await this.#source.watch(() => this.#publish());
    await this.#refs.watch(() => this.#publish());
    await this.#openMtls();
    const shared = (): void => {
      if (config.trustDir !== null) shareTrust(config.caDir, config.trustDir);
    };
    // Made here once, so that workers that start together find the same keys; from the cluster it may come later.
    this.#ca = await openRoleCa({
      ...{dir: config.caDir, cluster: clusterOf(config), upstreamCaFile: config.upstreamCaFile},
      ...{journal: this.#journal, onReplaced: shared},
    });
    shared();
    if (config.capture === 'node' && config.installation.podCidrs.length === 0)
      this.#journal.notice(
        'warn',
        'tproxy.no-pod-cidr',
        'no --pod-cidr: a pod that a rule lets reach a pod which is not in the workload table is seen there as the node; name the pod addresses',
      );
    this.#admin = await startAdmin(config.admin, {
      isLocal: isOwnAddress,
      readiness: () => this.readiness(),
      metrics: async () => exposition([...(await this.#workers.metrics()), await this.#ownMetrics()]),
    });
    try {
      await this.#workers.start();
      const {known} = this.#state;
      if (known === null) await this.#capture?.lockUnknown();
      else await this.#capture?.start(known);
      // Its packets are led to us by the capture's routes.
      if (this.#state.mtls !== null) await this.#mtls?.enforce(this.#state.mtls);
    } catch (error) {
      this.#admin.close();
      await this.#workers.drain(0);
      throw error;
    }
    this.#up = true;
    await this.#beOnNode();
    await this.#beTold();
    if (this.#missed) this.#publish();
    this.#ownCidrs.watch((now) => {
      const message = `the node's own addresses are now ${now.join(', ')}`;
      this.#journal.notice('info', 'node.addresses', message);
      this.#publish();
    });
    this.#journal.notice(
      'info',
      'tproxy.listening',
      `captured ${listenText(config.listen)}, explicit ${listenText(config.explicit)}, admin ${listenText(config.admin)}, ${config.workers} workers, capture ${config.capture}`,
    );
  }

  async #openMtls(): Promise<void> {
    const {mtls, source, capture} = this.#config;
    if (mtls === null) return;
    const journal = this.#journal;
    const changed = (): void => this.#publish();
    if (capture === 'pod') this.#mtls = await PodMtls.open(mtls, journal, changed);
    else {
      const {peersFile} = mtls;
      const peers = (told: () => void): Promise<Peers | null> => openPeers(source, {peersFile, journal, changed: told});
      this.#mtls = await NodeMtls.open(mtls, journal, peers, changed);
    }
    // What the workers start with.
    this.#state = this.#nextState();
    this.#workers = new Workers(this.#config, this.#state, this.#journal, () => this.#metrics.workerRestarts.inc());
  }

  /** In a cluster: what the Node object says of us, and we of it. */
  async #beOnNode(): Promise<void> {
    const {source, nodeName} = this.#config;
    if (source.kind === 'files' || nodeName === null) return;
    const [{connectionOf}, {startOwnNode}] = await Promise.all([
      import('../cluster/connection.ts'),
      import('../cluster/own-node.ts'),
    ]);
    this.#node = startOwnNode({
      config: connectionOf(source.kubeconfig, process.env),
      name: nodeName,
      ready: () => this.readiness().ready,
      onPodCidrs: async (cidrs) => this.#capture?.podAddresses(cidrs),
      journal: this.#journal,
    });
  }

  /** In a cluster: denials on their pods, and what is in force on this node. */
  async #beTold(): Promise<void> {
    const {source, nodeName} = this.#config;
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    this.#telling = await openTelling(source, {
      role: 'tproxy',
      instance: nodeName ?? hostname(),
      ...{journal: this.#journal, metrics: this.#metrics},
      ...(nodeName === null ? {} : {look: () => this.#report(bootId)}),
    });
    this.#workers.onDenials = (denials) => this.#telling?.denied(denials);
  }

  /** null while workers or the kernel take over what is new. */
  #report(bootId: string): NodeReport | null {
    const {known} = this.#state;
    const status = this.#capture?.status();
    if (known === null || !this.#workers.current || status?.current === false) return null;
    const ready = this.readiness().ready && status?.inForce === true;
    const held = this.#capture?.held ?? [];
    return nodeReport({version: VERSION, bootId, ready, known, held, missingRefs: this.#missingRefs});
  }

  readiness(): Readiness {
    const {listening, current} = this.#workers;
    return readinessOf({
      draining: this.#draining,
      workers: {wanted: this.#config.workers, listening, current},
      // Where every pod is to be held, its addresses have to be known.
      known: this.#state.known !== null && (this.#config.posture !== 'all' || this.#node?.known === true),
      version: this.#version,
      source: this.#source.describe(),
      missingRefs: this.#missingRefs,
      caTrouble: this.#ca === null ? 'not opened yet' : this.#ca.trouble(),
      capture: this.#capture?.status() ?? null,
    });
  }

  #nextState(): State {
    const {known} = this.#source;
    const proxies = (known?.documents ?? []).filter(
      (document): document is UpstreamProxyDocument => document.kind === 'UpstreamProxy',
    );
    this.#refs.follow(proxies.flatMap(refsOf));
    const {parents, missing} = resolveParents(proxies, this.#refs);
    // At first a parent without its secret would answer 502 for want of a moment.
    // And where pods speak mTLS, a peer that is not known yet would be spoken to in plain.
    this.#whole ||=
      known !== null && this.#refs.settled && (this.#config.mtls === null || this.#mtls?.settled === true);
    this.#missingRefs = missing;
    const told = this.#whole ? known : null;
    const mtls = this.#mtls?.state(told?.workloads ?? null) ?? null;
    return {version: ++this.#version, known: told, parents, ownCidrs: this.#ownCidrs.now, mtls};
  }

  #publish(): void {
    if (!this.#up) {
      this.#missed = true;
      return;
    }
    this.#state = this.#nextState();
    this.#sayMissing();
    this.#workers.apply(this.#state);
    if (this.#state.known !== null) this.#capture?.update(this.#state.known);
    if (this.#state.mtls !== null) this.#mtls?.follow(this.#state.mtls);
    this.#telling?.changed();
  }

  #sayMissing(): void {
    const texts = this.#missingRefs.map((ref) => `UpstreamProxy ${ref.proxy} cannot be used: ${ref.message}`);
    // A pod that comes is no reason to repeat it.
    for (const text of texts.filter((one) => !this.#saidMissing.has(one)))
      this.#journal.notice('warn', 'refs.missing', text);
    this.#saidMissing = new Set(texts);
  }

  async #ownMetrics(): Promise<object> {
    const {documents, workloads} = this.#source.known ?? {documents: [], workloads: []};
    this.#metrics.policyDocuments.reset();
    for (const {kind} of documents) this.#metrics.policyDocuments.inc({kind});
    this.#metrics.workloads.set(workloads.length);
    for (const [counter, packets] of (await this.#capture?.counters()) ?? [])
      this.#metrics.capturePackets.set({counter}, packets);
    for (const [counter, packets] of (await this.#mtls?.counters()) ?? [])
      this.#metrics.capturePackets.set({counter}, packets);
    if (this.#capture !== null) showCapture(this.#capture.status(), this.#capture.census(), this.#metrics);
    this.#metrics.certificates.show('signing', this.#ca?.validity() ?? null);
    return this.#metrics.registry.getMetricsAsJSON();
  }

  /** Lines of this process's own journal; the workers count theirs. */
  logLinesLost(lines: number): void {
    this.#metrics.droppedLogLines.inc(lines);
  }

  /** Not ready any more, then drained, then gone. The ruleset stays: a proxy that is away means no egress, not open egress. */
  async stop(deadlineMs: number, why: string): Promise<void> {
    if (!this.#draining)
      this.#journal.notice('info', 'tproxy.draining', `${why}: requests may finish for ${deadlineMs / 1000} s`);
    this.#draining = true;
    this.#unwatch();
    await this.#workers.drain(deadlineMs);
    await this.#capture?.close();
    await this.#mtls?.close();
    this.#admin?.close();
    this.#admin?.closeAllConnections();
  }

  #unwatch(): void {
    this.#source.close();
    void this.#ca?.close();
    this.#node?.close();
    this.#telling?.stop();
    this.#refs.close();
    this.#ownCidrs.close();
  }
}

/** Whose intermediate we sign with: that of the node, unless we are in a pod, which believes nobody but us. */
function clusterOf({source, capture, nodeName}: TproxyConfig): RoleCaOptions['cluster'] {
  return source.kind === 'files' || capture === 'pod' ? null : {kubeconfig: source.kubeconfig, node: nodeName};
}

/** What flags name has to be there at the start. Throws SallyportError. */
function requireFiles({upstreamCaFile, filtersDir}: TproxyConfig): void {
  if (upstreamCaFile !== null) requireCertificates('--upstream-ca', upstreamCaFile);
  if (filtersDir !== null && !existsSync(filtersDir))
    throw new SallyportError(
      'FiltersUnreadable',
      `--filters ${filtersDir} is not there`,
      'Give --filters a directory of .js, .mjs or .ts modules.',
    );
}

function requireCertificates(flag: string, file: string): void {
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new SallyportError(
      'FileUnreadable',
      `${flag} ${file}: ${(cause as Error).message}`,
      `Give ${flag} a PEM file that can be read.`,
      {cause},
    );
  }
  parseCertificates(pem, `${flag} ${file}`);
}
