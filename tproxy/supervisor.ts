/** The supervisor reads the files, owns the capture and the admin port, and keeps the workers alive and of one mind. */
import {existsSync, readFileSync} from 'node:fs';
import type {Server} from 'node:http';
import {isDeepStrictEqual} from 'node:util';
import {openCa, publishTrust} from '../pki/index.ts';
import {formatFinding, type UpstreamProxyDocument} from '../policy/index.ts';
import {keepCodeCache} from '../runtime/code-cache.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {Journal} from '../runtime/journal.ts';
import {createMetrics, exposition} from '../runtime/metrics.ts';
import {parseCertificates} from '../runtime/pem.ts';
import {watchPaths} from '../runtime/watch.ts';
import {startAdmin} from '../runtime/admin.ts';
import type {State} from './messages.ts';
import {startNodeCapture, type NodeCapture} from './node-capture.ts';
import {changingCidrs, isOwnAddress} from '../runtime/own-addresses.ts';
import {PolicyStore, requireGood, type PolicyLoad} from '../sources/policy-store.ts';
import {resolveParents, type MissingRef} from '../sources/refs.ts';
import type {TproxyConfig} from './settings.ts';
import {Workers} from './workers.ts';
import {readWorkloads, type WorkloadEntry} from '../sources/workload-table.ts';

/** How often the node's own addresses are looked at: a floating address is nobody's destination a moment after it came. */
const OWN_ADDRESSES_MS = 500;

export class Supervisor {
  readonly #config: TproxyConfig;
  readonly #journal: Journal;
  readonly #metrics = createMetrics();
  readonly #policies: PolicyStore;
  #load: PolicyLoad;
  #workloads: readonly WorkloadEntry[];
  #workloadsError: string | null = null;
  #ownCidrs = changingCidrs();
  #addressClock: NodeJS.Timeout | null = null;
  #missingRefs: readonly MissingRef[] = [];
  #version = 0;
  #state: State;
  #workers!: Workers;
  #capture: NodeCapture | null = null;
  #admin: Server | null = null;
  #watches: readonly {close(): void}[] = [];
  #draining = false;

  private constructor(config: TproxyConfig, journal: Journal) {
    this.#config = config;
    this.#journal = journal;
    this.#policies = new PolicyStore(config.policyPaths, config.installation.clusterDomain);
    this.#load = this.#policies.load();
    this.#workloads = config.workloadsFile === null ? [] : readWorkloads(config.workloadsFile);
    this.#state = this.#nextState();
  }

  /** Brings everything up, in the order in which a hole can not open: listeners before the capture, both before ready. */
  static async start(config: TproxyConfig, journal: Journal): Promise<Supervisor> {
    if (config.upstreamCaFile !== null) requireCertificates('--upstream-ca', config.upstreamCaFile);
    if (config.filtersDir !== null && !existsSync(config.filtersDir))
      throw new SallyportError(
        'FiltersUnreadable',
        `--filters ${config.filtersDir} is not there`,
        'Give --filters a directory of .js, .mjs or .ts modules.',
      );
    let running: Supervisor | null = null;
    const missed = new Set<Watched>();
    // Watched before it is read: what changes between the first reading and the end of the start is not lost.
    const watches = watchFiles(config, (what) => {
      if (running === null) missed.add(what);
      else running.#reload(what);
    });
    await Promise.all(watches.map(({ready}) => ready));
    try {
      const supervisor = new Supervisor(config, journal);
      supervisor.#watches = watches;
      await supervisor.#bringUp();
      running = supervisor;
      keepCodeCache();
    } catch (error) {
      for (const watch of watches) watch.close();
      throw error;
    }
    for (const what of missed) running.#reload(what);
    return running;
  }

  async #bringUp(): Promise<void> {
    const config = this.#config;
    requireGood(this.#load, formatFinding);
    // Made here once, so that workers that start together find the same keys.
    publishTrust({
      dir: config.caDir,
      ca: openCa({dir: config.caDir}),
      // What `tls` rules pass through shows its own certificates: pods need the roots that we verify with.
      extra: config.upstreamCaFile === null ? [] : [readFileSync(config.upstreamCaFile, 'utf8')],
    });
    this.#sayLoad();
    if (config.capture === 'node' && config.installation.podCidrs.length === 0)
      this.#journal.notice(
        'warn',
        'tproxy.no-pod-cidr',
        'no --pod-cidr: a pod that a rule lets reach a pod which is not in the workload table is seen there as the node; name the pod addresses',
      );
    this.#workers = new Workers(config, this.#state, this.#journal, () => this.#metrics.workerRestarts.inc());
    this.#admin = await startAdmin(config.admin, {
      isLocal: isOwnAddress,
      readiness: () => this.readiness(),
      metrics: async () => exposition([...(await this.#workers.metrics()), await this.#ownMetrics()]),
    });
    try {
      await this.#workers.start();
      if (config.capture === 'node')
        this.#capture = await startNodeCapture(config, this.#load.documents, this.#workloads, this.#journal, () =>
          this.#lookAtAddresses(),
        );
    } catch (error) {
      this.#admin.close();
      await this.#workers.drain(0);
      throw error;
    }
    this.#addressClock = setInterval(() => this.#lookAtAddresses(), OWN_ADDRESSES_MS);
    this.#journal.notice(
      'info',
      'tproxy.listening',
      `captured ${where(config.listen)}, explicit ${where(config.explicit)}, admin ${where(config.admin)}, ${config.workers} workers, capture ${config.capture}`,
    );
  }

  /** The detail of /readyz. A failed reload shows, but what is in force still guards: it stays ready. */
  readiness(): {ready: boolean; [detail: string]: unknown} {
    const workers = this.#workers;
    const errors = this.#load.findings.filter((finding) => finding.severity === 'error');
    const ready =
      !this.#draining && workers.listening > 0 && (this.#config.capture === 'none' || this.#capture !== null);
    return {
      ready,
      draining: this.#draining,
      workers: {wanted: this.#config.workers, listening: workers.listening, current: workers.current},
      policies: {
        version: this.#version,
        documents: this.#state.documents.length,
        lastLoad:
          errors.length === 0 && this.#load.unreadable.length === 0
            ? 'ok'
            : 'failed: the last good documents stay in force',
        findings: this.#load.findings.map(formatFinding),
        unreadable: this.#load.unreadable,
      },
      workloads: {count: this.#workloads.length, lastLoad: this.#workloadsError ?? 'ok'},
      missingRefs: this.#missingRefs,
      capture: this.#capture === null ? this.#config.capture : this.#capture.status(),
    };
  }

  #nextState(): State {
    const proxies = this.#load.documents.filter(
      (document): document is UpstreamProxyDocument => document.kind === 'UpstreamProxy',
    );
    const {parents, missing} = resolveParents(proxies, this.#config.refsDir);
    this.#missingRefs = missing;
    const {documents} = this.#load;
    return {version: ++this.#version, documents, workloads: this.#workloads, parents, ownCidrs: this.#ownCidrs};
  }

  /** The nodes' class (POLICY.md) holds this node's addresses as they are: a floating one or a CNI's bridge comes later than we do. */
  #lookAtAddresses(): void {
    const now = changingCidrs();
    if (isDeepStrictEqual(now, this.#ownCidrs)) return;
    this.#ownCidrs = now;
    this.#journal.notice('info', 'node.addresses', `the node's own addresses are now ${now.join(', ')}`);
    this.#publish();
  }

  #reload(what: Watched): void {
    switch (what) {
      case 'policies':
        this.#reloadPolicies();
        break;
      case 'workloads':
        this.#reloadWorkloads();
        break;
      case 'refs':
        this.#publish();
        break;
    }
  }

  #reloadPolicies(): void {
    this.#load = this.#policies.load();
    this.#sayLoad();
    this.#publish();
  }

  #reloadWorkloads(): void {
    try {
      this.#workloads = readWorkloads(this.#config.workloadsFile!);
      this.#workloadsError = null;
      this.#journal.notice('info', 'workloads.loaded', `${this.#workloads.length} workloads in the table`);
    } catch (error) {
      this.#workloadsError = error instanceof SallyportError ? error.describe() : String(error);
      this.#journal.notice('error', 'workloads.failed', `${this.#workloadsError} The last good table stays in force.`);
      return;
    }
    this.#publish();
  }

  #publish(): void {
    this.#state = this.#nextState();
    for (const ref of this.#missingRefs)
      this.#journal.notice('warn', 'refs.missing', `UpstreamProxy ${ref.proxy} cannot be used: ${ref.message}`);
    this.#workers.apply(this.#state);
    this.#capture?.update(this.#load.documents, this.#workloads);
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

  async #ownMetrics(): Promise<object> {
    this.#metrics.workloads.set(this.#workloads.length);
    for (const [counter, packets] of (await this.#capture?.counters()) ?? [])
      this.#metrics.capturePackets.set({counter}, packets);
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
    for (const watch of this.#watches) watch.close();
    if (this.#addressClock !== null) clearInterval(this.#addressClock);
    await this.#workers.drain(deadlineMs);
    await this.#capture?.close();
    this.#admin?.close();
    this.#admin?.closeAllConnections();
  }
}

type Watched = 'policies' | 'workloads' | 'refs';

function watchFiles(config: TproxyConfig, changed: (what: Watched) => void): ReturnType<typeof watchPaths>[] {
  const {policyPaths, workloadsFile, refsDir} = config;
  const watches = [watchPaths(policyPaths, () => changed('policies'))];
  if (workloadsFile !== null) watches.push(watchPaths([workloadsFile], () => changed('workloads')));
  if (refsDir !== null) watches.push(watchPaths([refsDir], () => changed('refs')));
  return watches;
}

const where = (listen: {ip: string | null; port: number}): string => `${listen.ip ?? '*'}:${listen.port}`;

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
