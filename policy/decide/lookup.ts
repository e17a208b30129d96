/** Names to addresses, as far as rules still come into question: as written, and by the search list. */
import type {CompiledRule} from '../compile-rule.ts';
import {holdsName} from '../compile-rule.ts';
import type {Needs} from '../decision.ts';
import type {Address} from '../request.ts';
import {parseAddress, type Ip} from '../match/addresses.ts';
import {normalizeHost} from '../match/hosts.ts';
import type {Candidates} from '../match/rule-index.ts';
import type {AddressStep} from './address.ts';
import {judgeDenies, type Denies} from './denies.ts';
import {needsNames} from './outcome.ts';

/** Allow rules that match but for the address, in the order of decision, found as far as they are asked for. */
export class AllowList {
  readonly #rules: CompiledRule[] = [];
  readonly #found: Candidates;
  readonly #fits: (rule: CompiledRule) => boolean;
  #done = false;

  constructor(found: Candidates, fits: (rule: CompiledRule) => boolean) {
    this.#found = found;
    this.#fits = fits;
  }

  at(index: number): CompiledRule | null {
    while (!this.#done && this.#rules.length <= index) {
      const rule = this.#found.next();
      if (rule === null) this.#done = true;
      else if (this.#fits(rule)) this.#rules.push(rule);
    }
    return this.#rules[index] ?? null;
  }
}

/** The first rule of the list that fits; null: none. */
export function firstOf(list: AllowList, fits: (rule: CompiledRule) => boolean): CompiledRule | null {
  for (let i = 0; ; i++) {
    const rule = list.at(i);
    if (rule === null || fits(rule)) return rule;
  }
}

export type Looked =
  | Needs
  | {readonly kind: 'found'; readonly ips: readonly Ip[]; readonly resolved: string; readonly denies: Denies}
  | {readonly kind: 'denied'; readonly rule: CompiledRule}
  | {readonly kind: 'failed'};

/** The addresses of the name as written; where it has none and fewer than two dots, of the first expansion that has some. */
export function lookUp(step: AddressStep, name: string, rules: (rule: CompiledRule) => boolean): Looked {
  const {question, test, list} = step;
  const {names, policies} = question;
  const known = names.get(name);
  if (known === undefined) return needsNames([name], false);
  const ips = parseAll(known);
  if (ips.length > 0) return {kind: 'found', ips, resolved: name, denies: step.denies};
  const {searchDomains, clusterDomain} = policies.ranges;
  if (searchDomains.length === 0 || name.split('.').length > 2) return {kind: 'failed'};
  for (const domain of searchDomains) {
    const expanded = normalizeHost(`${name}.${domain}`);
    if (expanded === null) continue;
    // Both are readings: an Allow must hold the name as written and as expanded, a Deny either. Nothing else is looked up.
    if (
      !step.cidrsByLookup &&
      firstOf(list, (rule) => rules(rule) && holdsName(rule, expanded, clusterDomain)) === null
    )
      continue;
    const denies = judgeDenies(question, test, expanded);
    const further = names.get(expanded);
    if (denies.denied !== null) return {kind: 'denied', rule: denies.denied};
    if (further === undefined) return needsNames([expanded], false);
    const found = parseAll(further);
    if (found.length === 0) continue;
    const perAddress = [...new Set([...step.denies.perAddress, ...denies.perAddress])].sort(
      (a, b) => a.order - b.order,
    );
    return {kind: 'found', ips: found, resolved: expanded, denies: {...step.denies, perAddress}};
  }
  return {kind: 'failed'};
}

export function parseAll(addresses: readonly Address[] | 'failed'): readonly Ip[] {
  const ips: Ip[] = [];
  if (addresses !== 'failed')
    for (const text of addresses) {
      const ip = parseAddress(text);
      if (ip !== null) ips.push(ip);
    }
  return ips;
}
