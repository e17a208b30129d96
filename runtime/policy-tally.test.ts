import {describe, expect, test} from '@jest/globals';
import {Registry} from 'prom-client';
import {MAX_POLICY_SERIES, PolicyTally} from './policy-tally.ts';

const deny = (name: string, namespace: string | null = 'a') =>
  ({policy: {namespace, name}, verdict: 'deny', wouldDeny: true, reason: 'NoRuleMatched'}) as const;

describe('decisions are counted by policy', () => {
  test('with what came out and why; would-deny where Audit let it through', async () => {
    const registry = new Registry();
    const tally = new PolicyTally([registry]);
    tally.count(deny('p'));
    tally.count(deny('p'));
    tally.count({...deny('p'), verdict: 'allow'});
    tally.count({...deny('p'), verdict: 'allow', wouldDeny: false, reason: 'RuleAllowed'});
    tally.count(deny('p', null));
    tally.count({...deny('p'), policy: null});
    const text = await registry.metrics();
    expect(
      text
        .split('\n')
        .filter((line) => line.startsWith('sallyport_'))
        .sort(),
    ).toEqual([
      'sallyport_policy_decisions_total{namespace="",policy="p",verdict="deny",reason="NoRuleMatched"} 1',
      'sallyport_policy_decisions_total{namespace="a",policy="p",verdict="allow",reason="RuleAllowed"} 1',
      'sallyport_policy_decisions_total{namespace="a",policy="p",verdict="deny",reason="NoRuleMatched"} 2',
      'sallyport_policy_decisions_total{namespace="a",policy="p",verdict="would-deny",reason="NoRuleMatched"} 1',
    ]);
  });

  test('what is over the limit is added up as one, and those that are there go on', async () => {
    const registry = new Registry();
    const tally = new PolicyTally([registry]);
    for (let i = 0; i < MAX_POLICY_SERIES + 100; i++) tally.count(deny(`p${i}`));
    tally.count(deny('p0'));
    const lines = (await registry.metrics()).split('\n').filter((line) => line.startsWith('sallyport_'));
    expect(lines.length).toBe(MAX_POLICY_SERIES + 1);
    expect(lines.at(-1)).toBe(
      'sallyport_policy_decisions_total{namespace="",policy="(others)",verdict="deny",reason="NoRuleMatched"} 100',
    );
    expect(lines[0]).toMatch(/policy="p0".* 2$/);
  });
});
