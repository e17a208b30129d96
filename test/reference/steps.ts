/** Steps 3 to 6 by scanning all the rules of a set of policies. */
import type {Names} from '../../policy/index.ts';
import {
  denyAt,
  denyAtOnce,
  denyUnresolved,
  deny,
  look,
  isDenied,
  isBlind,
  known,
  type Asked,
  type Outcome,
} from './denies.ts';
import {
  covers,
  holdsCidr,
  holdsClosely,
  holdsName,
  httpHolds,
  isDeny,
  looksAtAddress,
  needsRequest,
  opens,
  parentOf,
  viaOf,
  whenCouldHold,
  whenHolds,
  whenNeedsRequest,
  type Rule,
  type World,
} from './rules.ts';
import {tcp} from './tcp.ts';
import {under} from './texts.ts';

/** Whether the rule comes into question before any address is known. */
function comesIntoQuestion(world: World, rule: Rule): boolean {
  const {hosts} = rule.doc.to;
  const {name, original, literal} = world.form;
  if (hosts.length > 0) return holdsName(world, rule, name);
  const fixed = original ?? literal;
  return fixed === null || holdsCidr(rule, fixed);
}

/** Steps 5 and 6 for rules that look at names. `candidates` in order, all matching but for the address. */
function byAddress(
  world: World,
  rules: readonly Rule[],
  asked: Asked,
  candidates: readonly Rule[],
  names: Names,
): Outcome {
  const {name, original, literal} = world.form;
  const fixed = original ?? (name === null ? literal : null);
  const none = deny('NoRuleMatched', null, true);
  if (candidates.length === 0) return none;

  const judge = (
    ips: readonly string[],
    among: readonly Rule[],
    resolved: string | null,
    aliases: readonly (string | null)[],
  ): Outcome => {
    const results = ips.map((ip) => {
      const denied = denyAt(world, rules, asked, aliases, ip);
      if (denied !== null) return {ip, denied};
      // resolve Proxy: cidrs match no name, so such a rule does not even come near.
      const sightless = ({doc}: Rule): boolean => {
        const parent = parentOf(world, doc.via, name, ip);
        return typeof parent === 'object' && parent.resolve === 'Proxy' && doc.to.cidrs.length > 0 && name !== null;
      };
      const held = among.filter(
        (one) =>
          (one.doc.to.hosts.length > 0 || holdsCidr(one, ip)) && !(opens(world, one, ip, resolved) && sightless(one)),
      );
      const rule = held.find((one) => opens(world, one, ip, resolved));
      return rule === undefined ? {ip, near: held[0] ?? null} : {ip, rule};
    });
    const first = results.find((result) => result.rule !== undefined);
    if (first?.rule !== undefined) {
      const named = first.rule.doc.to.hosts.length > 0;
      const via = viaOf(world, first.rule.doc.via, name, first.ip, named);
      const dial = results.filter(
        ({rule, ip}) =>
          rule === first.rule && JSON.stringify(viaOf(world, rule.doc.via, name, ip, named)) === JSON.stringify(via),
      );
      return {kind: 'allow', rule: first.rule, dial: dial.map(({ip}) => ip), via};
    }
    const denied = results[0]?.denied;
    if (denied !== undefined && results.every((result) => result.denied !== undefined))
      return deny(!asked.seen && needsRequest(denied) ? 'Uninspectable' : 'RuleDenied', denied);
    const near = among.find((rule) => results.some((result) => result.near === rule));
    return near === undefined ? none : deny('DestinationForbidden', near);
  };
  const unresolved = (rule: Rule): Outcome => {
    const denied = denyUnresolved(world, rules, asked);
    if (denied !== null) return deny('RuleDenied', denied);
    if (looksAtAddress(rule) && !whenHolds(world, rule, null)) return deny('Unresolvable', rule);
    return {kind: 'allow', rule, dial: [], via: viaOf(world, rule.doc.via, name, null, true)};
  };
  const byFixed = (): Outcome | null => {
    const among = candidates.filter(({doc}) => doc.to.hosts.length === 0);
    return fixed === null || among.length === 0 ? null : judge([fixed], among, null, [name]);
  };
  const byName = (): Outcome | null => {
    if (name === null) return null;
    const {clusterDomain, searchDomains} = world.installation;
    const named = candidates.filter(({doc}) => doc.to.hosts.length > 0 || fixed === null);
    const hosted = named.filter(({doc}) => doc.to.hosts.length > 0);
    if (named.length === 0) return null;
    const closely = (rule: Rule): boolean =>
      rule.doc.to.cidrs.length === 0 && holdsClosely(rule, name) && !under(name, clusterDomain);
    const blind = hosted.find((rule) => isBlind(world, rule) && closely(rule)) ?? null;
    if (blind !== null && blind === hosted[0]) return unresolved(blind);
    const before = named.filter(
      (rule) =>
        rule.doc.to.hosts.length === 0 ||
        (!isBlind(world, rule) && (blind === null || hosted.indexOf(rule) < hosted.indexOf(blind))),
    );
    if (before.length === 0) return blind === null ? none : unresolved(blind);
    if (!names.has(name)) return look([name]);
    const give = (outcome: Outcome): Outcome => (isDenied(outcome) && blind !== null ? unresolved(blind) : outcome);
    if (known(names, name).length > 0) return give(judge(known(names, name), before, name, [name]));
    if (name.split('.').length <= 2)
      for (const domain of searchDomains) {
        const longer = `${name}.${domain}`;
        const among = before.filter((rule) => rule.doc.to.hosts.length === 0 || holdsName(world, rule, longer));
        if (among.length === 0) continue;
        const {sure} = denyAtOnce(world, rules, asked, longer);
        if (sure !== null) return deny('RuleDenied', sure);
        if (!names.has(longer)) return look([longer]);
        if (known(names, longer).length > 0) return give(judge(known(names, longer), among, longer, [name, longer]));
      }
    if (blind !== null) return unresolved(blind);
    const left = before.find((rule) => {
      const parent = parentOf(world, rule.doc.via, name, null);
      return (
        rule.doc.to.hosts.length > 0 &&
        closely(rule) &&
        typeof parent === 'object' &&
        parent.resolve === 'Both' &&
        (!looksAtAddress(rule) || whenHolds(world, rule, null))
      );
    });
    return left === undefined
      ? deny('Unresolvable', before.find(({doc}) => doc.to.hosts.length > 0) ?? null)
      : unresolved(left);
  };
  // Where Envoy dials, a claimed name must have the address that it was given.
  // It need not where Envoy dials what is answered.
  const {arrived, dialsAnswer} = world.request;
  if (arrived === 'mesh' && dialsAnswer !== true && fixed !== null && name !== null) {
    // Unless a parent dials, by the name.
    const looked = world.proxies.length === 0 ? null : byName();
    if (looked !== null && 'needs' in looked) return looked;
    if (looked?.kind === 'allow' && looked.via.kind === 'proxy' && looked.via.sends === 'name') return looked;
    const found = names.get(name);
    if (found === undefined) return look([name]);
    if (found === 'failed') return deny('Unresolvable', candidates[0]);
    if (!known(names, name).includes(fixed)) return deny('HostMismatch', null, true);
    return judge([fixed], candidates, name, [name]);
  }
  const order = candidates[0]!.doc.to.hosts.length === 0 && fixed !== null ? [byFixed, byName] : [byName, byFixed];
  let refusal: Outcome | null = null;
  for (const step of order) {
    const outcome = step();
    if (outcome === null) continue;
    if ('needs' in outcome && refusal !== null && order[1] === byFixed) continue;
    if (!isDenied(outcome)) {
      if ('needs' in outcome || outcome.kind === 'allow') return outcome;
    }
    refusal ??= outcome;
  }
  return refusal ?? none;
}

/** A request that was seen. */
export function web(world: World, rules: readonly Rule[], names: Names): Outcome {
  const scheme = world.request.traffic.kind as 'https' | 'http';
  const asked: Asked = {schemes: [scheme], seen: true};
  const {sure} = denyAtOnce(world, rules, asked, world.form.name);
  if (sure !== null) return deny('RuleDenied', sure, true);
  const candidates = rules.filter(
    (rule) =>
      !isDeny(rule) &&
      covers(rule, scheme, world.form.port) &&
      httpHolds(world, rule) &&
      (looksAtAddress(rule) || whenHolds(world, rule, null)) &&
      comesIntoQuestion(world, rule),
  );
  const outcome = byAddress(world, rules, asked, candidates, names);
  if (scheme === 'https' || !isDenied(outcome)) return outcome;
  const opaque = tcp(world, rules, names, ['http']);
  return opaque === null || isDenied(opaque) ? outcome : opaque;
}

/** A ClientHello. */
export function sealed(world: World, rules: readonly Rule[], names: Names, ech: boolean): Outcome {
  const {port, name, original, literal} = world.form;
  const {canInspect, arrived} = world.request;
  const asked: Asked = {schemes: ['https', 'tls'], seen: false};
  const denied = denyAtOnce(world, rules, asked, name);
  if (denied.sure !== null) return deny('RuleDenied', denied.sure, covers(denied.sure, 'https', port));
  const bySni = !canInspect && arrived === 'mesh';
  const passes = (rule: Rule): boolean =>
    covers(rule, 'tls', port) || (bySni && !needsRequest(rule) && covers(rule, 'https', port));
  const candidates = rules.filter(
    (rule) =>
      !isDeny(rule) &&
      (covers(rule, 'https', port) || covers(rule, 'tls', port)) &&
      !(bySni && needsRequest(rule)) &&
      (looksAtAddress(rule) ||
        (whenNeedsRequest(rule) ? whenCouldHold(world, rule, null) : whenHolds(world, rule, null))) &&
      comesIntoQuestion(world, rule),
  );
  const instead = (refusal: Outcome, nothing: boolean): Outcome => {
    const opaque = tcp(world, rules, names, ['https', 'tls']);
    if (opaque === null) return refusal;
    if ('needs' in opaque) return opaque;
    if (opaque.kind === 'allow') return denied.sealed === null ? opaque : deny('Uninspectable', denied.sealed);
    return nothing ? opaque : refusal;
  };
  const first = candidates[0];
  if (first === undefined) return instead(deny('NoRuleMatched', null, true), true);
  const decrypt: Outcome = canInspect
    ? {needs: 'request'}
    : deny(
        'Uninspectable',
        candidates.find(({doc}) => doc.to.hosts.length > 0 || (original ?? literal) !== null) ?? first,
      );
  const certain = first.doc.to.hosts.length > 0 || (original ?? literal) !== null;
  if (certain ? !passes(first) : !candidates.some(passes)) return decrypt;
  const unseen = ech
    ? deny('UnsupportedProtocol')
    : denied.sealed === null
      ? null
      : deny('Uninspectable', denied.sealed);
  if (certain && first.doc.to.hosts.length > 0 && unseen !== null) return unseen;
  const outcome = byAddress(world, rules, asked, candidates, names);
  if ('needs' in outcome) return outcome;
  if (outcome.kind === 'deny') return instead({...outcome, same: false}, false);
  return passes(outcome.rule) ? (unseen ?? outcome) : decrypt;
}
