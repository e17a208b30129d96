/** What an exchange comes to, in one shape for everything that enforces the policy. */
import type {Decision, HeaderLines} from '../../policy/index.ts';

export interface Outcome {
  readonly verdict: 'allow' | 'deny';
  readonly reason: string;
  /** `namespace/policy/rule`; null: none decided. */
  readonly rule: string | null;
  readonly wouldDeny: boolean | 'unknown';
  /** Of a denial that a client can read; null: allowed, or nobody could read it. */
  readonly status: number | null;
  /** Header fields as an upstream gets them: lower-case names, sorted; null: no request, or it is refused. */
  readonly forwarded: readonly string[] | null;
}

export function outcomeOf(decision: Decision, lines: HeaderLines | null): Outcome {
  const {policy, rule, wouldDeny, response, requestMutations: changes} = decision;
  // Allowed, and there is no such parent: tproxy answers 502 when it comes to that, ext_authz has to refuse.
  const stranded = decision.verdict === 'allow' && decision.via.kind === 'missing';
  const verdict = stranded ? 'deny' : decision.verdict;
  return {
    verdict,
    reason: stranded ? 'UpstreamUnreachable' : decision.reason,
    rule: policy === null || rule === null ? null : `${policy.namespace ?? ''}/${policy.name}/${rule}`,
    wouldDeny: stranded || wouldDeny,
    status: lines === null ? null : stranded ? 502 : (response?.status ?? null),
    forwarded: verdict === 'deny' || lines === null ? null : sortedFields(changed(lines, changes)),
  };
}

/** The lines after a rule's changes: removed, then set, then added. */
function changed(lines: HeaderLines, {set, add, remove}: Decision['requestMutations']): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = lines[i]!.toLowerCase();
    if (!remove.includes(name) && !Object.hasOwn(set, name)) kept.push(name, lines[i + 1]!);
  }
  for (const [name, value] of [...Object.entries(set), ...Object.entries(add)]) kept.push(name, value);
  return kept;
}

/** Those that are the message's framing or its hop's are not compared. */
const NOT_COMPARED = new Set(['host', 'connection', 'upgrade', 'content-length', 'transfer-encoding', 'via', 'te']);

/** `name: value, value` by name: lines of one name keep their order, which is all that their order means (RFC 9110 §5.3). */
export function sortedFields(lines: HeaderLines): string[] {
  const fields = new Map<string, string[]>();
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = lines[i]!.toLowerCase();
    if (NOT_COMPARED.has(name) || name.startsWith(':')) continue;
    fields.set(name, [...(fields.get(name) ?? []), lines[i + 1]!]);
  }
  return [...fields].map(([name, values]) => `${name}: ${values.join(', ')}`).sort();
}
