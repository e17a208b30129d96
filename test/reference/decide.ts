/** The whole order of decision, naively: every rule of every document is looked at for every question. */
import type {
  Document,
  EgressRequest,
  Installation,
  Names,
  Needs,
  PolicyDocument,
  Reason,
  UpstreamProxyDocument,
  Via,
  Workload,
} from '../../policy/index.ts';
import {form as readForm, type Form} from './form.ts';
import {covers, isDeny, openedInAudit, opened, viaOf, type Rule, type World} from './rules.ts';
import {deny, isDenied, look, type Outcome} from './denies.ts';
import {sealed, web} from './steps.ts';
import {tcp} from './tcp.ts';
import {canonical} from './texts.ts';

/** The parts of a Decision that the reference speaks about. */
export interface Verdict {
  readonly verdict: 'allow' | 'deny';
  readonly enforced: boolean;
  readonly reason: Reason;
  /** `policy/rule` with the policy's namespace; null: none. */
  readonly rule: string | null;
  readonly wouldDeny: boolean | 'unknown';
  readonly dial: readonly string[];
  readonly via: Via;
  readonly status: number | null;
  readonly inspect: boolean;
}

function labelsHold(selector: PolicyDocument['podSelector'], labels: Readonly<Record<string, string>>): boolean {
  return (
    Object.entries(selector.matchLabels).every(([key, value]) => labels[key] === value) &&
    selector.matchExpressions.every(({key, operator, values}) => {
      const there = Object.hasOwn(labels, key);
      if (operator === 'Exists') return there;
      if (operator === 'DoesNotExist') return !there;
      return operator === 'In' ? there && values.includes(labels[key]!) : !there || !values.includes(labels[key]!);
    })
  );
}

function selectorHolds(
  selector: PolicyDocument['podSelector'],
  labels: Readonly<Record<string, string>> | null,
): boolean | 'unknown' {
  if (labels !== null) return labelsHold(selector, labels);
  const asks = Object.keys(selector.matchLabels).length + selector.matchExpressions.length > 0;
  return asks ? 'unknown' : true;
}

function selects(policy: PolicyDocument, workload: Workload): boolean | 'unknown' {
  const {kind, namespace, namespaceSelector, podSelector, serviceAccounts} = policy;
  const cluster = kind === 'ClusterEgressPolicy';
  const account = cluster ? `${workload.namespace}/${workload.serviceAccount}` : workload.serviceAccount;
  const answers = [
    cluster ? selectorHolds(namespaceSelector, workload.namespaceLabels) : namespace === workload.namespace,
    serviceAccounts.length === 0 || serviceAccounts.includes(account),
    selectorHolds(podSelector, workload.labels),
  ];
  return answers.includes(false) ? false : answers.includes('unknown') ? 'unknown' : true;
}

const OWN_STATUS: Partial<Record<Reason, number>> = {
  MalformedRequest: 400,
  AmbiguousPath: 400,
  UnsupportedProtocol: 400,
  HostMismatch: 421,
  Unresolvable: 502,
  PolicyNotLoaded: 503,
};
const BY_POLICY: readonly Reason[] = ['RuleDenied', 'NoRuleMatched', 'DestinationForbidden', 'Uninspectable'];

export function referenceDecide(
  documents: readonly Document[] | 'not-loaded',
  installation: Installation,
  request: EgressRequest,
  names: Names,
  notLoaded: readonly (string | null)[] = [],
): Verdict | Needs {
  const {traffic, workload} = request;
  const trusts = request.canInspect && workload !== 'unknown' && workload.trustsCa;
  const refuse = (
    outcome: Outcome,
    first: PolicyDocument | null,
    worded: boolean,
    wouldDeny: boolean | 'unknown' = true,
  ): Verdict | Needs => {
    if ('needs' in outcome || outcome.kind === 'allow') throw new Error('no refusal');
    if (traffic.kind === 'unread') return {needs: 'bytes'};
    if (traffic.kind === 'tls' && outcome.same && trusts) return {needs: 'request'};
    const {reason, rule} = outcome;
    const own = worded && BY_POLICY.includes(reason) ? (rule?.policy.deny ?? first?.deny ?? null) : null;
    return {
      verdict: 'deny',
      enforced: true,
      reason,
      rule: label(rule),
      wouldDeny,
      dial: [],
      via: {kind: 'direct'},
      status: own?.status ?? OWN_STATUS[reason] ?? 403,
      inspect: traffic.kind === 'tls' && trusts,
    };
  };
  const pass = (
    reason: Reason,
    rule: Rule | null,
    enforced: boolean,
    wouldDeny: boolean | 'unknown',
    dial: readonly string[],
    via: Via,
  ): Verdict => ({
    verdict: 'allow',
    enforced,
    reason,
    rule: label(rule),
    wouldDeny,
    dial,
    via,
    status: null,
    inspect: false,
  });

  // 1.
  const form = readForm(request);
  if (typeof form === 'string') return refuse(deny(form, null, true), null, false);
  // 2.
  if (documents === 'not-loaded') return refuse(deny('PolicyNotLoaded', null, true), null, false);
  if (workload === 'unknown') return refuse(deny('UnknownWorkload', null, true), null, false);
  if (notLoaded.some((namespace) => namespace === null || namespace === workload.namespace))
    return refuse(deny('PolicyNotLoaded', null, true), null, false);
  const proxies = documents.filter((one): one is UpstreamProxyDocument => one.kind === 'UpstreamProxy');
  const world: World = {installation, proxies, request, form, literal: false};
  const rank = ({kind, name, namespace}: PolicyDocument): string =>
    `${kind === 'ClusterEgressPolicy' ? 0 : 1} ${name} ${namespace ?? ''}`;
  const policies = documents
    .filter((one): one is PolicyDocument => one.kind !== 'UpstreamProxy')
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
  const certain = policies.filter((policy) => selects(policy, workload) === true);
  const perhaps = policies.filter((policy) => selects(policy, workload) === 'unknown');
  const rulesOf = (modes: readonly string[]): Rule[] =>
    policies
      .filter((policy) => modes.includes(policy.mode) && (certain.includes(policy) || perhaps.includes(policy)))
      .flatMap((policy) => policy.rules.map((doc) => ({policy, doc})))
      .filter((rule) => isDeny(rule) || certain.includes(rule.policy));
  const enforcing = [...certain, ...perhaps].some(({mode}) => mode === 'Enforce');
  if (!enforcing && certain.length === 0) {
    if (installation.defaultAction === 'Deny') return refuse(deny('NoPolicySelects', null, true), null, false);
    if (traffic.kind === 'unread') return {needs: 'bytes'};
    const passed = withoutRule(world, names, (ip) => opened(world, ip, [], false));
    if ('needs' in passed) return passed;
    if ('kind' in passed) return refuse(passed, null, false);
    return pass('DefaultAllowed', null, true, false, passed.dial, passed.via);
  }
  const everything = rulesOf(['Enforce', 'Audit']);
  const looked = everything.some(
    (rule) => !isDeny(rule) && (['https', 'http', 'tls'] as const).some((scheme) => covers(rule, scheme, form.port)),
  );
  if (traffic.kind === 'unread' && looked) return {needs: 'bytes'};

  // 3. to 6.
  const judge = (rules: readonly Rule[]): Outcome => {
    switch (traffic.kind) {
      case 'unread':
      case 'opaque':
        return tcp(world, rules, names, []) ?? deny('NoRuleMatched', null, true);
      case 'tls':
        return sealed(world, rules, names, traffic.tls.ech);
      case 'http':
      case 'https': {
        const all = web(world, rules, names);
        if (
          'needs' in all ||
          all.kind === 'allow' ||
          !['RuleDenied', 'NoRuleMatched', 'DestinationForbidden'].includes(all.reason)
        )
          return all;
        return isDenied(web({...world, literal: true}, rules, names)) ? all : deny('AmbiguousPath', null, true);
      }
    }
  };
  if (enforcing) {
    const outcome = judge(rulesOf(['Enforce']));
    if ('needs' in outcome) return outcome;
    const first = certain.find(({mode}) => mode === 'Enforce') ?? null;
    if (outcome.kind === 'deny') {
      const early = refuse(outcome, first, true);
      if ('needs' in early) return early;
    }
    let wouldDeny: boolean | 'unknown' = outcome.kind === 'deny';
    if ([...certain, ...perhaps].some(({mode}) => mode === 'Audit')) {
      const all = judge(everything);
      if (!('needs' in all)) wouldDeny = all.kind === 'deny';
      else if (all.needs === 'addresses' && outcome.kind === 'allow') return all;
      else wouldDeny = 'unknown';
    }
    if (outcome.kind === 'deny') return refuse(outcome, first, true, wouldDeny);
    return pass('RuleAllowed', outcome.rule, true, wouldDeny, outcome.dial, outcome.via);
  }

  // Audit alone.
  const outcome = judge(everything);
  if (traffic.kind === 'unread') {
    if ('needs' in outcome && outcome.needs === 'addresses') return outcome;
    if ('needs' in outcome || outcome.kind === 'deny') return {needs: 'bytes'};
  }
  const through = (reason: Reason, rule: Rule | null, wouldDeny: boolean | 'unknown'): Verdict | Needs => {
    if (traffic.kind === 'tls' && traffic.tls.ech) return refuse(deny('UnsupportedProtocol'), null, false);
    const passed = withoutRule(world, names, (ip) => openedInAudit(world, ip));
    if ('needs' in passed) return passed;
    if ('kind' in passed)
      return refuse(passed.kind === 'deny' && passed.reason === reason ? {...passed, rule} : passed, null, false);
    return pass(reason, rule, false, wouldDeny, passed.dial, passed.via);
  };
  if ('needs' in outcome)
    return outcome.needs === 'request' && !trusts ? through('Uninspectable', null, 'unknown') : outcome;
  if (outcome.kind === 'allow') {
    if (outcome.dial.length === 0) return through('RuleAllowed', outcome.rule, false);
    const via = outcome.rule.doc.via === null ? outcome.via : viaOf(world, null, form.name, outcome.dial[0]!, false);
    return pass('RuleAllowed', outcome.rule, false, false, outcome.dial, via);
  }
  if (outcome.reason === 'UnsupportedProtocol') return refuse(outcome, null, false);
  if (traffic.kind === 'tls' && trusts && outcome.same) return {needs: 'request'};
  if (traffic.kind === 'tls' && !trusts) return through('Uninspectable', null, 'unknown');
  return through(outcome.reason, outcome.rule, true);
}

const label = (rule: Rule | null): string | null =>
  rule === null ? null : `${rule.policy.namespace ?? ''}/${rule.policy.name}/${rule.doc.name}`;

/** What passes without an Allow rule: at its original destination, on the explicit port looked up. */
function withoutRule(
  world: World,
  names: Names,
  mayPass: (ip: string) => boolean,
): {dial: string[]; via: Via} | Outcome {
  const {form, installation}: {form: Form; installation: Installation} = world;
  const fixed = form.original ?? form.literal;
  let ips = fixed === null ? [] : [fixed];
  if (fixed === null) {
    const name = form.name!;
    const readings = [
      name,
      ...(name.split('.').length <= 2 ? installation.searchDomains.map((domain) => `${name}.${domain}`) : []),
    ];
    for (const reading of readings) {
      const found = names.get(reading);
      if (found === undefined) return look([reading]);
      if (found !== 'failed' && found.length > 0) {
        ips = found.map(canonical);
        break;
      }
    }
    if (ips.length === 0) return deny('Unresolvable');
  }
  const dial = ips.filter(mayPass);
  if (dial.length === 0) return deny('DestinationForbidden');
  return {dial, via: viaOf(world, null, form.name, dial[0]!, false)};
}
