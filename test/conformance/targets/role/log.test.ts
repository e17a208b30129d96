import {Readable} from 'node:stream';
import {expect, test} from '@jest/globals';
import {NOTHING_OBSERVED} from '../../observation.ts';
import {afterwards, decisionOf, readDecision} from './decision.ts';
import {RoleLog} from './log.ts';

async function logOf(...lines: (object | string)[]): Promise<RoleLog> {
  const log = new RoleLog();
  log.follow(Readable.from(lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`)));
  await log.until(() => log.lines.length === lines.length, 1000);
  log.end();
  return log;
}
const line = (id: string, source: string, more: object = {}): object => ({
  event: 'egress.decision',
  id,
  source,
  workload: 'default/app',
  verdict: 'allow',
  reason: 'RuleAllowed',
  policy: 'p',
  rule: 'r',
  wouldDeny: false,
  ...more,
});
const traffic = {
  from: 0,
  source: '10.0.0.1:4711',
  workload: 'default/app',
  answer: {kind: 'response', status: 502, headers: new Map<string, string[]>(), body: ''} as const,
  responses: 0,
};

test('the decision of a step is the last one about its own connection', async () => {
  const log = await logOf(
    'no JSON',
    line('1', '10.0.0.1:4711'),
    line('2', '10.0.0.1:4711', {verdict: 'deny', reason: 'HostMismatch', policy: null, rule: null}),
    line('3', '10.0.0.2:4711'),
  );
  expect(await decisionOf(log, traffic, {verdict: 'deny'})).toEqual({
    id: '2',
    verdict: 'deny',
    reason: 'HostMismatch',
    rule: null,
    wouldDeny: false,
  });
});

test('what befell an allowed request afterwards is its reason', async () => {
  const log = await logOf(line('1', '10.0.0.1:4711'), {event: 'egress.flow', id: '1', failure: 'UpstreamUntrusted'});
  const wanted = {reason: 'UpstreamUntrusted'} as const;
  const decision = await decisionOf(log, traffic, wanted);
  expect(await afterwards(log, traffic, decision, wanted)).toMatchObject({
    reason: 'UpstreamUntrusted',
    verdict: 'allow',
  });
});

test('lines from before the step are not looked at', async () => {
  const log = await logOf(line('1', '10.0.0.1:4711'));
  expect(await decisionOf(log, {...traffic, from: 1}, {verdict: 'allow'})).toBeNull();
});

test('a rule is named with its policy, and unknown is not true', () => {
  expect(
    readDecision({verdict: 'allow', reason: 'Uninspectable', policy: 'p', rule: 'r', wouldDeny: 'unknown'}),
  ).toEqual({verdict: 'allow', reason: 'Uninspectable', rule: 'p/r', wouldDeny: 'unknown'});
  expect(
    readDecision({verdict: 'deny', reason: 'NoRuleMatched', policy: 'p', rule: null, wouldDeny: true}).rule,
  ).toBeNull();
  expect(NOTHING_OBSERVED.decision).toBeNull();
});

test('a redirected connection that got another source port on its way is found by its workload', async () => {
  const log = await logOf(line('1', '10.0.0.1:50001'));
  const other = {...traffic, source: '10.0.0.1:4711', workload: 'default/app'};
  expect(await decisionOf(log, {...other, redirected: true}, {})).toMatchObject({id: '1'});
  expect(await decisionOf(log, other, {})).toBeNull();
});
