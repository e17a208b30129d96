/**
 * Step 6: which addresses may be dialled, and by which rule. Addresses are judged one by one; the first that survives
 * fixes the rule, and only addresses that give that same rule (and leave the same way) are dialled.
 */
import {holdsName, holdsNameClosely, type CompiledRule} from '../compile-rule.ts';
import type {Needs, Via} from '../decision.ts';
import type {Address} from '../request.ts';
import {formatAddress, parseAddress, type Ip} from '../match/addresses.ts';
import {anyHolds, forbiddenBy} from '../match/classes.ts';
import {isUnder} from '../match/hosts.ts';
import {byAddress, Candidates, holdsAddress} from '../match/rule-index.ts';
import {matchesWhen} from './conditions.ts';
import {denyOf, denyUnresolved, type Denies, type DenyTest} from './denies.ts';
import {denied, label, needsNames, noRuleMatched, ruleDenied, type Outcome, type Question} from './outcome.ts';
import {firstOf, lookUp, type AllowList} from './lookup.ts';
import {routeFor, sameRoute, viaOf, type Route} from './via.ts';

export interface AddressStep {
  readonly question: Question;
  readonly test: DenyTest;
  readonly denies: Denies;
  /** Rules with hosts that hold the name, and rules with cidrs that hold the fixed address. */
  readonly list: AllowList;
  /** Whether a rule of cidrs alone fits but for its address: asked of each looked-up address on the explicit port. */
  readonly fits: (rule: CompiledRule) => boolean;
  /** The literal reading of the path, for the index; null: any. */
  readonly paths: readonly string[] | null;
  /** The address that needs no lookup: the original destination, or the literal on the explicit port. */
  readonly fixed: Ip | null;
  /** On the explicit port a rule of cidrs alone could match a looked-up address of the name. */
  readonly cidrsByLookup: boolean;
}

type AddressVerdict =
  | {readonly kind: 'allowed'; readonly rule: CompiledRule; readonly route: Route}
  | {readonly kind: 'denied'; readonly rule: CompiledRule}
  | {readonly kind: 'forbidden'; readonly rule: CompiledRule | null; readonly why: string};

export function judgeAddresses(step: AddressStep): Outcome {
  const {question, list, fixed} = step;
  const {subject} = question.view;
  const first = list.at(0);
  if (first === null && !step.cidrsByLookup) return noRuleMatched(subject.text, subject.port);
  const {arrived, dialsAnswer} = question.request;
  if (arrived === 'mesh' && dialsAnswer !== true && fixed !== null && subject.name !== null)
    return judgeByParent(step) ?? judgeMesh(step, fixed, subject.name, first);
  if (first !== null && !first.hasHosts && fixed !== null) {
    const outcome = judgeFixed(step, fixed);
    if ('needs' in outcome || outcome.kind === 'allow') return outcome;
    const later = judgeLooked(step);
    return later !== null && ('needs' in later || later.kind === 'allow') ? later : outcome;
  }
  const outcome = judgeLooked(step);
  if (outcome !== null && ('needs' in outcome || outcome.kind === 'allow')) return outcome;
  const later = fixed === null ? null : judgeFixed(step, fixed);
  if (later !== null && !('needs' in later) && later.kind === 'allow') return later;
  return outcome ?? later ?? noRuleMatched(subject.text, subject.port);
}

/** What leaves through a parent by its name is dialled by the parent, whatever address the client had; null: it leaves otherwise, or is refused. */
function judgeByParent(step: AddressStep): Outcome | null {
  if (step.question.policies.proxies.size === 0) return null;
  const outcome = judgeLooked(step);
  if (outcome === null || 'needs' in outcome) return outcome;
  return outcome.kind === 'allow' && outcome.via.kind === 'proxy' && outcome.via.sends === 'name' ? outcome : null;
}

/** What Envoy dials is given: a claimed name must have that address (DESIGN §5). */
function judgeMesh(step: AddressStep, fixed: Ip, name: string, first: CompiledRule | null): Outcome {
  const known = step.question.names.get(name);
  if (known === undefined) return needsNames([name], false);
  if (known === 'failed') return denied('Unresolvable', first, `${name} could not be looked up.`);
  if (!known.some((address) => sameAddress(address, fixed)))
    return denied('HostMismatch', null, `The destination is none of the addresses of ${name}.`, true);
  return conclude(step, [fixed], () => true, name, step.denies);
}

function sameAddress(address: Address, ip: Ip): boolean {
  const other = parseAddress(address);
  return other !== null && formatAddress(other) === formatAddress(ip);
}

/** Rules with cidrs alone, by the address that was dialled or written. */
function judgeFixed(step: AddressStep, fixed: Ip): Outcome {
  return conclude(step, [fixed], (rule) => !rule.hasHosts, null, step.denies);
}

/** Rules by name (and on the explicit port those with cidrs alone), by the looked-up addresses; null: there is no such rule. */
function judgeLooked(step: AddressStep): Outcome | null {
  const {question, list} = step;
  const {policies, view} = question;
  const {name} = view.subject;
  if (name === null) return null;
  const fits = (rule: CompiledRule): boolean => rule.hasHosts;
  let first = firstOf(list, fits);
  if (first === null && !step.cidrsByLookup) return null;
  // A parent that looks names up itself is never second-guessed: the first rule that leaves that way ends the list.
  const blind = firstBlind(step, name);
  if (blind !== null && blind === first) return leaveUnresolved(step, blind, name);
  const before = (rule: CompiledRule): boolean =>
    rule.hasHosts && (blind === null || rule.order < blind.order) && !isBlind(step, rule, name);
  first = firstOf(list, before);
  if (first === null && !step.cidrsByLookup)
    return blind === null ? noRuleMatched(view.subject.text, view.subject.port) : leaveUnresolved(step, blind, name);
  const looked = lookUp(step, name, before);
  if ('needs' in looked) return looked;
  if (looked.kind === 'denied') return ruleDenied(looked.rule);
  if (looked.kind === 'found') {
    const {resolved, denies} = looked;
    const rules = (rule: CompiledRule): boolean =>
      before(rule) && (resolved === name || holdsName(rule, resolved, policies.ranges.clusterDomain));
    const outcome = conclude(step, looked.ips, rules, resolved, denies);
    if (outcome.kind === 'allow' || blind === null) return outcome;
    return leaveUnresolved(step, blind, name);
  }
  if (blind !== null) return leaveUnresolved(step, blind, name);
  const left = firstLeftToParent(step, name, before);
  if (left !== null) return leaveUnresolved(step, left, name);
  return denied('Unresolvable', first, `${name} could not be looked up.`);
}

/** Whether the rule's way out is a parent with resolve: Proxy. */
function isBlind(step: AddressStep, rule: CompiledRule, name: string): boolean {
  const route = routeFor(step.question.policies, rule, name, null);
  return route.kind === 'proxy' && route.proxy.document.resolve === 'Proxy';
}

/** The first rule that leaves through a parent with resolve: Proxy: exact or suffix hosts only, and no name of the cluster. */
function firstBlind(step: AddressStep, name: string): CompiledRule | null {
  const {policies} = step.question;
  if (!policies.hasBlindProxies || isUnder(name, policies.ranges.clusterDomain)) return null;
  return firstOf(
    step.list,
    (rule) => rule.hasHosts && rule.cidrs.length === 0 && holdsNameClosely(rule, name) && isBlind(step, rule, name),
  );
}

/** The first rule that leaves a name unknown here to its parent (resolve: Both): not by a bare `*`, and no name of the cluster. */
function firstLeftToParent(
  step: AddressStep,
  name: string,
  rules: (rule: CompiledRule) => boolean,
): CompiledRule | null {
  const {policies} = step.question;
  if (policies.proxies.size === 0 || isUnder(name, policies.ranges.clusterDomain)) return null;
  return firstOf(step.list, (rule) => {
    if (!rules(rule) || rule.cidrs.length > 0 || !holdsNameClosely(rule, name)) return false;
    const route = routeFor(policies, rule, name, null);
    if (route.kind !== 'proxy' || route.proxy.document.resolve !== 'Both') return false;
    return !rule.usesDestinationIp || matchesWhen(rule, step.question.view, null);
  });
}

/** Allowed with no address of ours: the parent gets the name. */
function leaveUnresolved(step: AddressStep, rule: CompiledRule, name: string): Outcome {
  const {question, test, denies} = step;
  const deny = denyUnresolved(question, test, denies.perAddress);
  if (deny !== null) return ruleDenied(deny);
  if (rule.usesDestinationIp && !matchesWhen(rule, question.view, null))
    return denied('Unresolvable', rule, `${label(rule)} looks at the address of ${name}, which is not looked up here.`);
  return {kind: 'allow', rule, dial: [], via: viaOf(routeFor(question.policies, rule, name, null), true)};
}

/** Judges the addresses by the rules that `rules` picks. `resolved`: the name they are addresses of; null: of none. */
function conclude(
  step: AddressStep,
  ips: readonly Ip[],
  rules: (rule: CompiledRule) => boolean,
  resolved: string | null,
  denies: Denies,
): Exclude<Outcome, Needs> {
  const {subject} = step.question.view;
  let winner: {rule: CompiledRule; route: Route; via: Via} | null = null;
  const dial: Address[] = [];
  let deny: CompiledRule | null = null;
  let forbidden: CompiledRule | null = null;
  let why = '';
  let allDenied = true;
  for (const ip of ips) {
    const verdict = judgeOne(step, ip, rules, resolved, denies);
    switch (verdict.kind) {
      case 'allowed':
        if (winner === null) {
          const {rule, route} = verdict;
          winner = {rule, route, via: viaOf(route, rule.hasHosts)};
        } else if (winner.rule !== verdict.rule || !sameRoute(winner.route, verdict.route)) break;
        dial.push(formatAddress(ip));
        break;
      case 'denied':
        deny ??= verdict.rule;
        break;
      case 'forbidden':
        allDenied = false;
        if (verdict.rule !== null && (forbidden === null || verdict.rule.order < forbidden.order)) {
          forbidden = verdict.rule;
          why = verdict.why;
        }
        break;
    }
  }
  if (winner !== null) return {kind: 'allow', rule: winner.rule, dial, via: winner.via};
  if (deny !== null && allDenied) return deny.needsRequest && !step.test.seen ? uninspectable(deny) : ruleDenied(deny);
  if (forbidden === null) return noRuleMatched(subject.text, subject.port);
  return denied(
    'DestinationForbidden',
    forbidden,
    `${subject.text} is at an address that ${label(forbidden)} does not open: ${why}.`,
  );
}

export function uninspectable(rule: CompiledRule) {
  return denied(
    'Uninspectable',
    rule,
    `${label(rule)} needs to see the request, and this connection is not inspected.`,
  );
}

function judgeOne(
  step: AddressStep,
  ip: Ip,
  rules: (rule: CompiledRule) => boolean,
  resolved: string | null,
  denies: Denies,
): AddressVerdict {
  const {question, test, list} = step;
  const {policies, view, group} = question;
  const deny = denyOf(question, test, denies.perAddress, ip);
  if (deny !== null) return {kind: 'denied', rule: deny};
  let forbidden: CompiledRule | null = null;
  let why = '';
  const consider = (rule: CompiledRule): Route | null => {
    const refusal = refusalOf(step, rule, ip, resolved);
    if (refusal === null) {
      const route = routeFor(policies, rule, view.subject.name, ip);
      // POLICY.md, resolve Proxy: cidrs match no name.
      if (
        rule.cidrs.length === 0 ||
        view.subject.name === null ||
        route.kind !== 'proxy' ||
        route.proxy.document.resolve !== 'Proxy'
      )
        return route;
      return null;
    }
    forbidden ??= rule;
    if (forbidden === rule) why = refusal;
    return null;
  };
  const extra = step.cidrsByLookup && resolved !== null ? new Candidates() : null;
  if (extra !== null) byAddress(group.allow, ip, view.subject.port, step.paths, extra);
  let other = nextFitting(extra, step.fits);
  for (let i = 0; ; i++) {
    const rule = list.at(i);
    while (other !== null && (rule === null || other.order < rule.order)) {
      const route = consider(other);
      if (route !== null) return {kind: 'allowed', rule: other, route};
      other = nextFitting(extra, step.fits);
    }
    if (rule === null) break;
    if (!rules(rule)) continue;
    const route = consider(rule);
    if (route !== null) return {kind: 'allowed', rule, route};
  }
  return {kind: 'forbidden', rule: forbidden, why};
}

function nextFitting(found: Candidates | null, fits: (rule: CompiledRule) => boolean): CompiledRule | null {
  if (found === null) return null;
  for (let rule = found.next(); rule !== null; rule = found.next()) if (!rule.hasHosts && fits(rule)) return rule;
  return null;
}

/** Why the rule does not open the address; null: it does. */
function refusalOf(step: AddressStep, rule: CompiledRule, ip: Ip, resolved: string | null): string | null {
  const {policies, view} = step.question;
  const {ranges} = policies;
  if (rule.cidrs.length > 0 && !holdsAddress(rule, ip)) return 'it is outside of its cidrs';
  const inCluster = resolved !== null && isUnder(resolved, ranges.clusterDomain);
  if (inCluster && !anyHolds(ranges.service, ip) && !anyHolds(ranges.pod, ip))
    return "a name of the cluster at an address that is none of the cluster's";
  const why = forbiddenBy(ranges, ip, view.subject.port, rule.cidrs, inCluster);
  if (why !== null) return why;
  if (rule.usesDestinationIp && !matchesWhen(rule, view, formatAddress(ip))) return 'its `when` does not hold there';
  return null;
}
