/** mTLS as the supervisor of a pod's own proxy runs it: the rules are there already (pod-rules), so it only knows who is who. */
import type {Journal} from '../../runtime/journal.ts';
import {stricter} from '../../sources/mtls-words.ts';
import {watchPeersFile, type Peers} from '../../sources/peers.ts';
import type {WorkloadEntry} from '../../sources/workload-table.ts';
import {enrolment} from './enrolment.ts';
import {openFileIdentity} from './identity/files.ts';
import type {Identity, IdentitySource} from './identity/identity.ts';
import {openIssuedIdentity} from './identity/issued.ts';
import type {MtlsState, RunningMtls} from './node.ts';
import type {MtlsConfig} from './settings.ts';
import {listenToPeers} from './told-peers.ts';

export class PodMtls implements RunningMtls {
  readonly #config: MtlsConfig;
  readonly #identity: IdentitySource;
  readonly #peers: Peers | null;
  readonly #unlisten: () => void;
  #identified = false;

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

  /** Whether the peers are known, and who we are was once: a Strict pod without a certificate lets nothing in or out. */
  get settled(): boolean {
    // For files and token alike there is one, whatever the pod.
    this.#identified ||= this.#identity.current('') !== null;
    return this.#identified && (this.#peers === null || this.#peers.known !== null);
  }

  /** `told`: this pod; null: not known yet. */
  state(told: readonly WorkloadEntry[] | null): MtlsState {
    const known = this.#peers?.known ?? [];
    const own = (told ?? []).map((entry) => heldTo(entry, known));
    const here = new Map(own.flatMap(({ips, workload}) => ips.map((ip) => [ip, workload.uid] as const)));
    const others = known.filter(({ips}) => !ips.some((ip) => here.has(ip)));
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

/**
 * A pod by what it was made with, and by what is said of it now where that is stricter. Its ports stay, and one that was made
 * without mTLS has no rules that would hand anything over.
 */
function heldTo(entry: WorkloadEntry, known: readonly WorkloadEntry[]): WorkloadEntry {
  const {workload, mtls} = entry;
  const made = mtls?.mode ?? null;
  if (mtls === undefined || made === null || made === 'Off') return entry;
  const now = known.find((one) => one.workload.uid === workload.uid)?.mtls?.mode ?? made;
  const mode = stricter(made, now);
  return mode === made ? entry : {...entry, mtls: {...mtls, mode}};
}
