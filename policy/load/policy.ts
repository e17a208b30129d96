/** EgressPolicy and ClusterEgressPolicy: selection, rules and the answer to what is refused. */
import type {LabelSelector, PolicyDocument, Position, RuleDocument} from '../documents.ts';
import {RULE} from '../schema/rule.ts';
import type {RawClusterEgressPolicy, RawEgressPolicy, RawRule} from '../schema/kinds.ts';
import {conform} from './conform.ts';
import {readHeaderValues} from './headers.ts';
import {isDnsLabel, isLabelKey, isLabelValue, isSubdomain} from './names.ts';
import {readRule} from './rule.ts';
import {quote, type Trail} from './trail.ts';

type RawPolicy = RawEgressPolicy | RawClusterEgressPolicy;
type RawSpec = RawPolicy['spec'];
type RawSelector = RawEgressPolicy['spec']['podSelector'];

const EVERYTHING: LabelSelector = {matchLabels: {}, matchExpressions: []};

/** `raw` has the right shape but for its rules, which are checked here one by one. The trail stands on the document. */
export function readPolicy(raw: RawPolicy, trail: Trail): PolicyDocument {
  const at = trail.position();
  const {kind, spec} = raw;
  return trail.within(raw, 'spec', () => {
    const podSelector = trail.within(spec, 'podSelector', () => readSelector(spec.podSelector, trail));
    const byNamespace = 'namespaceSelector' in spec ? spec.namespaceSelector : undefined;
    const namespaceSelector =
      byNamespace === undefined
        ? EVERYTHING
        : trail.within(spec, 'namespaceSelector', () => readSelector(byNamespace, trail));
    checkAccounts(spec, kind === 'ClusterEgressPolicy', trail);
    return {
      kind,
      name: raw.metadata.name,
      namespace: 'namespace' in raw.metadata ? raw.metadata.namespace : null,
      namespaceSelector,
      podSelector,
      serviceAccounts: spec.serviceAccounts ?? [],
      mode: spec.mode ?? 'Enforce',
      rules: spec.rules === undefined ? [] : trail.within(spec, 'rules', () => readRules(spec.rules!, trail)),
      deny: spec.deny === undefined ? null : trail.within(spec, 'deny', () => readDeny(spec.deny!, trail)),
      at,
    };
  });
}

/** Each rule is checked for its shape and then read. The trail stands on the list. */
export function readRules(list: readonly RawRule[], trail: Trail): readonly RuleDocument[] {
  const rules: RuleDocument[] = [];
  const named = new Map<string, Position>();
  list.forEach((raw, i) => {
    trail.enter(list, i);
    if (conform(RULE, raw, trail)) {
      const before = named.get(raw.name);
      if (before !== undefined)
        trail.within(raw, 'name', () =>
          trail.error(
            'DuplicateRule',
            `the rule name ${quote(raw.name)} is used before, at line ${before.line}`,
            'Give each rule of a policy a name of its own: denials and logs name it.',
          ),
        );
      const rule = readRule(raw, trail);
      named.set(raw.name, rule.at);
      rules.push(rule);
    }
    trail.leave();
  });
  return rules;
}

function readSelector(raw: RawSelector, trail: Trail): LabelSelector {
  for (const [key, value] of Object.entries(raw.matchLabels ?? {})) {
    trail.within(raw, 'matchLabels', () => trail.within(raw.matchLabels!, key, () => checkLabel(key, [value], trail)));
  }
  const expressions = (raw.matchExpressions ?? []).map((expression, i) => {
    const {key, operator, values = []} = expression;
    trail.within(raw, 'matchExpressions', () =>
      trail.within(raw.matchExpressions!, i, () => {
        checkLabel(key, values, trail);
        const takesValues = operator === 'In' || operator === 'NotIn';
        if (takesValues === values.length > 0) return;
        trail.error(
          'BadSelector',
          takesValues ? `${operator} without values` : `${operator} takes no values`,
          takesValues ? 'Add values, or use Exists or DoesNotExist.' : 'Leave values out, or use In or NotIn.',
        );
      }),
    );
    return {key, operator, values};
  });
  return {matchLabels: raw.matchLabels ?? {}, matchExpressions: expressions};
}

/** A key or value that no object can have would select nothing, or with NotIn everything. */
function checkLabel(key: string, values: readonly string[], trail: Trail): void {
  if (!isLabelKey(key))
    trail.error('BadLabel', `${quote(key)} is no label key`, 'Write one such as app or example.com/app.', 'key');
  for (const value of values) {
    if (!isLabelValue(value))
      trail.error(
        'BadLabel',
        `${quote(value)} is no label value`,
        'Write at most 63 letters, digits, "-", "_" and ".".',
      );
  }
}

function checkAccounts(spec: RawSpec, qualified: boolean, trail: Trail): void {
  const list = spec.serviceAccounts ?? [];
  list.forEach((account, i) => {
    const slash = account.indexOf('/');
    const good = qualified
      ? slash !== -1 && isDnsLabel(account.slice(0, slash)) && isSubdomain(account.slice(slash + 1))
      : isSubdomain(account);
    if (good) return;
    trail.within(spec, 'serviceAccounts', () =>
      trail.within(list, i, () =>
        trail.error(
          'BadServiceAccount',
          `${quote(account)} is no service account`,
          qualified
            ? 'Write namespace/name.'
            : 'Write its name alone: it is looked for in the namespace of the policy.',
        ),
      ),
    );
  });
}

const DEFAULT_STATUS = 403;
const DEFAULT_CONTENT_TYPE = 'text/plain; charset=utf-8';

function readDeny(raw: NonNullable<RawSpec['deny']>, trail: Trail): NonNullable<PolicyDocument['deny']> {
  const {status = DEFAULT_STATUS, contentType, body, headers: map = {}} = raw;
  // RFC 9110 §15.4.5: a 304 ends with its header.
  if (status === 304)
    trail.within(raw, 'status', () =>
      trail.error('BadStatus', 'a 304 says that the cached answer is still good', 'Write a status such as 403.'),
    );
  if (contentType !== undefined && body === undefined)
    trail.within(raw, 'contentType', () =>
      trail.error(
        'MissingField',
        'contentType without body',
        'Add body, or leave contentType out: the default body is plain text.',
        'key',
      ),
    );
  if (contentType !== undefined && !/^[!-~]+\/[ -~]*[!-~]$/.test(contentType))
    trail.within(raw, 'contentType', () =>
      trail.error(
        'BadHeaderValue',
        `${quote(contentType)} is no media type`,
        'Write one such as text/html; charset=utf-8.',
      ),
    );
  const seen = new Set<string>();
  const values = trail.within(raw, 'headers', () =>
    readHeaderValues(map, trail, (name) => {
      if (name === 'content-type')
        trail.error('ForbiddenHeader', 'content-type has a field of its own', 'Write it as deny.contentType.', 'key');
      if (seen.has(name)) trail.error('DuplicateKey', `the header ${name} is written twice`, 'Keep one.', 'key');
      seen.add(name);
    }),
  );
  return {
    status,
    headers: ['content-type', contentType ?? DEFAULT_CONTENT_TYPE, ...Object.entries(values).flat()],
    body: body ?? null,
  };
}
