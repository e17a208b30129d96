import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {REASONS} from '../../policy/index.ts';
import {eventName, eventOf} from './event.ts';
import {denialOf} from './testing.ts';

const reporter = {controller: 'sallyport.dev/tproxy', instance: 'node-1'};
const at = new Date('2026-01-02T03:04:05.678Z');
const of = (denial: Parameters<typeof denialOf>[0], count = 1) =>
  eventOf(denialOf(denial), reporter, 'web.1', at, count);

describe('the event of a denial', () => {
  test('is a warning on the pod, names the policy, and says what to do', () => {
    expect(of({rule: 'no-storage', reason: 'RuleDenied'})).toMatchObject({
      ...{reason: 'EgressDenied', type: 'Warning', action: 'Egress', metadata: {name: 'web.1', namespace: 'a'}},
      ...{reportingController: 'sallyport.dev/tproxy', reportingInstance: 'node-1'},
      regarding: {apiVersion: 'v1', kind: 'Pod', namespace: 'a', name: 'web', uid: 'uid-web'},
      related: {apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressPolicy', namespace: 'a', name: 'p'},
      note:
        '0123456789abcdef: b.test:443 was refused: RuleDenied, EgressPolicy a/p, rule no-storage. ' +
        'A Deny rule forbids this. Ask the owners of that policy, with the id above. More: sallyport explain 0123456789abcdef --log FILE',
    });
    expect(of({}).series).toBe(undefined);
  });

  test('of what only audits is no warning', () => {
    expect(of({verdict: 'would'})).toMatchObject({
      ...{reason: 'EgressWouldDeny', type: 'Normal'},
      note: expect.stringContaining('b.test:443 would be refused (its policies only audit): NoRuleMatched'),
    });
  });

  test('of a cluster policy, and of none', () => {
    expect(of({policy: {namespace: null, name: 'all'}})).toMatchObject({
      related: {kind: 'ClusterEgressPolicy', name: 'all'},
      note: expect.stringContaining('ClusterEgressPolicy all.'),
    });
    expect(of({policy: null, reason: 'NoPolicySelects'}).related).toBe(undefined);
  });

  test('of several destinations names none', () => {
    expect(of({destination: null}, 7)).toMatchObject({
      note: expect.stringContaining(': a further destination was refused'),
      series: {count: 7},
    });
  });

  test('is never longer than the API server takes, whatever its parts', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...REASONS),
        fc.string({unit: 'grapheme', maxLength: 400}),
        fc.string({maxLength: 253}),
        fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,3}$/),
        (reason, rule, policy, name) => {
          const denial = denialOf({
            reason,
            rule,
            policy: {namespace: 'a', name: policy},
            pod: {namespace: 'a', name, uid: 'u'},
          });
          const long = {...reporter, instance: 'n'.repeat(300)};
          const event = eventOf(denial, long, eventName(denial, 'ffff'), at, 1);
          expect(Buffer.byteLength(event.note!)).toBeLessThanOrEqual(1_024);
          expect(event.reportingInstance!.length).toBeLessThanOrEqual(128);
          expect(event.metadata!.name).toMatch(
            /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$|\.\./,
          );
          expect(event.metadata!.name!.length).toBeLessThanOrEqual(253);
        },
      ),
    );
  });
});
