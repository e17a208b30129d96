/** The capture as the supervisor runs it: workloads and policies in, members of the ruleset's sets out. */
import {readFileSync} from 'node:fs';
import {compilePolicies, modesSelecting, type Endpoint, type Installation, type PolicySet} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {Journal} from '../runtime/journal.ts';
import {TPROXY_ROUTE_TABLE} from '../runtime/names.ts';
import {createCapture, type CaptureStatus, type NodeRules} from './capture/apply.ts';
import type {CaptureConfig, Member} from './capture/config.ts';
import {DEFAULT_MARKS} from './capture/marks.ts';
import type {TproxyConfig} from './settings.ts';
import type {Known} from '../sources/knowledge.ts';

/** Before the main table's rule (32766) and those of the usual CNIs (from 100 on). */
const RULE_PRIORITY = 90;

/** What /readyz says of the capture. */
export type Health = CaptureStatus & {
  /** The kernel holds every workload that was known when it started. */
  readonly started: boolean;
  /** The kernel has what the last update() said, or it failed for good. */
  readonly current: boolean;
};

/** A start that failed (a tool is missing, the kernel refuses) is tried again: a node may get what it lacks. */
const START_AGAIN_MS = 5_000;

export class NodeCapture {
  readonly #config: TproxyConfig;
  readonly #journal: Journal;
  readonly #rules: NodeRules;
  readonly #policies = new CompiledOnce();
  #started = false;
  #updating = 0;
  #again: NodeJS.Timeout | null = null;

  /** `onAddresses` is told as soon as the kernel says that the node's own addresses change. */
  constructor(config: TproxyConfig, journal: Journal, onAddresses: () => void) {
    this.#config = config;
    this.#journal = journal;
    this.#rules = createCapture({
      config: captureConfig(config),
      onNotice: (level, event, message) => journal.notice(level, event, message),
      onAddresses,
    });
  }

  /** Puts the rules in force; resolves when every workload is held. Throws SallyportError with what is missing. */
  async start(known: Known): Promise<void> {
    await this.#rules.start(this.#members(known));
    this.#started = true;
  }

  /** Follows a change, and starts with the first one; what fails is said in the journal, and the former members stay held. */
  update(known: Known): void {
    if (this.#again !== null) clearTimeout(this.#again);
    this.#again = null;
    this.#updating++;
    const done = this.#started ? this.#rules.update(this.#members(known)) : this.start(known);
    done.catch((error: Error) => this.#failed(error, known)).finally(() => this.#updating--);
  }

  status(): Health {
    return {...this.#rules.status(), started: this.#started, current: this.#updating === 0};
  }

  counters(): Promise<Map<string, number>> {
    return this.#rules.counters();
  }

  /** Stops watching; the rules stay. */
  async close(): Promise<void> {
    if (this.#again !== null) clearTimeout(this.#again);
    await this.#rules.close();
  }

  #failed(error: Error, known: Known): void {
    const message = error instanceof SallyportError ? error.describe() : error.message;
    this.#journal.notice('error', 'capture.failed', `${message} The former members stay held.`);
    if (!this.#started) this.#again ??= setTimeout(() => this.update(known), START_AGAIN_MS);
  }

  #members(known: Known): Member[] {
    return members(known, this.#policies.of(known, this.#config.installation));
  }
}

/** Pods come and go far more often than policies change. */
class CompiledOnce {
  #documents: Known['documents'] | null = null;
  #notLoaded: Known['notLoaded'] = [];
  #compiled!: PolicySet;

  of({documents, notLoaded}: Known, installation: Installation): PolicySet {
    if (documents !== this.#documents || notLoaded !== this.#notLoaded)
      this.#compiled = compilePolicies(documents, installation, notLoaded);
    this.#documents = documents;
    this.#notLoaded = notLoaded;
    return this.#compiled;
  }
}

/** What the rules are a function of, beside their members. */
export function captureConfig(config: TproxyConfig): CaptureConfig {
  const {installation} = config;
  return {
    intercept: config.intercept,
    capturedPort: config.listen.port,
    explicitPort: config.explicit.port,
    closedPorts: installation.ownPorts.filter((port) => port !== config.explicit.port),
    resolvers: config.resolver === null ? systemResolvers() : [config.resolver],
    nodeCidrs: installation.nodeCidrs,
    nat64Prefixes: installation.nat64Prefixes,
    podInterfaces: [],
    marks: DEFAULT_MARKS,
    routeTable: TPROXY_ROUTE_TABLE,
    rulePriority: RULE_PRIORITY,
  };
}

/** The servers of /etc/resolv.conf: what our own resolver asks where none is named. */
function systemResolvers(): Endpoint[] {
  const lines = readFileSync('/etc/resolv.conf', 'utf8').split('\n');
  const servers = lines.flatMap((line) => {
    const [keyword, ip] = line.trim().split(/\s+/);
    return keyword === 'nameserver' && ip !== undefined ? [{ip, port: 53}] : [];
  });
  if (servers.length === 0)
    throw new SallyportError(
      'NoResolver',
      '/etc/resolv.conf names no server',
      'Name the resolver with --resolver ADDR.',
    );
  return servers;
}

/** A workload that only Audit policies select is captured, not locked; every other one is locked (DESIGN §4). Pure. */
export function members({workloads}: Known, policies: PolicySet): Member[] {
  return workloads.flatMap(({workload, ips, interface: name}) => {
    const modes = modesSelecting(policies, workload);
    const mode = modes.has('Audit') && !modes.has('Enforce') ? 'captured' : 'locked';
    return ips.map((ip) => ({ip, interface: name, mode, uid: workload.uid}) as const);
  });
}
