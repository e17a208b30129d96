/** Step 3: Deny rules, in the order of decision; and what of them waits for the addresses (step 6). */
import {coversAny, type CompiledRule} from '../compile-rule.ts';
import {denyHolds} from '../match/classes.ts';
import {embeddedIpv4, formatAddress, type Ip} from '../match/addresses.ts';
import {byAddress, byName, Candidates} from '../match/rule-index.ts';
import {couldHold, matchesHttp, matchesWhen, type View} from './conditions.ts';
import type {Question} from './outcome.ts';

/** How a Deny is asked: what it must hold of a connection or request of `schemes`. */
export interface DenyTest {
  /** Bits: a Deny applies if it covers one of these on the port. */
  readonly schemes: number;
  /** false: the request has not been seen; a Deny that needs it could match. */
  readonly seen: boolean;
}

export interface Denies {
  /** The first Deny that matches for certain; null: none. */
  readonly denied: CompiledRule | null;
  /** Deny rules that have to be judged on every address that would be dialled. Rules with cidrs alone are not listed here. */
  readonly perAddress: readonly CompiledRule[];
  /** The first Deny that could match if the request were seen; null: none. */
  readonly sealed: CompiledRule | null;
}

/** Whether the rule's conditions beside the destination hold. `ip` null: leave out what depends on the address. */
function holds(rule: CompiledRule, view: View, test: DenyTest, ip: Ip | null): boolean {
  const text = ip === null ? null : formatAddress(ip);
  if (!test.seen && rule.needsRequest) return couldHold(rule, view, text);
  if (test.seen && !matchesHttp(rule, view)) return false;
  return matchesWhen(rule, view, text);
}

/** Judges the Deny rules by `name` and by the original destination. */
export function judgeDenies(question: Question, test: DenyTest, name: string | null): Denies {
  const {group, view} = question;
  const {original, port} = view.subject;
  const paths = test.seen ? view.foldedPaths() : null;
  const found = new Candidates();
  if (name !== null) byName(group.deny, name, true, port, paths, found);
  if (original !== null) addByAddress(question, original, paths, found);
  let perAddress: CompiledRule[] | null = null;
  let sealed: CompiledRule | null = null;
  for (let rule = found.next(); rule !== null; rule = found.next()) {
    if (!coversAny(rule, test.schemes, port)) continue;
    if (rule.hasHosts && (rule.cidrs.length > 0 || rule.usesDestinationIp)) {
      (perAddress ??= []).push(rule);
      // hosts and cidrs: by address only. A `when` on the address: by the original destination here, by all others there.
      if (rule.cidrs.length > 0 || original === null) continue;
    }
    if (!holds(rule, view, test, original)) continue;
    if (!test.seen && rule.needsRequest) {
      sealed ??= rule;
      continue;
    }
    return {denied: rule, perAddress: NONE, sealed};
  }
  return {denied: null, perAddress: perAddress ?? NONE, sealed};
}

const NONE: readonly CompiledRule[] = [];

function addByAddress(question: Question, ip: Ip, paths: readonly string[] | null, into: Candidates): void {
  const {group, policies, view} = question;
  if (group.deny.cidrs.length === 0) return;
  byAddress(group.deny, ip, view.subject.port, paths, into);
  for (const inner of embeddedIpv4(ip, policies.ranges.nat64))
    byAddress(group.deny, inner, view.subject.port, paths, into);
}

/** The first Deny that matches this address, of those that were left for it and those with cidrs alone; null: none. */
export function denyOf(
  question: Question,
  test: DenyTest,
  perAddress: readonly CompiledRule[],
  ip: Ip,
): CompiledRule | null {
  const {policies, view} = question;
  const found = new Candidates();
  if (perAddress.length > 0) found.add(perAddress);
  addByAddress(question, ip, test.seen ? view.foldedPaths() : null, found);
  const embedded = embeddedIpv4(ip, policies.ranges.nat64);
  for (let rule = found.next(); rule !== null; rule = found.next()) {
    if (!coversAny(rule, test.schemes, view.subject.port)) continue;
    if (rule.cidrs.length > 0 && !denyHolds(rule.cidrs, ip, embedded)) continue;
    if (holds(rule, view, test, ip)) return rule;
  }
  return null;
}

/** Of a name that is not looked up here: a Deny whose `when` looks at the address is unknown, and so matches. Cidrs match no name. */
export function denyUnresolved(
  question: Question,
  test: DenyTest,
  perAddress: readonly CompiledRule[],
): CompiledRule | null {
  for (const rule of perAddress) if (rule.cidrs.length === 0 && holds(rule, question.view, test, null)) return rule;
  return null;
}
