/** tcp rules, by scanning. */
import type {Names, Scheme} from '../../policy/index.ts';
import {denyAt, denyAtOnce, denyUnresolved, deny, look, isBlind, known, type Asked, type Outcome} from './denies.ts';
import {httpOf} from './form.ts';
import {
  covers,
  holdsCidr,
  isDeny,
  looksAtAddress,
  needsRequest,
  opens,
  viaOf,
  whenCouldHold,
  whenHolds,
  type Rule,
  type World,
} from './rules.ts';
import {under} from './texts.ts';

/** tcp rules; null: none comes into question. `also`: what the connection was seen to be. */
export function tcp(world: World, rules: readonly Rule[], names: Names, also: readonly Scheme[]): Outcome | null {
  const {name, original, literal, port} = world.form;
  const seen = httpOf(world.request) !== null;
  const fixed = original ?? (name === null ? literal : null);
  const exact = (rule: Rule): string[] => rule.doc.to.hosts.filter((pattern) => !pattern.includes('*'));
  const allows = rules.filter((rule) => {
    if (isDeny(rule) || !covers(rule, 'tcp', port)) return false;
    if (!looksAtAddress(rule) && !whenHolds(world, rule, null)) return false;
    const {hosts, cidrs} = rule.doc.to;
    if (fixed === null) return hosts.length === 0 || exact(rule).includes(name!);
    return (cidrs.length === 0 || holdsCidr(rule, fixed)) && (hosts.length === 0 || exact(rule).length > 0);
  });
  if (allows.length === 0) return null;
  const asked: Asked = {schemes: ['tcp'], seen: false};
  // A Deny that needs the request means tcp too only where it was written without schemes; of a seen request it was judged.
  const counts = (rule: Rule): boolean => !needsRequest(rule) || (!seen && rule.doc.to.schemes === null);
  const denied = denyAtOnce(world, rules.filter(counts), asked, fixed === null ? name : null);
  if (denied.sure !== null) return deny('RuleDenied', denied.sure);
  if (denied.sealed !== null) return deny('Uninspectable', denied.sealed);
  const refuse = (rule: Rule): Outcome => deny(needsRequest(rule) && !seen ? 'Uninspectable' : 'RuleDenied', rule);
  const byIp = (ip: string): Outcome | null => {
    const own = denyAt(world, rules.filter(counts), asked, [fixed === null ? name : null], ip);
    if (own !== null) return refuse(own);
    const further = also.length === 0 ? null : denyAt(world, rules, {schemes: also, seen}, [name], ip);
    return further === null ? null : refuse(further);
  };
  const byMembership = (ip: string): Outcome | null => {
    const matching = rules.filter(
      (rule) =>
        isDeny(rule) &&
        covers(rule, 'tcp', port) &&
        counts(rule) &&
        (rule.doc.to.cidrs.length === 0 || holdsCidr(rule, ip)) &&
        (needsRequest(rule) ? whenCouldHold(world, rule, ip) : whenHolds(world, rule, ip)),
    );
    const missing: string[] = [];
    for (const rule of matching)
      for (const host of exact(rule)) {
        if (!names.has(host)) missing.push(host);
        else if (missing.length === 0 && known(names, host).includes(ip)) return refuse(rule);
      }
    return missing.length === 0 ? null : look(missing, true);
  };

  if (fixed !== null) {
    const refused = byIp(fixed);
    if (refused !== null) return refused;
    const {clusterDomain} = world.installation;
    let near: Rule | null = null;
    const missing: string[] = [];
    for (const rule of allows) {
      const hosts = exact(rule);
      missing.push(...hosts.filter((host) => !names.has(host)));
      const member = hosts.find((host) => known(names, host).includes(fixed));
      if (rule.doc.to.hosts.length > 0 && member === undefined) continue;
      if (hosts.some((host) => !names.has(host))) continue;
      if (opens(world, rule, fixed, member !== undefined && under(member, clusterDomain) ? member : null)) {
        if (missing.length > 0) return look(missing, true);
        return (
          byMembership(fixed) ?? {
            kind: 'allow',
            rule,
            dial: [fixed],
            via: viaOf(world, rule.doc.via, null, fixed, false),
          }
        );
      }
      near ??= rule;
    }
    if (missing.length > 0) return look(missing, true);
    return near === null ? deny('NoRuleMatched', null, true) : deny('DestinationForbidden', near);
  }

  const inCluster = under(name!, world.installation.clusterDomain);
  const usable = allows.filter(
    (rule) => !isBlind(world, rule) || (rule.doc.to.hosts.length > 0 && rule.doc.to.cidrs.length === 0 && !inCluster),
  );
  const [first] = usable;
  if (first === undefined) return deny('NoRuleMatched', null, true);
  if (isBlind(world, first)) {
    const unknown =
      denyUnresolved(world, rules.filter(counts), asked) ??
      (also.length > 0 ? denyUnresolved(world, rules, {schemes: also, seen}) : null);
    if (unknown !== null) return refuse(unknown);
    if (looksAtAddress(first) && !whenHolds(world, first, null)) return deny('Unresolvable', first);
    return {kind: 'allow', rule: first, dial: [], via: viaOf(world, first.doc.via, name, null, true)};
  }
  if (!names.has(name!)) return look([name!]);
  const ips = known(names, name!);
  if (ips.length === 0) return deny('Unresolvable', first);
  const refusals: Outcome[] = [];
  const near: Rule[] = [];
  let winner: {rule: Rule; dial: string[]} | null = null;
  for (const ip of ips) {
    const refused = byIp(ip);
    if (refused !== null) {
      refusals.push(refused);
      continue;
    }
    const rule = usable.find((one) => !isBlind(world, one) && opens(world, one, ip, name));
    if (rule === undefined) {
      const held = usable.find((one) => one.doc.to.hosts.length > 0 || holdsCidr(one, ip));
      if (held !== undefined) near.push(held);
      continue;
    }
    const member = byMembership(ip);
    if (member !== null && 'needs' in member) return member;
    if (member !== null) refusals.push(member);
    else if (winner === null) winner = {rule, dial: [ip]};
    else if (winner.rule === rule) winner.dial.push(ip);
  }
  if (winner !== null)
    return {
      kind: 'allow',
      rule: winner.rule,
      dial: winner.dial,
      via: viaOf(world, winner.rule.doc.via, name, winner.dial[0]!, false),
    };
  if (refusals.length === ips.length) return refusals[0]!;
  const forbidden = usable.find((rule) => near.includes(rule));
  return forbidden === undefined ? deny('NoRuleMatched', null, true) : deny('DestinationForbidden', forbidden);
}
