import {describe, expect, test} from '@jest/globals';
import {decide, type EgressRequest} from '../policy/index.ts';
import {policies} from '../policy/testing/asking.ts';
import {envoyBefore, SITE, SITE_IP, type Question} from './testing/asking.ts';

const WEB = `
  - {name: web, to: {hosts: [${SITE}], schemes: [http, https]}, http: {paths: ["/**"]}}
`;

/** An Envoy, and how often the policy was asked for one question. */
function counting(policy: string) {
  const asked: EgressRequest[] = [];
  const envoy = envoyBefore({
    policy: policies(policy),
    decide: (set, request, names) => {
      asked.push(request);
      return decide(set, request, names);
    },
  });
  const times = (question: Question): string[] => {
    asked.length = 0;
    envoy.ask(question);
    return asked.map(({traffic}) => traffic.kind);
  };
  return {envoy, times};
}

describe('how often the policy is asked:', () => {
  test('once, where the name was looked up for the last request too', () => {
    const {times} = counting(WEB);
    expect(times({})).toEqual(['http', 'http']);
    expect(times({})).toEqual(['http']);
  });

  test('once inside TLS too: that its connection is decrypted is remembered', () => {
    const {times} = counting(WEB);
    const inside: Question = {sni: SITE, port: 443};
    expect(times(inside)).toEqual(['tls', 'https', 'https']);
    expect(times(inside)).toEqual(['https']);
    // Of that place alone.
    expect(times({...inside, ip: '203.0.113.77'})[0]).toBe('tls');
    expect(times({...inside, port: 8443})[0]).toBe('tls');
  });
});

describe('a Deny of tls', () => {
  const DENY = `${WEB}
  - {name: no, action: Deny, to: {hosts: [${SITE}], schemes: [tls]}}
`;
  test('refuses what Envoy has decrypted as well, on each request', () => {
    const {envoy} = counting(DENY);
    for (let i = 0; i < 3; i++) expect(envoy.ask({sni: SITE, port: 443}).decision.reason).toBe('RuleDenied');
    expect(envoy.ask({}).decision.reason).toBe('RuleAllowed');
  });
});

test('what was remembered of connections is forgotten with the policies', () => {
  const envoy = envoyBefore({policy: WEB});
  for (let i = 0; i < 2; i++) expect(envoy.ask({sni: SITE, port: 443}).decision.reason).toBe('RuleAllowed');
  envoy.replace(`${WEB}
  - {name: no, action: Deny, to: {hosts: [${SITE}], schemes: [tls]}}
`);
  expect(envoy.ask({sni: SITE, port: 443}).decision.reason).toBe('RuleDenied');
});

test('a name that needs more rounds than any policy does is refused', () => {
  let n = 0;
  const envoy = envoyBefore({policy: WEB, decide: () => ({needs: 'addresses', of: [`n${n++}.test`], recent: false})});
  expect(envoy.ask({ip: SITE_IP}).decision.reason).toBe('Unresolvable');
  expect(n).toBeLessThan(20);
});
