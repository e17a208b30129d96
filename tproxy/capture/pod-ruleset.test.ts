import {describe, expect, test} from '@jest/globals';
import {podRuleset, type PodCapture} from './pod-ruleset.ts';

const CAPTURE: PodCapture = {
  proxyUid: 15080,
  capturedPort: 15080,
  closedPorts: [15084],
  resolvers: [
    {ip: '10.96.0.10', port: 53},
    {ip: 'fd00::a', port: 53},
  ],
};
const chain = (name: string): string[] =>
  podRuleset(CAPTURE)
    .split(`chain ${name} {`)[1]!
    .split('}\n  chain')[0]!
    .split('\n')
    .map((line) => line.trim());
const before = (rules: readonly string[], first: RegExp, second: RegExp): boolean =>
  rules.findIndex((rule) => first.test(rule)) < rules.findIndex((rule) => second.test(rule));

describe('the rules of a pod', () => {
  test('exempt the proxy’s user before anything else, and nobody besides', () => {
    expect(chain('redirected')[2]).toBe('meta skuid 15080 accept');
    expect(chain('lock')[2]).toBe('meta skuid 15080 accept');
    expect(podRuleset(CAPTURE).match(/skuid/g)).toHaveLength(2);
  });
  test('redirect all TCP but DNS to the named resolvers', () => {
    expect(chain('redirected')).toContain('meta l4proto tcp counter name taken redirect to :15080');
    expect(chain('redirected')).toContain('ip6 daddr fd00::a tcp dport 53 accept');
  });
  test('close the proxy’s ports before they let the pod talk to itself', () => {
    expect(before(chain('lock'), /dport \{ 15080, 15084 \}/, /^oifname "lo" accept/)).toBe(true);
    expect(before(chain('lock'), /ct status dnat accept/, /dport \{ 15080, 15084 \}/)).toBe(true);
  });
  test('end with a refusal of everything', () => {
    expect(chain('lock').filter((rule) => rule.startsWith('counter'))).toEqual([
      'counter name refused_other reject with icmpx admin-prohibited',
    ]);
  });
  test('replace what was there in one transaction', () => {
    expect(podRuleset(CAPTURE)).toMatch(/^add table inet sallyport_pod\ndelete table inet sallyport_pod\ntable inet/);
  });
  test.each([0, -1, 1.5, NaN, 2 ** 32])('are not made for user %d, whom anybody could be', (proxyUid) => {
    expect(() => podRuleset({...CAPTURE, proxyUid})).toThrow(RangeError);
  });
});
