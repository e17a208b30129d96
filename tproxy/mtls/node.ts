/** mTLS as the supervisor runs it: who is enrolled into the kernel, and what workers need of it into their state. */
import {createHash} from 'node:crypto';
import {SallyportError} from '../../runtime/errors.ts';
import type {Journal} from '../../runtime/journal.ts';
import {LABELS, PORTS} from '../../runtime/names.ts';
import type {Peers} from '../../sources/peers.ts';
import type {ServiceTable} from '../../sources/service-table.ts';
import type {WorkloadEntry} from '../../sources/workload-table.ts';
import {nodePath, systemCommands} from '../capture/commands.ts';
import {DEFAULT_MARKS} from '../capture/marks.ts';
import {place} from '../capture/topology.ts';
import {createMtlsRules, type MtlsRules} from './capture/node-mtls.ts';
import {enrolment, type Enrolment} from './enrolment.ts';
import {openFileIdentity} from './identity/files.ts';
import type {Identity, IdentitySource} from './identity/identity.ts';
import {openNodeIdentities, type NodeIdentities} from './identity/issued.ts';
import type {MtlsConfig} from './settings.ts';

/** What a worker is told, whole. */
export interface MtlsState {
  /** Everybody who is known, of this node first. */
  readonly entries: readonly WorkloadEntry[];
  /** Uids of this node's pods by address. */
  readonly here: ReadonlyMap<string, string>;
  readonly identities: ReadonlyMap<string, Identity>;
  /** Where Services lead, of those at least that have an enrolled pod behind them: what is dialled for a pod is so before kube-proxy translates it. */
  readonly services: ServiceTable;
  /** Both are known. Before that what an earlier run left in the kernel stays: an empty table would let everything by. */
  readonly whole: boolean;
}

/** What the supervisor has of it: on a node (here), or inside of a pod (pod.ts). */
export interface RunningMtls {
  /** Whether the peers are known. */
  readonly settled: boolean;
  state(told: readonly WorkloadEntry[] | null): MtlsState;
  enforce(state: MtlsState): Promise<void>;
  follow(state: MtlsState): void;
  counters(): Promise<Map<string, number>>;
  close(): Promise<void>;
}

/** Where a pod's interface is not known yet it is looked for again. */
const PLACE_AGAIN_MS = 500;

export class NodeMtls implements RunningMtls {
  readonly #config: MtlsConfig;
  readonly #journal: Journal;
  readonly #rules: MtlsRules;
  readonly #identities: IdentitySource | NodeIdentities;
  /** The pods of other nodes; null: there are none, or they are not asked about yet. */
  #peers: Peers | null = null;
  readonly #changed: () => void;
  /** Of what #peers said last that matters here. */
  #digest = '';
  readonly #unlisten: () => void;
  readonly #commands = systemCommands(undefined, nodePath());
  #own: readonly WorkloadEntry[] = [];
  #again: NodeJS.Timeout | null = null;

  private constructor(config: MtlsConfig, journal: Journal, changed: () => void) {
    this.#config = config;
    this.#journal = journal;
    this.#changed = changed;
    this.#rules = createMtlsRules({
      port: PORTS.mtls,
      marks: DEFAULT_MARKS,
      commands: this.#commands,
      onNotice: (level, event, message) => journal.notice(level, event, message),
    });
    const {identity, trustDomain} = config;
    this.#identities =
      identity.kind === 'files'
        ? openFileIdentity({dir: identity.dir, journal})
        : openNodeIdentities({issuer: identity, trustDomain, journal});
    this.#unlisten = this.#identities.onChange(changed);
  }

  /** `changed`: the state is another. Throws what `openPeers` throws. */
  static async open(
    config: MtlsConfig,
    journal: Journal,
    openPeers: (changed: () => void) => Promise<Peers | null>,
    changed: () => void,
  ): Promise<NodeMtls> {
    const mtls = new NodeMtls(config, journal, changed);
    mtls.#peers = await openPeers(() => mtls.#told());
    return mtls;
  }

  /** Pods change for many reasons, in a large cluster all the time, and each state is told to the kernel and to workers as a whole. */
  #told(): void {
    const digest = digestOf(this.#peers, this.#config);
    if (digest === this.#digest) return;
    this.#digest = digest;
    this.#changed();
  }

  /** Whether the pods of other nodes are known. */
  get settled(): boolean {
    return this.#peers === null || this.#peers.known !== null;
  }

  /** `told`: the pods of this node; null: not known yet. */
  state(told: readonly WorkloadEntry[] | null): MtlsState {
    // A pod that wraps for itself is to this node as one of another: wrapped twice, it would be understood by nobody.
    const wrapsItself = ({workload}: WorkloadEntry): boolean => workload.labels?.[LABELS.capture] === 'pod';
    const itself = (told ?? []).filter(wrapsItself);
    const own = (told ?? []).filter((entry) => !wrapsItself(entry));
    const whole = told !== null && this.settled;
    this.#own = own;
    const here = new Map(own.flatMap(({ips, workload}) => ips.map((ip) => [ip, workload.uid] as const)));
    const known = new Set((told ?? []).flatMap(({ips}) => ips));
    const elsewhere = (this.#peers?.known ?? []).filter(({ips}) => !ips.some((ip) => known.has(ip)));
    const entries = [...own, ...itself, ...elsewhere];
    const who = enrolment(entries, this.#config);
    const enrolled = own.filter(({ips}) => ips.some((ip) => who.of(ip) !== null));
    if ('want' in this.#identities) this.#want(this.#identities, enrolled);
    const identities = new Map<string, Identity>();
    for (const {workload} of enrolled) {
      const identity = this.#identities.current(workload.uid);
      if (identity !== null) identities.set(workload.uid, identity);
    }
    return {entries, here, identities, services: enrolledServices(this.#peers, who), whole};
  }

  #wanted = '';
  #want(identities: NodeIdentities, enrolled: readonly WorkloadEntry[]): void {
    const pods = enrolled.map(({workload: {uid, namespace, name, serviceAccount}}) => ({
      uid,
      namespace,
      name,
      serviceAccount,
    }));
    const now = JSON.stringify(pods);
    // want() tells of a change, and so asks for the state again.
    if (now === this.#wanted) return;
    this.#wanted = now;
    identities.want(pods);
  }

  /** Resolves when the kernel knows; rejects where it refuses. */
  async enforce(state: MtlsState): Promise<void> {
    const {entries, here, whole} = state;
    if (!whole) return;
    if (this.#again !== null) clearTimeout(this.#again);
    this.#again = null;
    const interfaces = new Map(this.#own.flatMap((own) => own.ips.map((ip) => [ip, own.interface] as const)));
    const members = [...here].map(([ip, uid]) => ({
      ip,
      uid,
      interface: interfaces.get(ip) ?? null,
      mode: 'free' as const,
    }));
    const {members: placed} = await place(this.#commands, members);
    const at = new Map(placed.map((member) => [member.ip, member.interface]));
    await this.#rules.update({
      entries,
      enrolment: enrolment(entries, this.#config),
      here: at,
      strictCidrs: this.#config.cidrs.filter(({mode}) => mode === 'Strict').map(({text}) => text),
    });
    if ([...at.values()].includes(null)) this.#again = setTimeout(() => this.follow(state), PLACE_AGAIN_MS);
  }

  /** enforce(), where what fails is said. */
  follow(state: MtlsState): void {
    this.enforce(state).catch((error: unknown) => {
      const message = error instanceof SallyportError ? error.describe() : String(error);
      this.#journal.notice('error', 'mtls.failed', `${message} The former table stays.`);
      this.#again ??= setTimeout(() => this.follow(state), PLACE_AGAIN_MS);
    });
  }

  counters(): Promise<Map<string, number>> {
    return this.#rules.counters();
  }

  /** The table stays: Strict pods get nothing plain while we are away. */
  async close(): Promise<void> {
    if (this.#again !== null) clearTimeout(this.#again);
    this.#unlisten();
    this.#identities.stop();
    this.#peers?.close();
    await this.#rules.close();
  }
}

/** The others are dialled as ever: there may be thousands. */
function enrolledServices(peers: Peers | null, who: Enrolment): ServiceTable {
  const isEnrolled = (ip: string): boolean => who.of(ip) !== null;
  return new Map([...(peers?.services ?? [])].filter(([, {groups}]) => groups.some((group) => group.some(isEnrolled))));
}

/** Differs where it matters who is enrolled, or where their Services lead. */
function digestOf(peers: Peers | null, config: MtlsConfig): string {
  const known = peers?.known ?? [];
  const pods = known.map(({ips, mtls, workload: {uid, namespace, serviceAccount}}) => [
    ...[ips, uid, namespace, serviceAccount, mtls?.mode],
    [...(mtls?.plainPorts ?? [])],
  ]);
  const services = [...enrolledServices(peers, enrolment(known, config))].map(([ip, {namespace, groups, ports}]) => [
    ...[ip, namespace, groups],
    [...ports],
  ]);
  return createHash('sha256')
    .update(JSON.stringify([peers?.known === null, pods, services]))
    .digest('base64');
}
