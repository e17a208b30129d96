/** Decisions by the policy that made them: an operator's names, but not an unlimited number of them. */
import type {Registry} from 'prom-client';
import type {Decision} from '../policy/index.ts';
import {tallyCounter, type Count} from './tally.ts';

/** Combinations of labels; 1,000 policies with two outcomes each are what a cluster has. */
export const MAX_POLICY_SERIES = 4_000;
/** What more there is, added up. No policy has such a name. */
const OTHERS = '(others)';

type Outcomes = Map<string, Count>;

export class PolicyTally {
  /** By namespace (null: a cluster policy), name, and what came out: no label is made for a decision like one before. */
  readonly #namespaces = new Map<string | null, Map<string, Outcomes>>();
  readonly #others: Outcomes = new Map();
  readonly #make: (labels: Readonly<Record<'namespace' | 'policy' | 'verdict' | 'reason', string>>) => Count;
  #series = 0;

  constructor(registers: Registry[]) {
    this.#make = tallyCounter({
      name: 'sallyport_policy_decisions_total',
      help: 'Decisions by policy (namespace empty: a cluster policy) and reason; verdict would-deny: let through by Audit.',
      labelNames: ['namespace', 'policy', 'verdict', 'reason'],
      registers,
    });
  }

  count({policy, verdict, wouldDeny, reason}: Pick<Decision, 'policy' | 'verdict' | 'wouldDeny' | 'reason'>): void {
    if (policy === null) return;
    const {namespace, name} = policy;
    const came = verdict === 'allow' && wouldDeny === true ? 'would-deny' : verdict;
    const key = `${came} ${reason}`;
    let count = this.#namespaces.get(namespace)?.get(name)?.get(key);
    if (count === undefined) {
      const full = this.#series >= MAX_POLICY_SERIES;
      const outcomes = full ? this.#others : this.#outcomes(namespace, name);
      count = outcomes.get(key);
      if (count === undefined) {
        const of = full ? {namespace: '', policy: OTHERS} : {namespace: namespace ?? '', policy: name};
        outcomes.set(key, (count = this.#make({...of, verdict: came, reason})));
        this.#series++;
      }
    }
    count.value++;
  }

  #outcomes(namespace: string | null, name: string): Outcomes {
    let policies = this.#namespaces.get(namespace);
    if (policies === undefined) this.#namespaces.set(namespace, (policies = new Map<string, Outcomes>()));
    let outcomes = policies.get(name);
    if (outcomes === undefined) policies.set(name, (outcomes = new Map<string, Count>()));
    return outcomes;
  }
}
