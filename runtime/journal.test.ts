import {describe, expect, test} from '@jest/globals';
import type {Decision, EgressRequest} from '../policy/index.ts';
import {createJsonJournal, createTextJournal, type Flow} from './journal.ts';
import {countingJournal, createMetrics} from './metrics.ts';

const NO_MUTATIONS = {set: {}, add: {}, remove: []};
const decision: Decision = {
  id: 'd1',
  verdict: 'deny',
  enforced: true,
  reason: 'RuleDenied',
  policy: {namespace: 'default', name: 'web'},
  rule: 'no-admin',
  wouldDeny: true,
  message: 'denied by rule no-admin',
  response: {status: 418, headers: [], body: ''},
  requestMutations: NO_MUTATIONS,
  responseMutations: NO_MUTATIONS,
  via: {kind: 'direct'},
  inspect: false,
  dial: [],
};
const request: EgressRequest = {
  id: 'd1',
  arrived: 'captured',
  workload: {
    namespace: 'default',
    namespaceLabels: {},
    name: 'app',
    uid: 'u',
    labels: {},
    serviceAccount: 'sa',
    node: null,
    trustsCa: true,
  },
  source: {ip: '10.0.0.7', port: 4711},
  destination: {ip: '2001:db8::1', port: 443, host: null},
  connectAuthority: null,
  canInspect: true,
  traffic: {
    kind: 'https',
    tls: {sni: 'a.test', alpn: [], ech: false},
    http: {
      version: '1.1',
      method: 'GET',
      scheme: null,
      authority: null,
      host: 'a.test',
      path: '/x\u001b[31m',
      query: 'token=hunter2',
      upgrade: [],
      headers: ['Authorization', 'Bearer hunter2', 'Cookie', 'hunter2'],
    },
  },
};
const flow: Flow = {
  decision: {...decision, verdict: 'allow', wouldDeny: false, reason: 'RuleAllowed', response: null},
  request,
  status: 200,
  protocol: 'h1',
  bytesIn: 3,
  bytesOut: 4096,
  durationMs: 12.34,
  upstream: '5.6.7.8:443',
  proxied: 'corp',
  failure: null,
};
function journalled(format: 'json' | 'text'): {lines: string[]; journal: ReturnType<typeof createJsonJournal>} {
  const lines: string[] = [];
  const out = {line: (text: string) => void lines.push(text), flush: () => {}};
  const now = () => new Date('2026-01-02T03:04:05.678Z');
  return {lines, journal: format === 'json' ? createJsonJournal(out, now) : createTextJournal(out, false, now)};
}

describe('the JSON journal', () => {
  test('writes a decision as one line with its id, verdict, rule and who asked for what', () => {
    const {lines, journal} = journalled('json');
    journal.decision(decision, request);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toEqual({
      time: '2026-01-02T03:04:05.678Z',
      level: 'warn',
      event: 'egress.decision',
      id: 'd1',
      verdict: 'deny',
      enforced: true,
      reason: 'RuleDenied',
      policyNamespace: 'default',
      policy: 'web',
      rule: 'no-admin',
      wouldDeny: true,
      message: 'denied by rule no-admin',
      arrived: 'captured',
      workload: 'default/app',
      serviceAccount: 'sa',
      source: '10.0.0.7:4711',
      destination: '[2001:db8::1]:443',
      scheme: 'https',
      name: 'a.test',
      method: 'GET',
      path: '/x\\x1b[31m',
      via: null,
    });
  });
  test('writes a flow with its volume, upstream and parent', () => {
    const {lines, journal} = journalled('json');
    journal.flow(flow);
    expect(JSON.parse(lines[0]!)).toMatchObject({
      event: 'egress.flow',
      id: 'd1',
      status: 200,
      bytesIn: 3,
      bytesOut: 4096,
      ms: 12.3,
      upstream: '5.6.7.8:443',
      proxied: 'corp',
      failure: null,
    });
  });
});

test('what lines have in common is kept, and never outlives what it says', () => {
  const {lines, journal} = journalled('json');
  const told = (): Record<string, unknown> => JSON.parse(lines.at(-1)!) as Record<string, unknown>;
  journal.decision(decision, request);
  // The same connection, and what may change on it: its workload's labels or account, where it goes (the explicit port).
  const {workload} = request;
  if (workload === 'unknown') throw new Error('the sample has a workload');
  journal.decision(decision, {...request, workload: {...workload, serviceAccount: 'other'}});
  expect(told()).toMatchObject({serviceAccount: 'other', destination: '[2001:db8::1]:443'});
  journal.decision(decision, {...request, destination: {ip: null, host: 'b.test', port: 80}});
  expect(told()).toMatchObject({serviceAccount: 'sa', destination: 'b.test:80'});
  journal.decision(decision, {...request, workload: 'unknown'});
  expect(told()).toMatchObject({workload: null, serviceAccount: null});
  // Another client at the same place.
  journal.decision(decision, {...request, source: {ip: '10.0.0.8', port: 4711}});
  expect(told()).toMatchObject({source: '10.0.0.8:4711', workload: 'default/app'});
  // Another decision: each of its parts.
  journal.decision({...decision, id: 'd2', rule: 'other', message: 'because'}, request);
  expect(told()).toMatchObject({id: 'd2', rule: 'other', message: 'because', policy: 'web'});
  journal.decision({...decision, policy: {namespace: null, name: 'web'}, wouldDeny: 'unknown'}, request);
  expect(told()).toMatchObject({policyNamespace: null, policy: 'web', wouldDeny: 'unknown', rule: 'no-admin'});
});

test.each(['json', 'text'] as const)(
  'no secret and nothing raw of the client is in a %s line (invariant 9)',
  (format) => {
    const {lines, journal} = journalled(format);
    journal.decision(decision, request);
    journal.flow(flow);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.join('\n')).not.toContain('hunter2');
    expect(lines.join('\n')).not.toContain('\u001b');
  },
);

test('the text journal tells an allowed request once and a refusal when it is decided', () => {
  const {lines, journal} = journalled('text');
  journal.decision(flow.decision, request);
  journal.flow(flow);
  journal.decision(decision, request);
  journal.flow({...flow, decision});
  expect(lines).toEqual([
    '03:04:05 default/app: GET https://a.test/x\\x1b[31m << 200 4.1 kB in 12 ms via corp RuleAllowed web/no-admin d1',
    '03:04:05 default/app: GET https://a.test/x\\x1b[31m << 418 RuleDenied web/no-admin d1',
  ]);
});

test('the text journal tells what Envoy was allowed when it is decided: Envoy carries it', () => {
  const {lines, journal} = journalled('text');
  journal.decision({...flow.decision, wouldDeny: false}, {...request, arrived: 'mesh'});
  expect(lines).toEqual(['03:04:05 default/app: GET https://a.test/x\\x1b[31m << allowed RuleAllowed web/no-admin d1']);
});

test('the line and the metric come from the same value', async () => {
  const metrics = createMetrics();
  const {journal} = journalled('json');
  const counting = countingJournal(journal, metrics);
  counting.decision(decision, request);
  counting.decision(decision, request);
  counting.flow(flow);
  const text = await metrics.registry.metrics();
  expect(text).toContain('sallyport_decisions_total{verdict="deny",reason="RuleDenied",would_deny="true"} 2');
  expect(text).toContain('sallyport_flows_total{protocol="h1",verdict="allow",failure=""} 1');
  expect(text).toContain('sallyport_flow_bytes_total{direction="received"} 4096');
  expect(text).not.toContain('a.test');
});
