/** An Explanation in words. */
import {isDecision, type Decision, type Needs} from './decision.ts';
import {adviceOf} from './deny.ts';
import type {Explanation, WrittenRule} from './explain.ts';

export function explanationText(explanation: Explanation): string {
  const {answer, selecting, rule, near, further, readings} = explanation;
  const lines = isDecision(answer) ? decisionLines(answer) : [needsLine(answer)];
  lines.push('');
  lines.push(
    selecting.length === 0
      ? 'No policy selects this workload.'
      : `Policies that select this workload: ${selecting.map(({policy, mode, certain}) => `${policy} (${mode}${certain ? '' : ', perhaps: labels unknown'})`).join(', ')}.`,
  );
  if (rule !== null) lines.push('', 'The deciding rule, with its defaults written out:', ...ruleLines(rule));
  if (readings.length > 0)
    lines.push('', 'The path can be read in several ways, and each is judged:', ...readings.map((one) => `  ${one}`));
  if (near.length > 0) {
    lines.push('', 'Why others did not match:');
    for (const one of near) lines.push(`  ${one.action} ${one.policy} / ${one.rule} (${one.at}): ${one.why}`);
    if (further > 0) lines.push(`  and ${further} more that are further away`);
  }
  return `${lines.join('\n')}\n`;
}

function decisionLines(decision: Decision): string[] {
  const {verdict, reason, wouldDeny, enforced, via, dial, response} = decision;
  const lines = [`${verdict === 'allow' ? 'ALLOWED' : 'DENIED'}  ${reason}`, decision.message];
  if (verdict === 'allow') {
    if (!enforced)
      lines.push(
        wouldDeny === true
          ? 'Every selecting policy is Audit: it would be denied if they enforced.'
          : wouldDeny === 'unknown'
            ? 'Every selecting policy is Audit: whether it would be denied cannot be told without seeing the request.'
            : 'Every selecting policy is Audit: it would be allowed if they enforced.',
      );
    else if (wouldDeny === true) lines.push('It would be denied if the Audit policies enforced too.');
    if (dial.length > 0) lines.push(`Dialled: ${dial.join(', ')}.`);
    if (via.kind === 'proxy') lines.push(`Leaves through UpstreamProxy ${via.proxy}, which is sent the ${via.sends}.`);
    if (via.kind === 'missing')
      lines.push(`The rule names UpstreamProxy ${via.proxy}, which does not exist: 502 UpstreamUnreachable.`);
  } else {
    if (response !== null) lines.push(`The client gets status ${response.status}.`);
    lines.push(adviceOf(reason));
  }
  return lines;
}

function needsLine(needs: Needs): string {
  switch (needs.needs) {
    case 'bytes':
      return 'UNDECIDED  The first bytes of the connection decide.';
    case 'request':
      return 'UNDECIDED  The connection is decrypted, and each request is decided.';
    case 'addresses':
      return `UNDECIDED  The addresses of ${needs.of.join(', ')} have to be known.`;
  }
}

function ruleLines(rule: WrittenRule): string[] {
  const {to, http, when, request, response} = rule;
  const out = [`  ${rule.action} ${rule.policy} / ${rule.name} (${rule.mode}), ${rule.at}`];
  const add = (name: string, value: string): void => void out.push(`    ${`${name}:`.padEnd(10)} ${value}`);
  if (to.hosts.length > 0) add('hosts', to.hosts.join(', '));
  if (to.cidrs.length > 0) add('cidrs', to.cidrs.join(', '));
  add('schemes', to.schemes.map((scheme) => `${scheme} on ${to.ports[scheme]?.join(', ')}`).join('; '));
  const record = (of: Readonly<Record<string, string | null>>): string =>
    Object.entries(of)
      .map(([name, glob]) => `${name} ${glob === null ? 'absent' : glob}`)
      .join(', ');
  add('methods', http?.methods?.join(', ') ?? 'any');
  add('paths', http?.paths?.join(', ') ?? 'any');
  if (http !== null && Object.keys(http.headers).length > 0) add('headers', record(http.headers));
  if (http !== null && Object.keys(http.query).length > 0) add('query', record(http.query));
  if (when !== null) add('when', when);
  for (const [name, {set, add: added, remove}] of [
    ['request', request],
    ['response', response],
  ] as const) {
    const parts = [
      ...Object.keys(set).map((header) => `set ${header}`),
      ...Object.keys(added).map((header) => `add ${header}`),
      ...remove.map((header) => `remove ${header}`),
    ];
    if (parts.length > 0) add(name, parts.join(', '));
  }
  if (rule.action === 'Allow') add('via', rule.via);
  return out;
}
