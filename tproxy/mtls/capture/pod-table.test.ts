import {describe, expect, test} from '@jest/globals';
import {podMtlsTable, type PodMtlsCapture} from './pod-table.ts';

const STRICT: PodMtlsCapture = {
  ips: ['10.0.0.7', 'fd00::7'],
  proxyUid: 15080,
  adminPort: 15084,
  strict: true,
  plainPorts: [9090],
  probePorts: [8080],
  nodeIps: ['10.0.0.1', 'fd00::1'],
};
const chain = (name: string, capture = STRICT): string[] =>
  podMtlsTable(capture)
    .split(`chain ${name} {`)[1]!
    .split('\n  }')[0]!
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

describe('the rules of mTLS in a pod', () => {
  test('lead all TCP from outside to the proxy, but for the ports that were named', () => {
    expect(chain('inbound').slice(1)).toEqual([
      'iifname "lo" accept',
      'tcp dport 15084 accept',
      'meta l4proto { tcp, udp } th dport { 9090 } counter name mtls_plain_port accept',
      'ip saddr { 10.0.0.1 } tcp dport { 8080 } counter name mtls_probe accept',
      'ip6 saddr { fd00::1 } tcp dport { 8080 } counter name mtls_probe accept',
      'meta l4proto tcp counter name mtls_inbound redirect to :15100-15115',
    ]);
  });
  test('let nothing by that was not led there, and end with a refusal of everything', () => {
    const rules = chain('lock');
    const led = rules.indexOf('tcp dport 15100-15115 ct status dnat accept');
    expect(rules.indexOf('tcp dport 15100-15115 reject with tcp reset')).toBe(led + 1);
    expect(rules.slice(-2)).toEqual([
      'meta l4proto tcp counter name mtls_midstream drop',
      'counter name mtls_refused_other reject with icmpx admin-prohibited',
    ]);
  });
  // While the proxy is gone its ports are free, and whoever is led there would be in plain before a program.
  test('let nobody but the proxy answer from its ports', () => {
    expect(chain('answers').slice(1)).toEqual([
      'oifname != "lo" meta skuid != 15080 tcp sport 15100-15115 counter name mtls_not_the_proxy drop',
    ]);
    expect(chain('answers')[0]).toBe('type filter hook output priority filter; policy accept;');
  });
  test('close the address that leads to the pod’s programs to everybody outside', () => {
    const rules = chain('lock');
    for (const rule of ['ip daddr 127.15.8.2 drop', 'ip6 daddr 2001:db8:5a11::152 drop'])
      expect(rules.indexOf(rule)).toBeGreaterThan(rules.indexOf('iifname "lo" accept'));
    expect(rules.indexOf('ip daddr 127.15.8.2 drop')).toBeLessThan(
      rules.findIndex((rule) => rule.startsWith('ct state')),
    );
  });
  test('lead there the proxy alone: another user would speak under any peer’s address', () => {
    expect(chain('here').slice(1)).toEqual([
      'meta skuid 15080 ip daddr 127.15.8.2 dnat ip to 10.0.0.7',
      'meta skuid 15080 ip6 daddr 2001:db8:5a11::152 dnat ip6 to fd00::7',
    ]);
  });
  test('let a Permissive pod’s datagrams pass, and count them', () => {
    const rules = chain('lock', {...STRICT, strict: false});
    expect(rules.slice(-2)).toEqual(['meta l4proto tcp accept', 'counter name mtls_passed_other accept']);
    expect(rules.join('\n')).not.toContain('reject with icmpx');
  });
  test('name no empty set, which nft would refuse', () => {
    const bare = podMtlsTable({...STRICT, ips: ['10.0.0.7'], plainPorts: [], probePorts: [], nodeIps: []});
    expect(bare).not.toMatch(/\{\s*\} (tcp|counter|accept)/);
    expect(bare).not.toContain('dnat ip6');
  });
  test('replace what was there in one transaction', () => {
    expect(podMtlsTable(STRICT)).toMatch(
      /^add table inet sallyport_pod_mtls\ndelete table inet sallyport_pod_mtls\ntable inet/,
    );
  });
});
