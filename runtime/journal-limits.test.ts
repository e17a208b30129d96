import {describe, expect, test} from '@jest/globals';
import type {Decision, EgressRequest, Workload} from '../policy/index.ts';
import type {Flow, Journal} from './journal.ts';
import {limitJournal, type JournalLimits} from './journal-limits.ts';

const workload = (name: string): Workload => ({
  namespace: 'default',
  namespaceLabels: {},
  name,
  uid: '',
  labels: {},
  serviceAccount: '',
  node: null,
  trustsCa: true,
});
const [NOISY, QUIET] = [workload('noisy'), workload('quiet')];

function rig(limits: Partial<JournalLimits> = {}) {
  const written: string[] = [];
  const notices: {event: string; message: string; fields: unknown}[] = [];
  let suppressed = 0;
  let at = 0;
  const name = ({workload: of, source}: EgressRequest): string => (of === 'unknown' ? source.ip : of.name);
  const to: Journal = {
    decision: (decision, request) => void written.push(`${name(request)} ${decision.verdict}`),
    flow: (flow) => void written.push(`${name(flow.request)} flow`),
    notice: (_level, event, message, fields) => void notices.push({event, message, fields}),
  };
  const journal = limitJournal(to, {
    limits: {linesPerSecond: 2, burstSeconds: 1, ...limits},
    onSuppressed: (lines) => (suppressed += lines),
    now: () => at,
  });
  const request = (of: Workload | 'unknown', ip = '192.0.2.1') =>
    ({workload: of, source: {ip, port: 1}}) as EgressRequest;
  const say = (of: Workload | 'unknown', verdict: 'allow' | 'deny', ip?: string): void =>
    journal.decision({verdict} as Decision, request(of, ip));
  return {
    journal,
    written,
    notices,
    say,
    flow: (of: Workload) => journal.flow({decision: {verdict: 'allow'}, request: request(of)} as Flow),
    suppressed: () => suppressed,
    pass: (ms: number) => (at += ms),
  };
}

describe('lines of one workload', () => {
  test('beyond its limit they are counted and summed up in one line; nothing is lost silently', () => {
    const {journal, written, notices, say, suppressed} = rig();
    for (let i = 0; i < 100; i++) say(NOISY, 'deny');
    expect(written).toHaveLength(2);
    expect(suppressed()).toBe(98);
    journal.flush();
    expect(notices).toEqual([
      {
        event: 'journal.suppressed',
        message: expect.stringContaining('98 lines of workload default/noisy suppressed') as unknown,
        fields: {workload: 'default/noisy', denied: 98, allowed: 0},
      },
    ]);
    journal.flush();
    expect(notices).toHaveLength(1);
    journal.close();
  });

  test('the lines of another one are all written', () => {
    const {journal, written, say} = rig();
    for (let i = 0; i < 100; i++) say(NOISY, 'deny');
    say(QUIET, 'deny');
    expect(written.at(-1)).toBe('quiet deny');
    journal.close();
  });

  test('a flood of allowed requests does not hide a denial, nor the other way round', () => {
    const {journal, written, say, flow} = rig();
    for (let i = 0; i < 100; i++) flow(NOISY);
    say(NOISY, 'deny');
    expect(written).toEqual(['noisy flow', 'noisy flow', 'noisy deny']);
    journal.close();
  });

  test('go on after a while', () => {
    const {journal, written, say, pass} = rig();
    for (let i = 0; i < 10; i++) say(NOISY, 'deny');
    pass(1_000);
    for (let i = 0; i < 10; i++) say(NOISY, 'deny');
    expect(written).toHaveLength(4);
    journal.close();
  });

  test('unknown sources are told apart by address up to a number, and the rest share one limit', () => {
    const {journal, written, say, notices} = rig({workloads: 2});
    for (const ip of ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'])
      for (let i = 0; i < 2; i++) say('unknown', 'deny', ip);
    expect(written).toHaveLength(6);
    journal.flush();
    expect(notices[0]!.message).toContain('2 lines of workload (others)');
    journal.close();
  });

  test('are summed up at the end too', () => {
    const {journal, notices, say} = rig();
    for (let i = 0; i < 10; i++) say(NOISY, 'allow');
    journal.close();
    expect(notices[0]!.fields).toEqual({workload: 'default/noisy', denied: 0, allowed: 8});
  });

  test('with the limit 0 all are written', () => {
    const {journal, written, say, suppressed} = rig({linesPerSecond: 0});
    for (let i = 0; i < 1_000; i++) say(NOISY, 'deny');
    expect([written.length, suppressed()]).toEqual([1_000, 0]);
    journal.close();
  });

  test('who has been quiet for long is forgotten, and still has a limit of his own afterwards', () => {
    const {journal, written, say, pass} = rig({workloads: 1});
    for (let i = 0; i < 3; i++) say(NOISY, 'deny');
    pass(60_000);
    journal.flush();
    journal.flush();
    for (let i = 0; i < 3; i++) say(QUIET, 'deny');
    expect(written.filter((line) => line === 'quiet deny')).toHaveLength(2);
    journal.close();
  });
});
