/** Values for the tests of this folder. */
import type {DenialCount} from '../../runtime/denials.ts';

export const denialOf = (of: Partial<DenialCount> = {}): DenialCount => ({
  pod: {namespace: 'a', name: 'web', uid: 'uid-web'},
  verdict: 'denied',
  reason: 'NoRuleMatched',
  policy: {namespace: 'a', name: 'p'},
  rule: null,
  destination: 'b.test:443',
  count: 1,
  id: '0123456789abcdef',
  ...of,
});
