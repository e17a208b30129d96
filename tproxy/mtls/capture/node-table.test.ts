import {readFileSync, writeFileSync} from 'node:fs';
import {describe, expect, test} from '@jest/globals';
import {DEFAULT_MARKS} from '../../capture/marks.ts';
import {MTLS_COUNTERS, mtlsChanges, mtlsTable, type MtlsCapture} from './node-table.ts';

const CAPTURE: MtlsCapture = {
  members: [
    {ip: '10.244.1.5', interface: 'veth1', here: true, strict: true, plainPorts: [9090]},
    {ip: 'fd00:10:244:1::5', interface: 'veth1', here: true, strict: true, plainPorts: []},
    // No route to it yet: what it sends is dropped.
    {ip: '10.244.1.6', interface: null, here: true, strict: false, plainPorts: []},
    {ip: '10.244.2.5', interface: null, here: false, strict: true, plainPorts: []},
    {ip: 'fd00:10:244:2::5', interface: null, here: false, strict: false, plainPorts: []},
  ],
  others: ['10.244.2.6'],
  strictCidrs: ['10.244.0.0/16', 'fd00:10:244::/48'],
  port: 15082,
  marks: DEFAULT_MARKS,
};

/** The rules of a chain, in order. */
function chain(name: string): string[] {
  const [, body = ''] =
    new RegExp(`chain ${name} \\{\n([^}]*(?:\\{[^}]*\\}[^}]*)*?)\n  \\}`).exec(mtlsTable(CAPTURE)) ?? [];
  return body.split('\n').map((line) => line.trim());
}

describe('the table', () => {
  test('is the one that is reviewed in testdata', () => {
    const file = new URL('./testdata/two-nodes.nft', import.meta.url);
    const table = mtlsTable(CAPTURE);
    if (process.env['UPDATE_TESTDATA'] !== undefined) writeFileSync(file, table);
    expect(table).toBe(readFileSync(file, 'utf8'));
  });

  test('each counter that is told to operators is counted by a rule', () => {
    const table = mtlsTable(CAPTURE);
    for (const name of Object.keys(MTLS_COUNTERS)) expect(table).toContain(`counter name ${name} `);
  });

  test.each([
    {towards: 'inbound', ends: ['daddr']},
    {towards: 'outbound', ends: ['saddr', 'daddr']},
  ])('$towards: of what the listener did not take nothing passes that touches a Strict pod', ({towards, ends}) => {
    const rules = chain(towards);
    for (const end of ends)
      for (const [ip, set] of [
        ['ip', 'strict4'],
        ['ip6', 'strict6'],
      ]) {
        const strict = rules.filter((rule) => rule.startsWith(`${ip} ${end} @${set} `));
        expect(strict).toHaveLength(3);
        for (const rule of strict) expect(rule).toMatch(/ (drop|reject with icmpx admin-prohibited)$/);
      }
    // What passes for being Permissive comes after each of them.
    const strictLast = rules.findLastIndex((rule) => rule.includes('@strict') && rule.includes('drop'));
    expect(rules.findIndex((rule) => rule.includes('mtls_away_passed'))).toBeGreaterThan(strictLast);
    expect(rules.at(-1)).toBe('counter name mtls_passed_other accept');
  });

  test('of answers a Strict pod gives and takes none in plain but those that are named first', () => {
    const rules = chain('replies');
    const stale = rules.findIndex((rule) => rule.endsWith('goto stale'));
    expect(rules.slice(0, stale).every((rule) => rule.endsWith(' accept'))).toBe(true);
    expect(rules.slice(stale).every((rule) => rule.endsWith(' goto stale'))).toBe(true);
    expect(chain('stale').every((rule) => / (drop|reject with icmpx admin-prohibited)$/.test(rule))).toBe(true);
  });

  test('what is not from where its address is plugged in is dropped before it is taken for anybody', () => {
    const rules = chain('prerouting');
    const spoofed = rules.findLastIndex((rule) => rule.endsWith('counter name mtls_spoofed drop'));
    expect(spoofed).toBeGreaterThan(0);
    expect(rules.findIndex((rule) => /goto (in|out)bound/.test(rule))).toBeGreaterThan(spoofed);
  });

  // A ClusterIP is a pod's address behind kube-proxy alone, when the relay has dialled it in plain.
  test('of what the relay dials in plain nothing touches a Strict pod, but on plain ports and between enrolled pods of here', () => {
    const rules = chain('relayed').filter((rule) => !rule.includes('ip6 '));
    expect(rules).toEqual([
      'type filter hook output priority filter; policy accept;',
      'meta mark & 0xffff0000 != { 0x5a120000, 0x5a150000, 0x5a160000 } accept',
      'meta l4proto tcp ip daddr . th dport @plain4 accept',
      'ip saddr @here4 ip daddr @here4 accept',
      'ip daddr @strict4 meta l4proto tcp counter name mtls_unwrapped reject with tcp reset',
      'ip saddr @here4 ip saddr @strict4 ip daddr @away4 meta l4proto tcp counter name mtls_unwrapped reject with tcp reset',
      'meta mark & 0xffff0000 == 0x5a150000 ip daddr @away4 meta l4proto tcp counter name mtls_unwrapped reject with tcp reset',
      'ip daddr @closed4 ip daddr != @known4 counter name mtls_unknown drop',
    ]);
  });

  test('a change of members is told by elements, and nothing where nothing changed', () => {
    expect(mtlsChanges(CAPTURE, CAPTURE)).toEqual([]);
    const [first, ...rest] = CAPTURE.members;
    expect(mtlsChanges(CAPTURE, {...CAPTURE, members: [{...first!, strict: false}, ...rest]})).toEqual([
      'delete element inet sallyport_mtls strict4 { 10.244.1.5 }',
    ]);
  });
});

// Found in a cluster of one node: the answers of pods that wrap for themselves, and that are of no node's, were dropped there.
test('judges answers only of and to pods of this node', () => {
  const judged = chain('replies').filter((line) => line.endsWith('goto stale'));
  expect(judged).toHaveLength(6);
  for (const line of judged) expect(line).toMatch(/@here[46]/);
});
