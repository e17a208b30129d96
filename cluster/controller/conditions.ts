/** What is written into an object's status: a pure function of what loading it came to. */
import {formatFinding, type Finding} from '../../policy/index.ts';

/** As metav1.Condition, without the time of its last change, which the writer knows. */
export interface Condition {
  readonly type: 'Accepted' | 'Enforced' | 'Resolved';
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

/** metav1.Condition allows 32768; a page is what somebody reads. */
const MAX_MESSAGE_CHARACTERS = 4_096;

/** Whether the object is in force. Errors keep it out, warnings are told. */
export function accepted(findings: readonly Finding[], generation: number): Condition {
  const errors = findings.filter(({severity}) => severity === 'error');
  const told = errors.length > 0 ? errors : findings;
  return {
    type: 'Accepted',
    status: errors.length > 0 ? 'False' : 'True',
    // Reasons are CamelCase by Kubernetes' rule, as the findings' codes are.
    reason: errors[0]?.code ?? (findings.length > 0 ? 'AcceptedWithWarnings' : 'Valid'),
    message: messageOf(told),
    observedGeneration: generation,
  };
}

/** One finding a line, with its path in place of a file's name and line. */
function messageOf(findings: readonly Finding[]): string {
  const lines = findings.map((finding) => formatFinding(finding).replace(/^.*?: (error|warning) /, ''));
  const text = lines.join('\n');
  return text.length <= MAX_MESSAGE_CHARACTERS ? text : `${text.slice(0, MAX_MESSAGE_CHARACTERS - 1)}…`;
}
