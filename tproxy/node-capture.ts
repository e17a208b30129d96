/** The capture as the supervisor runs it: workloads and policies in, members of the ruleset's sets out. */
import {readFileSync} from 'node:fs';
import {compilePolicies, type Endpoint, type Installation, type PolicySet} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {Journal} from '../runtime/journal.ts';
import {TPROXY_ROUTE_TABLE} from '../runtime/names.ts';
import type {OwnCidrs} from '../runtime/own-cidrs.ts';
import {createCapture, type CaptureStatus, type NodeRules} from './capture/apply.ts';
import {CniResults} from './capture/cni-results.ts';
import type {CaptureConfig, Member} from './capture/config.ts';
import {latching, members, type MemberRule} from './node-members.ts';
import {NodeState} from './node-state.ts';
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
  /** Why what must outlive us cannot be kept; null: it is. */
  readonly stateError: string | null;
};

/** A start that failed (a tool is missing, the kernel refuses) is tried again: a node may get what it lacks. */
const START_AGAIN_MS = 5_000;

export class NodeCapture {
  readonly #config: TproxyConfig;
  readonly #journal: Journal;
  readonly #own: OwnCidrs;
  readonly #rules: NodeRules;
  readonly #state: NodeState;
  readonly #rule: MemberRule;
  readonly #cniResults: CniResults | null;
  readonly #policies = new CompiledOnce();
  #known: Known | null = null;
  #lockedUnknown = false;
  #podCidrs: readonly string[];
  #started = false;
  #updating = 0;
  #held: readonly Member[] = [];
  /** What the kernel is to hold, whether or not it takes it. */
  #wanted: readonly Member[] = [];
  #again: NodeJS.Timeout | null = null;
  #stateError: string | null = null;

  /** `own`: the node's own addresses; looked at as soon as the kernel says that they change. Throws SallyportError `StateUnreadable`. */
  constructor(config: TproxyConfig, journal: Journal, own: OwnCidrs) {
    this.#config = config;
    this.#journal = journal;
    this.#own = own;
    this.#state = NodeState.keptIn(config.stateDir);
    this.#podCidrs = this.#state.memory.podCidrs;
    this.#cniResults = config.cniResultsDir === null ? null : new CniResults(config.cniResultsDir);
    this.#rule = {
      posture: config.posture,
      exempt: new Set(config.exemptNamespaces),
      latched: (uid) => this.#state.isLatched(uid),
    };
    this.#rules = createCapture({
      config: captureConfig(config),
      onNotice: (level, event, message) => journal.notice(level, event, message),
      onAddresses: () => own.look(),
      // An object of the API may be gone before its processes are; an entry of a file is somebody's word on who is ours.
      keepEnded: config.source.kind === 'cluster',
    });
  }

  /**
   * Before anybody is known. What an earlier run left in the kernel stays; where there is nothing (the node has started anew)
   * and every pod is to be held, none gets anything out until it is known. Throws SallyportError with what is missing.
   */
  async lockUnknown(): Promise<void> {
    if (this.#config.posture !== 'all') return;
    if (this.#lockedUnknown) return this.#rules.update([], this.#podCidrs, this.#own.now);
    if (await this.#rules.present()) return;
    this.#lockedUnknown = true;
    await this.#rules.start([], this.#podCidrs, this.#own.now);
  }

  /** Puts the rules in force; resolves when every workload is held. Throws SallyportError with what is missing. */
  async start(known: Known): Promise<void> {
    this.#known = known;
    const members = this.#members(known);
    await this.#rules.start(members, this.#podCidrs, this.#own.now);
    this.#held = members;
    this.#started = true;
    this.#remember(known);
  }

  /** Follows a change, and starts with the first one; what fails is said in the journal, and the former members stay held. */
  update(known: Known): void {
    this.#known = known;
    this.#following(known).catch((error: Error) => this.#failed(error));
  }

  /**
   * The node's pod addresses: where every pod is to be held, what comes from them and is nobody known gets nothing out. Resolves
   * when the kernel knows them. Rejects where it cannot; then say them again.
   */
  async podAddresses(cidrs: readonly string[]): Promise<void> {
    this.#podCidrs = cidrs;
    const {posture, podInterfaces} = this.#config;
    if (posture === 'all' && cidrs.length === 0 && podInterfaces.length === 0)
      this.#journal.notice(
        'warn',
        'capture.unknown-pods',
        'the Node object names no podCIDRs, and there is no --pod-interface: a pod is held from when it is known, and not from its first packet. Name the interfaces of pods: --pod-interface "cali*".',
      );
    await (this.#known === null ? this.lockUnknown() : this.#following(this.#known));
  }

  async #following(known: Known): Promise<void> {
    if (this.#again !== null) clearTimeout(this.#again);
    this.#again = null;
    this.#updating++;
    try {
      await this.#follow(known);
    } finally {
      this.#updating--;
    }
  }

  async #follow(known: Known): Promise<void> {
    if (!this.#started) return this.start(known);
    const members = this.#members(known);
    const done = this.#rules.update(members, this.#podCidrs, this.#own.now);
    this.#remember(known);
    await done;
    this.#held = members;
  }

  /** What the kernel was given last and took. */
  get held(): readonly Member[] {
    return this.#held;
  }

  status(): Health {
    const status = this.#rules.status();
    return {...status, started: this.#started, current: this.#updating === 0, stateError: this.#stateError};
  }

  /** Addresses that are to be held, and those of them that the kernel took. A start that was never done holds none. */
  census(): {readonly wanted: number; readonly held: number} {
    const isHeld = new Set(this.#held.filter(({mode}) => mode !== 'free').map(({ip, mode}) => `${ip} ${mode}`));
    const wanted = this.#wanted.filter(({mode}) => mode !== 'free');
    return {wanted: wanted.length, held: wanted.filter(({ip, mode}) => isHeld.has(`${ip} ${mode}`)).length};
  }

  counters(): Promise<Map<string, number>> {
    return this.#rules.counters();
  }

  /** Stops watching; the rules stay. */
  async close(): Promise<void> {
    if (this.#again !== null) clearTimeout(this.#again);
    await this.#rules.close();
    await this.#state.written();
  }

  #say(error: Error): void {
    const message = error instanceof SallyportError ? error.describe() : error.message;
    this.#journal.notice('error', 'capture.failed', `${message} The former members stay held.`);
  }

  /** Tried again with what is known then: of two tries that wait for each other the first fails first, and knows less. */
  #failed(error: Error): void {
    this.#say(error);
    if (!this.#started) this.#again ??= setTimeout(() => this.update(this.#known!), START_AGAIN_MS);
  }

  /** Each at the interface that the CNI plugin named, where nobody else did: on a bridge the route does not tell. */
  #members(known: Known): Member[] {
    const held = members(known, this.#compiled(known), this.#rule);
    this.#wanted = held;
    const cni = this.#cniResults;
    if (cni === null) return held;
    cni.look();
    return held.map((member) =>
      member.interface === null ? {...member, interface: cni.interfaceOf(member.uid, member.ip)} : member,
    );
  }

  #compiled(known: Known): PolicySet {
    return this.#policies.of(known, this.#config.installation);
  }

  /** Whose object is gone is nobody to hold any more; what the kernel makes of the rest is keepEnded's. */
  #remember(known: Known): void {
    const latched = latching(known, this.#compiled(known), this.#rule);
    this.#state.remember({latched, podCidrs: this.#podCidrs}).then(
      () => (this.#stateError = null),
      (error: Error) => {
        const message = `--state-dir cannot be written: ${error.message}; captured pods stay so, but not beyond our restart`;
        if (message !== this.#stateError) this.#journal.notice('error', 'capture.state', message);
        this.#stateError = message;
      },
    );
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
    podInterfaces: config.podInterfaces,
    lockPodAddresses: config.posture === 'all',
    meshDestinations: config.meshDestinations,
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
