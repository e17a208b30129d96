/** What the steps share: outcomes, and Deny rules asked at once and by address. */
import type {Names, Needs, Reason, Scheme, Via} from '../../policy/index.ts';
import {
  covers,
  holdsCidr,
  holdsName,
  httpHolds,
  isDeny,
  looksAtAddress,
  needsRequest,
  parentOf,
  whenCouldHold,
  whenHolds,
  type Rule,
  type World,
} from './rules.ts';
import {canonical} from './texts.ts';

export type Outcome =
  | {readonly kind: 'allow'; readonly rule: Rule; readonly dial: readonly string[]; readonly via: Via}
  | {readonly kind: 'deny'; readonly reason: Reason; readonly rule: Rule | null; readonly same: boolean}
  | Needs;

/** `same`: a request inside TLS would be refused for the same reason. */
export const deny = (reason: Reason, rule: Rule | null = null, same = false): Outcome => ({
  kind: 'deny',
  reason,
  rule,
  same,
});
export const look = (of: readonly string[], recent = false): Needs => ({needs: 'addresses', of, recent});
export const isDenied = (outcome: Outcome): boolean => !('needs' in outcome) && outcome.kind === 'deny';

/** What a Deny is asked about: the schemes that the connection may be, and whether its request was seen. */
export interface Asked {
  readonly schemes: readonly Scheme[];
  readonly seen: boolean;
}

const conditionsHold = (world: World, rule: Rule, {seen}: Asked, ip: string | null): boolean =>
  !seen && needsRequest(rule)
    ? whenCouldHold(world, rule, ip)
    : (!seen || httpHolds(world, rule)) && whenHolds(world, rule, ip);

const applies = ({form}: World, rule: Rule, {schemes}: Asked): boolean =>
  isDeny(rule) && schemes.some((scheme) => covers(rule, scheme, form.port));

/** Step 3: what matches by name and original destination. */
export function denyAtOnce(
  world: World,
  rules: readonly Rule[],
  asked: Asked,
  name: string | null,
): {sure: Rule | null; sealed: Rule | null} {
  const {original} = world.form;
  const matching = rules.filter((rule) => {
    if (!applies(world, rule, asked)) return false;
    const {hosts, cidrs} = rule.doc.to;
    if (hosts.length > 0 && (!holdsName(world, rule, name) || cidrs.length > 0)) return false;
    if (hosts.length === 0 && (original === null || !holdsCidr(rule, original))) return false;
    if (looksAtAddress(rule) && original === null) return false;
    return conditionsHold(world, rule, asked, original);
  });
  const sure = matching.find((rule) => asked.seen || !needsRequest(rule)) ?? null;
  return {sure, sealed: matching.find((rule) => !asked.seen && needsRequest(rule)) ?? null};
}

/** Step 6: what matches one address. */
export function denyAt(
  world: World,
  rules: readonly Rule[],
  asked: Asked,
  names: readonly (string | null)[],
  ip: string,
): Rule | null {
  return (
    rules.find((rule) => {
      const {hosts, cidrs} = rule.doc.to;
      return (
        applies(world, rule, asked) &&
        (cidrs.length > 0 || looksAtAddress(rule)) &&
        (hosts.length === 0 || names.some((name) => holdsName(world, rule, name))) &&
        (cidrs.length === 0 || holdsCidr(rule, ip)) &&
        conditionsHold(world, rule, asked, ip)
      );
    }) ?? null
  );
}

/** The name is not looked up here: cidrs match no name, and a `when` on the address is unknown. */
export const denyUnresolved = (world: World, rules: readonly Rule[], asked: Asked): Rule | null =>
  rules.find(
    (rule) =>
      applies(world, rule, asked) &&
      rule.doc.to.cidrs.length === 0 &&
      looksAtAddress(rule) &&
      holdsName(world, rule, world.form.name) &&
      conditionsHold(world, rule, asked, null),
  ) ?? null;

export const isBlind = (world: World, rule: Rule): boolean => {
  const parent = parentOf(world, rule.doc.via, world.form.name, null);
  return typeof parent === 'object' && parent.resolve === 'Proxy';
};

export const known = (names: Names, name: string): readonly string[] => {
  const found = names.get(name);
  return found === undefined || found === 'failed' ? [] : found.map(canonical);
};
