/** Identities from the controller's issuer: a pod's own, or those of the pods of a node. */
import {formatSpiffeId} from '../../../pki/index.ts';
import type {Journal} from '../../../runtime/journal.ts';
import {accountOfToken, askForIdentity, IssuerRefused, type ForPod, type IssuerAccess} from './ask.ts';
import {Listeners} from './held.ts';
import type {IdentitySource} from './identity.ts';
import {KeptIdentity} from './kept.ts';

export interface IssuedOptions {
  readonly issuer: IssuerAccess;
  readonly trustDomain: string;
  readonly journal: Journal;
  /** Unix time in ms. */
  readonly now?: () => number;
}

/**
 * The identity of the pod that we are in, for every workload: whose it is, its token says. For a sidecar (`--capture pod`).
 */
export function openIssuedIdentity({issuer, trustDomain, journal, now = Date.now}: IssuedOptions): IdentitySource {
  const listeners = new Listeners();
  const kept = new KeptIdentity({
    name: issuer.tokenFile,
    ask: async (signal) => {
      const spiffeId = formatSpiffeId({trustDomain, ...accountOfToken(issuer.tokenFile)});
      return askForIdentity(issuer, spiffeId, null, {signal, nowMs: now});
    },
    ...{journal, now, onChange: listeners.tell},
  });
  return {
    current: () => kept.current,
    onChange: (listener) => listeners.add(listener),
    stop: () => void kept.stop(),
  };
}

/** A pod of our node that is enrolled. */
export interface WantedPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
}

export interface NodeIdentities extends IdentitySource {
  /** All pods of the node that need one from now on. Those of one ServiceAccount share one: they are the same to their peers. */
  want(pods: readonly WantedPod[]): void;
}

/** Questions at once: a node that starts asks for all of its ServiceAccounts. */
const MAX_QUESTIONS = 8;

/** For a node's agent: `issuer.tokenFile` is the agent's own token, which says its node. */
export function openNodeIdentities(options: IssuedOptions): NodeIdentities {
  return new NodeSource(options);
}

interface Account {
  readonly kept: KeptIdentity;
  readonly of: Witnesses;
}

/** Pods of one ServiceAccount; the first is asked for, and goes to the end where the issuer does not know it. */
interface Witnesses {
  pods: readonly WantedPod[];
}

class NodeSource implements NodeIdentities {
  readonly #options: Required<IssuedOptions>;
  readonly #listeners = new Listeners();
  readonly #accounts = new Map<string, Account>();
  #accountOf: ReadonlyMap<string, Account> = new Map();
  #asking = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: IssuedOptions) {
    this.#options = {now: Date.now, ...options};
  }

  current(workloadUid: string): ReturnType<IdentitySource['current']> {
    return this.#accountOf.get(workloadUid)?.kept.current ?? null;
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  want(pods: readonly WantedPod[]): void {
    const byAccount = Map.groupBy(pods, ({namespace, serviceAccount}) => `${namespace}/${serviceAccount}`);
    for (const [key, account] of this.#accounts) {
      if (byAccount.has(key)) continue;
      // Nobody of it is here any more: its key is of no use, and must not be of any.
      void account.kept.stop();
      this.#accounts.delete(key);
    }
    const accountOf = new Map<string, Account>();
    for (const [key, of] of byAccount) {
      let account = this.#accounts.get(key);
      if (account === undefined) this.#accounts.set(key, (account = this.#open(of)));
      account.of.pods = of;
      for (const {uid} of of) accountOf.set(uid, account);
    }
    this.#accountOf = accountOf;
    this.#listeners.tell();
  }

  stop(): void {
    for (const {kept} of this.#accounts.values()) void kept.stop();
    this.#accounts.clear();
    this.#accountOf = new Map();
  }

  #open(pods: readonly WantedPod[]): Account {
    const {issuer, trustDomain, journal, now} = this.#options;
    const {namespace, serviceAccount} = pods[0]!;
    const name = `${namespace}/${serviceAccount}`;
    const of: Witnesses = {pods};
    return {
      of,
      kept: new KeptIdentity({
        name,
        ask: (signal) =>
          this.#inTurn(async () => {
            const spiffeId = formatSpiffeId({trustDomain, namespace, serviceAccount});
            const [pod] = of.pods;
            try {
              return await askForIdentity(issuer, spiffeId, forPod(pod!), {signal, nowMs: now});
            } catch (error) {
              // It has just ended, perhaps: the next question is for another one.
              if (error instanceof IssuerRefused) of.pods = [...of.pods.slice(1), pod!];
              throw error;
            }
          }),
        ...{journal, now, onChange: this.#listeners.tell},
      }),
    };
  }

  /** Not more than so many at once; the others wait. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#asking >= MAX_QUESTIONS) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#asking++;
    try {
      return await work();
    } finally {
      // Handed on, or given back.
      const next = this.#waiting.shift();
      if (next === undefined) this.#asking--;
      else next();
    }
  }
}

const forPod = ({namespace, name, uid}: WantedPod): ForPod => ({namespace, name, uid});
