/**
 * The order of decision (POLICY.md), written once:
 *
 *   1. Well-formed: protocols nobody can vouch for, malformed requests, names that disagree, ambiguous paths.
 *   2. Selection: no policies loaded; an unknown workload; a policy that may select it and could not be loaded; the policies
 *      that select it, or the installation's default.
 *   3. Deny rules, cluster policies first.
 *   4. Allow rules, cluster first, then by policy name and rule order.
 *   5. Otherwise: NoRuleMatched.
 *   6. Address: what the Allow rules that match may dial.
 *
 * Steps 3 to 6 depend on what has been seen: decide/web.ts (a request), decide/sealed.ts (a ClientHello),
 * decide/opaque.ts (bytes). What is not known yet is asked for, as late as it can be.
 */
import type {CompiledRule} from './compile-rule.ts';
import type {PolicySet} from './compile.ts';
import {View} from './decide/conditions.ts';
import {judgeOpaque} from './decide/opaque.ts';
import {denied, isNeeds, label, noRuleMatched, type Denied, type Outcome, type Question} from './decide/outcome.ts';
import {passWithoutRule} from './decide/pass.ts';
import {judgeSealed} from './decide/sealed.ts';
import {readSubject, type Subject} from './decide/subject.ts';
import {routeFor, viaOf} from './decide/via.ts';
import {judgeWeb} from './decide/web.ts';
import type {Decision, Mutations, Names, Needs, Via} from './decision.ts';
import {denialResponse} from './deny.ts';
import {parseAddress} from './match/addresses.ts';
import {forbiddenBy, forbiddenInAudit} from './match/classes.ts';
import type {Reason} from './reasons.ts';
import type {Address, EgressRequest} from './request.ts';
import type {RuleGroup, Selection} from './select.ts';

const NO_MUTATIONS: Mutations = {set: {}, add: {}, remove: []};
const DIRECT: Via = {kind: 'direct'};

/**
 * The decision about a request or connection, or what has to be known first (then ask again with it). Pure and total.
 * @param names what was looked up so far, keyed by lower-case name without trailing dot.
 */
export function decide(policies: PolicySet | 'not-loaded', request: EgressRequest, names: Names): Decision | Needs {
  // 1.
  const subject = readSubject(request);
  if ('refused' in subject) return settle(request, null, denied(subject.refused, null, subject.message, true));

  // 2.
  if (policies === 'not-loaded')
    return settle(request, null, denied('PolicyNotLoaded', null, 'No policy has been loaded yet.', true));
  const {workload} = request;
  if (workload === 'unknown')
    return settle(
      request,
      null,
      denied('UnknownWorkload', null, 'The source address belongs to no known workload.', true),
    );
  const selection = policies.selector.select(workload);
  if (selection.mode === 'not-loaded')
    return settle(
      request,
      null,
      denied('PolicyNotLoaded', null, 'An egress policy that may select this workload could not be loaded.', true),
    );
  const view = new View(request, workload, subject, false);
  const question: Question = {policies, group: selection.deciding, request, view, names};
  if (selection.mode === 'none') return decideByDefault(question);
  if (request.traffic.kind === 'unread' && selection.all.allow.looksAt(subject.port)) return NEEDS_BYTES;

  // 3. to 6.
  const outcome = judge(question);
  return selection.mode === 'audit' ? audit(question, outcome) : enforce(question, selection, outcome);
}

const NEEDS_BYTES: Needs = {needs: 'bytes'};

function judge(question: Question): Outcome {
  const {traffic} = question.request;
  switch (traffic.kind) {
    case 'http':
    case 'https':
      return judgeWeb(question);
    case 'tls':
      return judgeSealed(question, traffic.tls.ech);
    case 'unread':
    case 'opaque': {
      const {subject} = question.view;
      return judgeOpaque(question, null) ?? noRuleMatched(subject.text, subject.port);
    }
  }
}

/** No policy selects: refused, or (defaultAction Allow) public addresses only. */
function decideByDefault(question: Question): Decision | Needs {
  const {policies, request, view} = question;
  if (policies.installation.defaultAction === 'Deny')
    return settle(request, null, denied('NoPolicySelects', null, 'No egress policy selects this workload.', true));
  // Step 1 holds without any policy too, so requests in the clear are looked at.
  if (request.traffic.kind === 'unread') return NEEDS_BYTES;
  const passed = passWithoutRule(question, (ip) => forbiddenBy(policies.ranges, ip, view.subject.port, [], false));
  if (isNeedsAnswer(passed)) return passed;
  if (passed.kind === 'deny') return settle(request, null, passed);
  return allow(request, {
    reason: 'DefaultAllowed',
    rule: null,
    enforced: true,
    wouldDeny: false,
    message: 'No egress policy selects this workload, and the installation allows public addresses by default.',
    dial: passed.dial,
    via: passed.via,
    mutate: false,
  });
}

const isNeedsAnswer = (answer: {readonly kind: string} | Needs): answer is Needs => 'needs' in answer;

/** One or more selecting policies enforce. */
function enforce(question: Question, selection: Selection, outcome: Outcome): Decision | Needs {
  const {request} = question;
  if (isNeeds(outcome)) return outcome;
  if (outcome.kind === 'deny') {
    const early = tooEarly(request, outcome);
    if (early !== null) return early;
  }
  const wouldDeny = wouldBeDenied(question, selection, outcome);
  if (typeof wouldDeny === 'object') return wouldDeny;
  if (outcome.kind === 'deny') return deny(request, selection.deciding, outcome, wouldDeny);
  return allow(request, {
    reason: 'RuleAllowed',
    rule: outcome.rule,
    enforced: true,
    wouldDeny,
    message: `Allowed by ${label(outcome.rule)}.`,
    dial: outcome.dial,
    via: outcome.via,
    mutate: true,
  });
}

/** What all selecting policies would say if the Audit ones enforced too. No name is looked up for what is refused anyway. */
function wouldBeDenied(
  question: Question,
  selection: Selection,
  outcome: Exclude<Outcome, Needs>,
): boolean | 'unknown' | Needs {
  if (selection.same) return outcome.kind === 'deny';
  const all = judge({...question, group: selection.all});
  if (!isNeeds(all)) return all.kind === 'deny';
  return all.needs === 'addresses' && outcome.kind === 'allow' ? all : 'unknown';
}

/** Every selecting policy is Audit: the would-be decision is told, and all passes but what step 1 and the addresses forbid. */
function audit(question: Question, outcome: Outcome): Decision | Needs {
  const {policies, request, view} = question;
  const {traffic} = request;
  const trusts = trustsCa(request);
  if (traffic.kind === 'unread') {
    if (isNeeds(outcome) && outcome.needs === 'addresses') return outcome;
    if (isNeeds(outcome) || outcome.kind === 'deny') return NEEDS_BYTES;
  }
  if (isNeeds(outcome)) {
    if (outcome.needs !== 'request' || trusts) return outcome;
    return passAudited(
      question,
      'Uninspectable',
      null,
      'unknown',
      'TLS is not inspected for this workload, since it does not trust the CA.',
    );
  }
  if (outcome.kind === 'allow') {
    const first = outcome.dial[0];
    if (first === undefined)
      return passAudited(question, 'RuleAllowed', outcome.rule, false, `Matches ${label(outcome.rule)}.`);
    // The rule's via is not applied; a parent that carries the destination by default is.
    const route = routeFor(policies, null, view.subject.name, parseAddress(first));
    return allow(request, {
      reason: 'RuleAllowed',
      rule: outcome.rule,
      enforced: false,
      wouldDeny: false,
      message: `Matches ${label(outcome.rule)} (Audit).`,
      dial: outcome.dial,
      via: outcome.rule.via === null ? outcome.via : viaOf(route, false),
      mutate: false,
    });
  }
  // A ClientHello that hides its name passes unseen by no rule, in Audit too.
  if (outcome.reason === 'UnsupportedProtocol') return settle(request, null, outcome);
  if (traffic.kind === 'tls' && request.canInspect && trusts && outcome.deferrable) return {needs: 'request'};
  if (traffic.kind === 'tls' && !trusts)
    return passAudited(
      question,
      'Uninspectable',
      null,
      'unknown',
      'TLS is not inspected for this workload, since it does not trust the CA.',
    );
  return passAudited(question, outcome.reason, outcome.rule, true, outcome.message);
}

function passAudited(
  question: Question,
  reason: Reason,
  rule: CompiledRule | null,
  wouldDeny: boolean | 'unknown',
  message: string,
): Decision | Needs {
  const {policies, request, view} = question;
  const {traffic} = request;
  if (traffic.kind === 'tls' && traffic.tls.ech)
    return settle(
      request,
      null,
      denied('UnsupportedProtocol', null, 'The ClientHello is (or pretends to be) encrypted, and is not inspected.'),
    );
  const passed = passWithoutRule(question, (ip) => forbiddenInAudit(policies.ranges, ip, view.subject.port));
  if (isNeedsAnswer(passed)) return passed;
  if (passed.kind === 'deny') {
    const named = passed.reason === reason ? rule : null;
    return settle(request, null, {...passed, rule: named});
  }
  return allow(request, {
    reason,
    rule,
    enforced: false,
    wouldDeny,
    message: `${message} (Audit: let through.)`,
    dial: passed.dial,
    via: passed.via,
    mutate: false,
  });
}

const trustsCa = ({workload, canInspect}: EgressRequest): boolean =>
  canInspect && workload !== 'unknown' && workload.trustsCa;

/** A refusal that the client would not understand yet is put off: to its bytes, or to its request inside TLS. */
function tooEarly(request: EgressRequest, outcome: Denied): Needs | null {
  if (request.traffic.kind === 'unread') return NEEDS_BYTES;
  if (request.traffic.kind === 'tls' && outcome.deferrable && trustsCa(request)) return {needs: 'request'};
  return null;
}

function settle(request: EgressRequest, group: RuleGroup | null, outcome: Denied): Decision | Needs {
  return tooEarly(request, outcome) ?? deny(request, group, outcome, true);
}

/** `group` null: no policy words this refusal. */
function deny(
  request: EgressRequest,
  group: RuleGroup | null,
  {reason, rule, message}: Denied,
  wouldDeny: boolean | 'unknown',
): Decision {
  const own = group === null ? null : (rule?.policy.deny ?? group.policies[0]?.document.deny ?? null);
  const policy = rule === null ? null : {namespace: rule.policy.namespace, name: rule.policy.name};
  return {
    id: request.id,
    verdict: 'deny',
    enforced: true,
    reason,
    policy,
    rule: rule?.document.name ?? null,
    wouldDeny,
    message,
    response: denialResponse(
      {
        id: request.id,
        reason,
        policy: policy === null ? null : policy.namespace === null ? policy.name : `${policy.namespace}/${policy.name}`,
        rule: rule?.document.name ?? null,
        message,
      },
      own,
    ),
    requestMutations: NO_MUTATIONS,
    responseMutations: NO_MUTATIONS,
    via: DIRECT,
    inspect: request.traffic.kind === 'tls' && trustsCa(request),
    dial: [],
  };
}

interface Allowed {
  readonly reason: Reason;
  readonly rule: CompiledRule | null;
  readonly enforced: boolean;
  readonly wouldDeny: boolean | 'unknown';
  readonly message: string;
  readonly dial: readonly Address[];
  readonly via: Via;
  /** Whether the rule's mutations apply. */
  readonly mutate: boolean;
}

function allow(request: EgressRequest, allowed: Allowed): Decision {
  const {rule, mutate} = allowed;
  return {
    id: request.id,
    verdict: 'allow',
    enforced: allowed.enforced,
    reason: allowed.reason,
    policy: rule === null ? null : {namespace: rule.policy.namespace, name: rule.policy.name},
    rule: rule?.document.name ?? null,
    wouldDeny: allowed.wouldDeny,
    message: allowed.message,
    response: null,
    requestMutations: mutate && rule !== null ? rule.requestMutations : NO_MUTATIONS,
    responseMutations: mutate && rule !== null ? rule.responseMutations : NO_MUTATIONS,
    via: allowed.via,
    inspect: false,
    dial: allowed.dial,
  };
}

export type {Subject};
