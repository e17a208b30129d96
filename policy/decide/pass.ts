/** What passes without an Allow rule (Audit, DefaultAllowed): at its original destination, or looked up on the explicit port. */
import {formatAddress, type Ip} from '../match/addresses.ts';
import type {Needs, Via} from '../decision.ts';
import type {Address} from '../request.ts';
import {parseAll} from './lookup.ts';
import {denied, needsNames, type Denied, type Question} from './outcome.ts';
import {routeFor, viaOf} from './via.ts';
import {normalizeHost} from '../match/hosts.ts';

export type Passed = {readonly kind: 'pass'; readonly dial: readonly Address[]; readonly via: Via} | Denied | Needs;

/** `forbids`: why an address may not be dialled. The address was judged, so a parent is sent that. */
export function passWithoutRule(question: Question, forbids: (ip: Ip) => string | null): Passed {
  const {policies, view} = question;
  const {subject} = view;
  const fixed = subject.original ?? subject.literal;
  let ips: readonly Ip[];
  if (fixed !== null) ips = [fixed];
  else {
    const looked = lookUp(question, subject.name!);
    if (!Array.isArray(looked)) return looked as Needs;
    if (looked.length === 0) return denied('Unresolvable', null, `${subject.text} could not be looked up.`);
    ips = looked;
  }
  const good: Ip[] = [];
  let why = '';
  for (const ip of ips) {
    const refusal = forbids(ip);
    if (refusal === null) good.push(ip);
    else if (why === '') why = refusal;
  }
  const first = good[0];
  if (first === undefined)
    return denied('DestinationForbidden', null, `${subject.text} is at an address that is not opened: ${why}.`);
  const via = viaOf(routeFor(policies, null, subject.name, first), false);
  return {kind: 'pass', dial: good.map(formatAddress), via};
}

function lookUp(question: Question, name: string): readonly Ip[] | Needs {
  const {names, policies} = question;
  const readings = [name];
  if (name.split('.').length <= 2)
    for (const domain of policies.ranges.searchDomains) {
      const expanded = normalizeHost(`${name}.${domain}`);
      if (expanded !== null) readings.push(expanded);
    }
  for (const reading of readings) {
    const known = names.get(reading);
    if (known === undefined) return needsNames([reading], false);
    const ips = parseAll(known);
    if (ips.length > 0) return ips;
  }
  return [];
}
