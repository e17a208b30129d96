/** Whether what an UpstreamProxy refers to is there: a pure function of what the agents found. */
import type {UpstreamProxyDocument} from '../../policy/index.ts';
import type {NodeReport} from '../node-report/report.ts';
import type {Condition} from './conditions.ts';

/** Nodes that a message names; more are counted. */
const NAMED_NODES = 3;

/**
 * The agents read Secrets and ConfigMaps, the controller may not. `reports`: of those that still say something.
 */
export function resolved(
  {name, auth, caBundle}: UpstreamProxyDocument,
  generation: number,
  reports: ReadonlyMap<string, NodeReport>,
): Condition {
  const of = (status: Condition['status'], reason: string, message: string): Condition => ({
    ...{type: 'Resolved', status, reason, message},
    observedGeneration: generation,
  });
  if (auth === null && caBundle === null)
    return of('True', 'NothingReferred', 'it refers to no Secret and no ConfigMap');
  if (reports.size === 0) return of('Unknown', 'NoAgent', 'no agent has said what it found');
  const missing = new Map<string, string[]>();
  for (const [node, {missingRefs}] of reports)
    for (const {proxy, message} of missingRefs)
      if (proxy === name) missing.set(message, [...(missing.get(message) ?? []), node]);
  if (missing.size === 0) return of('True', 'RefsFound', `${reports.size} agents found what it refers to`);
  const lines = [...missing]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([message, nodes]) => {
      const named = nodes.sort().slice(0, NAMED_NODES).join(', ');
      const more = nodes.length > NAMED_NODES ? ` and ${nodes.length - NAMED_NODES} more` : '';
      return `${message} (on ${named}${more})`;
    });
  return of('False', 'RefsMissing', lines.join('\n'));
}
