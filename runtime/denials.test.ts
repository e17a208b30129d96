import {describe, expect, test} from '@jest/globals';
import type {Decision, EgressRequest, HttpRequest, Traffic, Workload} from '../policy/index.ts';
import {DENIAL_LIMITS, DenialTally, tallyingJournal} from './denials.ts';
import {refusal} from './refusal.ts';

const pod = (name: string): Workload => ({
  ...{namespace: 'a', name, uid: `uid-${name}`, labels: {}, namespaceLabels: {}},
  ...{serviceAccount: 'default', node: null, trustsCa: true},
});
const http = (of: Partial<HttpRequest>): Traffic => ({
  kind: 'http',
  http: {
    ...{version: '1.1', method: 'GET', scheme: null, authority: null, host: null, path: '/secret', query: 'key=secret'},
    ...{upgrade: [], headers: ['authorization', 'secret']},
    ...of,
  },
});
const request = (of: Partial<EgressRequest> = {}): EgressRequest => ({
  ...{id: 'i', arrived: 'captured', workload: pod('web'), source: {ip: '10.0.0.1', port: 1}},
  ...{destination: {ip: '203.0.113.9', port: 443, host: null}, connectAuthority: null, canInspect: true},
  traffic: {kind: 'unread'},
  ...of,
});
const denied = (of: Partial<Decision> = {}): Decision => ({
  ...refusal('id1', 'NoRuleMatched', 'no', false),
  policy: {namespace: 'a', name: 'p'},
  ...of,
});
const named = (host: string): EgressRequest => request({traffic: http({host})});

describe('denials are added up', () => {
  test('by pod, policy, rule, reason and destination, with the id of the first', () => {
    const tally = new DenialTally();
    tally.record(denied(), named('a.test'));
    tally.record(denied({id: 'id2'}), named('a.test'));
    tally.record(denied({rule: 'r', reason: 'RuleDenied'}), named('a.test'));
    tally.record(denied(), named('b.test'));
    tally.record(denied(), {...named('a.test'), workload: pod('other')});
    tally.record(denied({verdict: 'allow', wouldDeny: true}), named('a.test'));
    const {denials, left} = tally.take();
    expect(left).toBe(0);
    expect(
      denials.map(({pod: {name}, verdict, rule, destination, count, id}) => [
        name,
        verdict,
        rule,
        destination,
        count,
        id,
      ]),
    ).toEqual([
      ['web', 'denied', null, 'a.test:443', 2, 'id1'],
      ['web', 'denied', 'r', 'a.test:443', 1, 'id1'],
      ['web', 'denied', null, 'b.test:443', 1, 'id1'],
      ['other', 'denied', null, 'a.test:443', 1, 'id1'],
      ['web', 'would', null, 'a.test:443', 1, 'id1'],
    ]);
    expect(tally.take()).toEqual({denials: [], left: 0});
  });

  test.each<[string, Decision, EgressRequest]>([
    ['what is allowed', denied({verdict: 'allow', wouldDeny: false}), request()],
    ['what might be denied', denied({verdict: 'allow', wouldDeny: 'unknown'}), request()],
    ['what nobody known asked', denied(), request({workload: 'unknown'})],
  ])('but not %s', (_title, decision, asked) => {
    const tally = new DenialTally();
    tally.record(decision, asked);
    expect(tally.take().denials).toEqual([]);
  });

  test.each<[string, string, Partial<EgressRequest>]>([
    ['the address where nothing was read', '203.0.113.9:443', {}],
    ['an IPv6 address in brackets', '[2001:db8::1]:22', {destination: {ip: '2001:db8::1', port: 22, host: null}}],
    ['the SNI', 's.test:443', {traffic: {kind: 'tls', tls: {sni: 's.test', alpn: [], ech: false}}}],
    ['the Host without its port', 'h.test:443', {traffic: http({host: 'h.test:8443'})}],
    ['the authority before the Host', 'x.test:443', {traffic: http({authority: 'x.test', host: 'h.test'})}],
    ['no password', 'h.test:443', {traffic: http({authority: 'user:secret@h.test'})}],
    ["a tunnel's authority", 't.test:8443', {connectAuthority: {host: 't.test', port: 8443}}],
    ['nothing raw', 'h\\x1b[31m.test:443', {traffic: http({host: 'h\u001b[31m.test'})}],
  ])('told by %s', (_title, expected, of) => {
    const tally = new DenialTally();
    tally.record(denied(), request(of));
    expect(tally.take().denials[0]!.destination).toBe(expected);
    expect(JSON.stringify(tally.take())).not.toContain('secret');
  });

  test('a pod that asks for ever new names costs a few entries, and its other denials are still told', () => {
    const tally = new DenialTally();
    for (let i = 0; i < 10_000; i++) tally.record(denied(), named(`n${i}.test`));
    tally.record(denied({reason: 'RuleDenied', rule: 'r'}), named('late.test'));
    const {denials} = tally.take();
    expect(denials.length).toBe(DENIAL_LIMITS.destinationsPerPod + 2);
    expect(denials.slice(-2).map(({destination, reason, count}) => [destination, reason, count])).toEqual([
      [null, 'NoRuleMatched', 10_000 - DENIAL_LIMITS.destinationsPerPod],
      [null, 'RuleDenied', 1],
    ]);
  });

  test('what is too much of one pod, or of all, is counted and not kept', () => {
    const tally = new DenialTally();
    for (let i = 0; i < 100; i++) tally.record(denied({rule: `r${i}`}), named('a.test'));
    const first = tally.take();
    expect([first.denials.length, first.left]).toEqual([DENIAL_LIMITS.kindsPerPod, 100 - DENIAL_LIMITS.kindsPerPod]);
    for (let i = 0; i < 2 * DENIAL_LIMITS.kinds; i++)
      tally.record(denied(), {...named('a.test'), workload: pod(`p${i}`)});
    const second = tally.take();
    expect([second.denials.length, second.left]).toEqual([DENIAL_LIMITS.kinds, DENIAL_LIMITS.kinds]);
  });

  test('on the way into the journal, which gets every line', () => {
    const lines: string[] = [];
    const tally = new DenialTally();
    const journal = tallyingJournal(
      {decision: ({id}) => lines.push(id), flow: () => lines.push('flow'), notice: () => lines.push('notice')},
      tally,
    );
    journal.decision(denied(), named('a.test'));
    journal.decision(denied({verdict: 'allow', wouldDeny: false, id: 'id2'}), named('a.test'));
    journal.notice('info', 'x', 'y');
    expect(lines).toEqual(['id1', 'id2', 'notice']);
    expect(tally.take().denials.length).toBe(1);
  });
});
