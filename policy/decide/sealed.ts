/**
 * A ClientHello: until it is decrypted, the connection is https and tls at once (POLICY.md "How rules match").
 * (a) A Deny that does not need the request and matches: refused.
 * (b) Else the first Allow that can match decides: tls passes it through, https has it decrypted.
 * (c) Else a tcp rule, if one holds.
 */
import {coversAny, coversPort, HTTPS, TLS, type CompiledRule} from '../compile-rule.ts';
import {isUnder} from '../match/hosts.ts';
import {byAddress, byAnyAddress, byName, Candidates} from '../match/rule-index.ts';
import {judgeAddresses, uninspectable} from './address.ts';
import {AllowList} from './lookup.ts';
import {couldHold, matchesWhen} from './conditions.ts';
import {judgeDenies, type Denies, type DenyTest} from './denies.ts';
import {judgeOpaque} from './opaque.ts';
import {denied, isNeeds, noRuleMatched, ruleDenied, type Outcome, type Question} from './outcome.ts';

const NEEDS_REQUEST: Outcome = {needs: 'request'};

/** `ech`: the ClientHello carries encrypted_client_hello, GREASE or not. */
export function judgeSealed(question: Question, ech: boolean): Outcome {
  const {view, group, policies, request} = question;
  const {subject} = view;
  const {name, original, port} = subject;
  const test: DenyTest = {schemes: HTTPS | TLS, seen: false};

  // (a)
  const denies = judgeDenies(question, test, name);
  // A Deny of tls alone matches no decrypted request, so it cannot be left to that.
  if (denies.denied !== null) return ruleDenied(denies.denied, coversPort(denies.denied, HTTPS, port));

  // (b)
  // In a mesh that passes TLS through, the SNI is all that a host-only https rule gets to see.
  const sniIsEnough = !request.canInspect && request.arrived === 'mesh';
  const passes = (rule: CompiledRule): boolean =>
    coversPort(rule, TLS, port) || (sniIsEnough && !rule.needsRequest && coversPort(rule, HTTPS, port));
  const fits = (rule: CompiledRule): boolean => {
    if (!coversAny(rule, HTTPS | TLS, port)) return false;
    // Unknown is not absent: what was not inspected is matched by no Allow that needs the request.
    if (sniIsEnough && rule.needsRequest) return false;
    if (rule.when === null || rule.usesDestinationIp) return true;
    return rule.when.needsRequest ? couldHold(rule, view, null) : matchesWhen(rule, view, null);
  };
  const found = new Candidates();
  if (name !== null) byName(group.allow, name, !isUnder(name, policies.ranges.clusterDomain), port, null, found);
  const fixed = original ?? (name === null ? subject.literal : null);
  if (fixed !== null) byAddress(group.allow, fixed, port, null, found);
  const list = new AllowList(found, fits);
  const potential = fixed === null ? firstPotential(question, fits) : null;
  const first = list.at(0);
  if (first === null && potential === null)
    return judgeOpaqueInstead(question, denies, noRuleMatched(subject.text, port), true);

  const decrypt = (): Outcome =>
    request.canInspect
      ? NEEDS_REQUEST
      : denied(
          'Uninspectable',
          first ?? potential,
          'An https rule needs to see the request, and this connection is not inspected.',
        );
  const certain = first !== null && (potential === null || first.order < potential.order) ? first : null;
  if (certain !== null && !passes(certain)) return decrypt();
  if (certain === null && !anyPasses(question, list, fits, passes)) return decrypt();
  if (certain?.hasHosts === true) {
    const refusal = passThroughRefusal(denies, ech);
    if (refusal !== null) return refusal;
  }

  const outcome = judgeAddresses({
    question,
    test,
    denies,
    list,
    fits,
    paths: null,
    fixed,
    cidrsByLookup: potential !== null,
  });
  if (isNeeds(outcome)) return outcome;
  if (outcome.kind === 'deny') return judgeOpaqueInstead(question, denies, {...outcome, deferrable: false}, false);
  if (!passes(outcome.rule)) return decrypt();
  return passThroughRefusal(denies, ech) ?? outcome;
}

/** Why a connection that a tls rule would carry may not pass unseen; null: it may. */
function passThroughRefusal(denies: Denies, ech: boolean): Outcome | null {
  if (ech)
    return denied(
      'UnsupportedProtocol',
      null,
      'The ClientHello is (or pretends to be) encrypted, so its name cannot be vouched for; only inspected connections may do that.',
    );
  return denies.sealed === null ? null : uninspectable(denies.sealed);
}

/** On the explicit port: the first Allow of cidrs alone that could match an address of the name. */
function firstPotential(question: Question, fits: (rule: CompiledRule) => boolean): CompiledRule | null {
  const found = new Candidates();
  byAnyAddress(question.group.allow, question.view.subject.port, null, found);
  for (let rule = found.next(); rule !== null; rule = found.next()) if (fits(rule)) return rule;
  return null;
}

function anyPasses(
  question: Question,
  list: AllowList,
  fits: (rule: CompiledRule) => boolean,
  passes: (rule: CompiledRule) => boolean,
): boolean {
  for (let i = 0; ; i++) {
    const rule = list.at(i);
    if (rule === null) break;
    if (passes(rule)) return true;
  }
  return firstPotential(question, (rule) => fits(rule) && passes(rule)) !== null;
}

/** tcp rules are tried after those that look at the bytes. `silent`: where none comes into question, `otherwise` is the whole answer. */
function judgeOpaqueInstead(question: Question, denies: Denies, otherwise: Outcome, silent: boolean): Outcome {
  const opaque = judgeOpaque(question, {schemes: HTTPS | TLS, perAddress: denies.perAddress});
  if (opaque === null) return otherwise;
  if (isNeeds(opaque)) return opaque;
  if (opaque.kind === 'allow') return denies.sealed === null ? opaque : uninspectable(denies.sealed);
  return silent ? opaque : otherwise;
}
