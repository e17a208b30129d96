/**
 * tcp rules: any bytes to an address and port. Names are matched by the addresses that they have (and had a short while
 * ago); on the explicit port by the name that CONNECT claims.
 */
import {coversPort, TCP, type CompiledRule} from '../compile-rule.ts';
import type {Address} from '../request.ts';
import {embeddedIpv4, formatAddress, type Ip} from '../match/addresses.ts';
import {denyHolds, forbiddenBy, anyHolds} from '../match/classes.ts';
import {isUnder} from '../match/hosts.ts';
import {byAddress, byAnyAddress, byName, Candidates, holdsAddress, tcpByName} from '../match/rule-index.ts';
import {uninspectable} from './address.ts';
import {parseAll} from './lookup.ts';
import {couldHold, matchesWhen} from './conditions.ts';
import {denyOf, denyUnresolved, judgeDenies, type DenyTest} from './denies.ts';
import {denied, label, needsNames, noRuleMatched, ruleDenied, type Outcome, type Question} from './outcome.ts';
import {routeFor, viaOf} from './via.ts';

/** Further Deny rules that the connection was judged by before, as what it was seen to be. */
export interface SeenAs {
  /** Bits: what it is beside bytes. */
  readonly schemes: number;
  readonly perAddress: readonly CompiledRule[];
}

/** null: no tcp rule of these policies comes into question for this port and destination. */
export function judgeOpaque(question: Question, seenAs: SeenAs | null): Outcome | null {
  const {view, group} = question;
  const {subject} = view;
  const fixed = subject.original ?? (subject.name === null ? subject.literal : null);
  const found = new Candidates();
  if (fixed !== null) {
    byAddress(group.allow, fixed, subject.port, null, found);
    tcpByName(group.allow, subject.port, found);
  } else if (subject.name !== null) {
    byName(group.allow, subject.name, false, subject.port, null, found);
    byAnyAddress(group.allow, subject.port, null, found);
  }
  const allows: CompiledRule[] = [];
  for (let rule = found.next(); rule !== null; rule = found.next()) {
    if (!coversPort(rule, TCP, subject.port)) continue;
    if (fixed === null && rule.hasHosts && !rule.exactHosts.includes(subject.name!)) continue;
    if (fixed !== null && rule.cidrs.length > 0 && !holdsAddress(rule, fixed)) continue;
    if (rule.usesDestinationIp || matchesWhen(rule, view, null)) allows.push(rule);
  }
  if (allows.length === 0) return null;

  // Deny rules that need no lookup. Of a connection seen as http its own Deny rules were judged already, with the request.
  const seen = view.http !== null;
  const test: DenyTest = {schemes: TCP, seen: false};
  const claimed = fixed === null ? subject.name : null;
  const denies = judgeDenies(question, test, claimed);
  if (denies.denied !== null) return ruleDenied(denies.denied);
  const sealed = seen ? null : firstCovering(denies.sealed);
  if (sealed !== null) return uninspectable(sealed);
  const {perAddress} = denies;

  if (fixed !== null) return judgeFixed(question, fixed, allows, perAddress, test, seenAs);
  return judgeClaimed(question, subject.name!, allows, perAddress, test, seenAs);
}

/** A Deny that needs the request covers tcp only where it was written without schemes. */
function firstCovering(rule: CompiledRule | null): CompiledRule | null {
  return rule !== null && rule.allSchemes ? rule : null;
}

function judgeFixed(
  question: Question,
  fixed: Ip,
  allows: readonly CompiledRule[],
  perAddress: readonly CompiledRule[],
  test: DenyTest,
  seenAs: SeenAs | null,
): Outcome {
  const {policies, view, names} = question;
  const refused = denyByAddress(question, fixed, perAddress, test, seenAs);
  if (refused !== null) return refused;
  const unknown = new Set<string>();
  let winner: CompiledRule | null = null;
  let forbidden: CompiledRule | null = null;
  for (const rule of allows) {
    if (!rule.hasHosts) {
      if (opens(question, rule, fixed, false)) winner = rule;
      else forbidden ??= rule;
    } else {
      let member: string | null = null;
      let asked = false;
      for (const host of rule.exactHosts) {
        const known = names.get(host);
        if (known === undefined) {
          unknown.add(host);
          asked = true;
        } else if (hasAddress(known, fixed)) member ??= host;
      }
      if (member === null) continue;
      if (opens(question, rule, fixed, isUnder(member, policies.ranges.clusterDomain))) {
        if (!asked) winner = rule;
      } else if (!asked) forbidden ??= rule;
    }
    if (winner !== null) break;
  }
  if (unknown.size > 0) return needsNames([...unknown], true);
  if (winner === null) {
    return forbidden === null
      ? noRuleMatched(view.subject.text, view.subject.port)
      : denied('DestinationForbidden', forbidden, `${label(forbidden)} does not open this address.`);
  }
  const byNames = denyByMembership(question, fixed);
  if (byNames !== null) return byNames;
  return {
    kind: 'allow',
    rule: winner,
    dial: [formatAddress(fixed)],
    via: viaOf(routeFor(policies, winner, null, fixed), false),
  };
}

function hasAddress(known: readonly Address[] | 'failed', ip: Ip): boolean {
  if (known === 'failed') return false;
  const text = formatAddress(ip);
  return known.includes(text) || parseAll(known).some((other) => formatAddress(other) === text);
}

function opens(question: Question, rule: CompiledRule, ip: Ip, inCluster: boolean): boolean {
  const {policies, view} = question;
  const {ranges} = policies;
  if (rule.cidrs.length > 0 && !holdsAddress(rule, ip)) return false;
  if (inCluster && !anyHolds(ranges.service, ip) && !anyHolds(ranges.pod, ip)) return false;
  if (forbiddenBy(ranges, ip, view.subject.port, rule.cidrs, inCluster) !== null) return false;
  return !rule.usesDestinationIp || matchesWhen(rule, view, formatAddress(ip));
}

/** Deny rules on the address itself. */
function denyByAddress(
  question: Question,
  ip: Ip,
  perAddress: readonly CompiledRule[],
  test: DenyTest,
  seenAs: SeenAs | null,
): Outcome | null {
  const deny = denyOf(question, test, perAddress, ip);
  if (deny !== null && !(deny.needsRequest && (question.view.http !== null || !deny.allSchemes)))
    return deny.needsRequest ? uninspectable(deny) : ruleDenied(deny);
  if (seenAs === null) return null;
  const further = denyOf(question, {schemes: seenAs.schemes, seen: question.view.http !== null}, seenAs.perAddress, ip);
  if (further === null) return null;
  return further.needsRequest && question.view.http === null ? uninspectable(further) : ruleDenied(further);
}

/** A Deny's exact hosts, by the addresses that they have: only asked once an Allow would otherwise hold. */
function denyByMembership(question: Question, ip: Ip): Outcome | null {
  const {group, view, names, policies} = question;
  const found = new Candidates();
  tcpByName(group.deny, view.subject.port, found);
  const unknown = new Set<string>();
  const embedded = embeddedIpv4(ip, policies.ranges.nat64);
  const text = formatAddress(ip);
  for (let rule = found.next(); rule !== null; rule = found.next()) {
    if (!coversPort(rule, TCP, view.subject.port)) continue;
    if (rule.needsRequest && (view.http !== null || !rule.allSchemes)) continue;
    if (rule.cidrs.length > 0 && !denyHolds(rule.cidrs, ip, embedded)) continue;
    if (!(rule.needsRequest ? couldHold(rule, view, text) : matchesWhen(rule, view, text))) continue;
    for (const host of rule.exactHosts) {
      const known = names.get(host);
      if (known === undefined) unknown.add(host);
      else if (unknown.size === 0 && hasAddress(known, ip))
        return rule.needsRequest ? uninspectable(rule) : ruleDenied(rule);
    }
  }
  return unknown.size > 0 ? needsNames([...unknown], true) : null;
}

/** The explicit port: CONNECT names the host, and its looked-up addresses are judged and dialled. */
function judgeClaimed(
  question: Question,
  name: string,
  allows: readonly CompiledRule[],
  perAddress: readonly CompiledRule[],
  test: DenyTest,
  seenAs: SeenAs | null,
): Outcome {
  const {policies, view, names} = question;
  const inCluster = isUnder(name, policies.ranges.clusterDomain);
  const isBlind = (rule: CompiledRule): boolean => {
    const route = routeFor(policies, rule, name, null);
    return route.kind === 'proxy' && route.proxy.document.resolve === 'Proxy';
  };
  const usable = allows.filter((rule) => !isBlind(rule) || (rule.hasHosts && rule.cidrs.length === 0 && !inCluster));
  const first = usable[0];
  if (first === undefined) return noRuleMatched(view.subject.text, view.subject.port);
  if (isBlind(first)) {
    const counts = (rule: CompiledRule): boolean => !rule.needsRequest || (view.http === null && rule.allSchemes);
    const seen = seenAs === null ? null : {schemes: seenAs.schemes, seen: view.http !== null};
    const deny =
      denyUnresolved(question, test, perAddress.filter(counts)) ??
      (seenAs === null || seen === null ? null : denyUnresolved(question, seen, seenAs.perAddress));
    if (deny !== null) return deny.needsRequest && view.http === null ? uninspectable(deny) : ruleDenied(deny);
    if (first.usesDestinationIp && !matchesWhen(first, view, null))
      return denied('Unresolvable', first, `${name} is not looked up here.`);
    return {kind: 'allow', rule: first, dial: [], via: viaOf(routeFor(policies, first, name, null), true)};
  }
  const known = names.get(name);
  if (known === undefined) return needsNames([name], false);
  const ips = parseAll(known);
  if (ips.length === 0) return denied('Unresolvable', first, `${name} could not be looked up.`);
  let winner: CompiledRule | null = null;
  let refusal: Outcome | null = null;
  let allDenied = true;
  let forbidden: CompiledRule | null = null;
  const dial: Address[] = [];
  for (const ip of ips) {
    const refused = denyByAddress(question, ip, perAddress, test, seenAs);
    if (refused !== null) {
      refusal ??= refused;
      continue;
    }
    const rule = usable.find((one) => !isBlind(one) && opens(question, one, ip, inCluster)) ?? null;
    if (rule === null) {
      allDenied = false;
      const near = usable.find((one) => one.hasHosts || holdsAddress(one, ip)) ?? null;
      if (near !== null && (forbidden === null || near.order < forbidden.order)) forbidden = near;
      continue;
    }
    const byNames = denyByMembership(question, ip);
    if (byNames !== null && 'needs' in byNames) return byNames;
    if (byNames !== null) {
      refusal ??= byNames;
      continue;
    }
    allDenied = false;
    if (winner === null) winner = rule;
    if (winner === rule) dial.push(formatAddress(ip));
  }
  if (winner !== null) {
    const route = routeFor(policies, winner, name, parseAll(dial)[0]!);
    return {kind: 'allow', rule: winner, dial, via: viaOf(route, false)};
  }
  if (refusal !== null && allDenied) return refusal;
  if (forbidden === null) return noRuleMatched(view.subject.text, view.subject.port);
  return denied('DestinationForbidden', forbidden, `${label(forbidden)} opens none of the addresses of ${name}.`);
}
