/** Steps 3 to 6 for a request that was seen: http, or https that was decrypted. */
import {coversPort, HTTP, HTTPS, type CompiledRule} from '../compile-rule.ts';
import {isUnder} from '../match/hosts.ts';
import {byAddress, byAnyAddress, byName, Candidates} from '../match/rule-index.ts';
import {judgeAddresses} from './address.ts';
import {AllowList} from './lookup.ts';
import {matchesHttp, matchesWhen, type View} from './conditions.ts';
import {judgeDenies, type DenyTest} from './denies.ts';
import {judgeOpaque} from './opaque.ts';
import {denied, isNeeds, ruleDenied, type Outcome, type Question} from './outcome.ts';

export function judgeWeb(question: Question): Outcome {
  const outcome = judgeReadings(question);
  if (isNeeds(outcome) || outcome.kind === 'allow' || !isRuleRefusal(outcome.reason) || !question.view.ambiguous)
    return outcome;
  // POLICY.md "Readings": where the literal reading alone would be allowed, the refusal is of the ambiguity.
  const literal = judgeReadings({...question, view: question.view.literal(question.request)});
  if (!isNeeds(literal) && literal.kind === 'deny') return outcome;
  return denied(
    'AmbiguousPath',
    null,
    'Servers may read this path, query or these headers in a way that no rule allows.',
    true,
  );
}

function isRuleRefusal(reason: string): boolean {
  return reason === 'RuleDenied' || reason === 'NoRuleMatched' || reason === 'DestinationForbidden';
}

function judgeReadings(question: Question): Outcome {
  const {view, group, policies, request} = question;
  const {subject} = view;
  const {name, original, port} = subject;
  const scheme = request.traffic.kind === 'http' ? HTTP : HTTPS;
  const test: DenyTest = {schemes: scheme, seen: true};

  // 3. Deny rules.
  const denies = judgeDenies(question, test, name);
  if (denies.denied !== null) return ruleDenied(denies.denied, true);

  // 4. Allow rules. Those of cidrs alone hold the original destination, or the literal; on the explicit port perhaps an
  //    address of the name, once it is looked up.
  const paths = view.readings!.paths.slice(0, 1);
  const fits = (rule: CompiledRule): boolean =>
    coversPort(rule, scheme, port) &&
    matchesHttp(rule, view) &&
    (rule.usesDestinationIp || matchesWhen(rule, view, null));
  const found = new Candidates();
  if (name !== null) byName(group.allow, name, !isUnder(name, policies.ranges.clusterDomain), port, paths, found);
  const fixed = original ?? (name === null ? subject.literal : null);
  if (fixed !== null) byAddress(group.allow, fixed, port, paths, found);
  const list = new AllowList(found, fits);
  const cidrsByLookup = fixed === null && hasCidrRule(question, fits, paths);

  // 5. and 6.
  const outcome = judgeAddresses({question, test, denies, list, fits, paths, fixed, cidrsByLookup});
  if (scheme === HTTPS || isNeeds(outcome) || outcome.kind === 'allow') return outcome;
  // A tcp rule matches any bytes to its address and port, HTTP among them, once the rules that look have been tried.
  const opaque = judgeOpaque(question, {schemes: HTTP, perAddress: denies.perAddress});
  return opaque !== null && (isNeeds(opaque) || opaque.kind === 'allow') ? opaque : outcome;
}

/** Whether an Allow of cidrs alone could match an address of the name. */
export function hasCidrRule(
  question: Question,
  fits: (rule: CompiledRule) => boolean,
  paths: readonly string[] | null,
): boolean {
  const {group, view} = question;
  if (group.allow.cidrOnly === null) return false;
  const found = new Candidates();
  byAnyAddress(group.allow, view.subject.port, paths, found);
  for (let rule = found.next(); rule !== null; rule = found.next()) if (!rule.hasHosts && fits(rule)) return true;
  return false;
}

export type {View};
