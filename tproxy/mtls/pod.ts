/** mTLS as the supervisor of a pod's own proxy runs it: the rules are there already (pod-rules), so it only knows who is who. */
import type {Journal} from '../../runtime/journal.ts';
import type {WorkloadEntry} from '../../sources/workload-table.ts';
import {enrolment} from './enrolment.ts';
import {openFileIdentity} from './identity/files.ts';
import type {Identity, IdentitySource} from './identity/identity.ts';
import {openIssuedIdentity} from './identity/issued.ts';
import type {MtlsState, RunningMtls} from './node.ts';
import {watchPeersFile, type Peers} from './peers.ts';
import type {MtlsConfig} from './settings.ts';
import {listenToPeers} from './told-peers.ts';

export class PodMtls implements RunningMtls {
  readonly #config: MtlsConfig;
  readonly #identity: IdentitySource;
  readonly #peers: Peers | null;
  readonly #unlisten: () => void;

  private constructor(config: MtlsConfig, identity: IdentitySource, peers: Peers | null, changed: () => void) {
    this.#config = config;
    this.#identity = identity;
    this.#peers = peers;
    this.#unlisten = identity.onChange(changed);
  }

  /** `changed`: the state is another. Throws SallyportError where the table of peers is bad. */
  static async open(config: MtlsConfig, journal: Journal, changed: () => void): Promise<PodMtls> {
    const {identity, trustDomain, peersFile} = config;
    const peers =
      peersFile !== null
        ? await watchPeersFile(peersFile, journal, changed)
        : identity.kind === 'issued'
          ? listenToPeers(identity, journal, changed)
          : null;
    const source =
      identity.kind === 'files'
        ? openFileIdentity({dir: identity.dir, journal})
        : openIssuedIdentity({issuer: identity, trustDomain, journal});
    return new PodMtls(config, source, peers, changed);
  }

  get settled(): boolean {
    return this.#peers === null || this.#peers.known !== null;
  }

  /** `told`: this pod; null: not known yet. */
  state(told: readonly WorkloadEntry[] | null): MtlsState {
    const own = told ?? [];
    const here = new Map(own.flatMap(({ips, workload}) => ips.map((ip) => [ip, workload.uid] as const)));
    const others = (this.#peers?.known ?? []).filter(({ips}) => !ips.some((ip) => here.has(ip)));
    const entries = [...own, ...others];
    const who = enrolment(entries, this.#config);
    const identities = new Map<string, Identity>();
    for (const {ips, workload} of own) {
      const identity = this.#identity.current(workload.uid);
      if (identity !== null && ips.some((ip) => who.of(ip) !== null)) identities.set(workload.uid, identity);
    }
    const services = this.#peers?.services ?? new Map<string, never>();
    return {entries, here, identities, services, whole: told !== null && this.settled};
  }

  /** The kernel was told before the pod began, and nobody in it may tell it anything else. */
  enforce(): Promise<void> {
    return Promise.resolve();
  }

  follow(): void {
    // As enforce().
  }

  /** Whoever counts them needs CAP_NET_ADMIN, which a pod's proxy has not. */
  counters(): Promise<Map<string, number>> {
    return Promise.resolve(new Map<string, number>());
  }

  close(): Promise<void> {
    this.#unlisten();
    this.#identity.stop();
    this.#peers?.close();
    return Promise.resolve();
  }
}
