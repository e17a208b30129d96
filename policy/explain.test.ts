import {describe, expect, test} from '@jest/globals';
import {explain} from './explain.ts';
import {explanationText} from './explain-text.ts';
import type {EgressRequest, HttpRequest} from './request.ts';
import {APP, policies, PUBLIC} from './testing/asking.ts';

const SET = policies(`
  - {name: other, to: {hosts: [b.test]}}
  - {name: clear, to: {hosts: [a.test], schemes: [http]}}
  - {name: odd, to: {hosts: [a.test], ports: [8443]}}
  - {name: puts, to: {hosts: [a.test]}, http: {methods: [PUT]}}
  - {name: paths, to: {hosts: [a.test]}, http: {paths: ["/x/**"]}}
  - {name: headed, to: {hosts: [a.test]}, http: {headers: {x-team: "a*", x-no: null}}}
  - {name: queried, to: {hosts: [a.test]}, http: {query: {q: "1"}}}
  - {name: when, to: {hosts: [a.test]}, when: 'source.namespace == "prod"'}
  - {name: lan, to: {hosts: [a.test], cidrs: [10.0.0.0/8]}}
  - {name: far, to: {cidrs: [198.51.100.0/24]}}
  - {name: never, action: Deny, to: {hosts: ["*.evil.test"]}}
  - {name: last, to: {hosts: [a.test]}, http: {methods: [GET], paths: ["/ok/**"]}, request: {set: {x-by: sallyport}}, via: Direct}
`);

const http = (path: string): HttpRequest => ({
  version: '1.1',
  method: 'GET',
  scheme: null,
  authority: null,
  host: 'a.test',
  path,
  query: null,
  upgrade: [],
  headers: ['x-no', '1'],
});
const request = (path: string, traffic?: EgressRequest['traffic']): EgressRequest => ({
  id: '0123456789abcdef',
  arrived: 'captured',
  workload: APP,
  source: {ip: '10.244.1.5', port: 1},
  destination: {ip: PUBLIC, port: 443, host: null},
  connectAuthority: null,
  canInspect: true,
  traffic: traffic ?? {kind: 'https', tls: {sni: 'a.test', alpn: [], ech: false}, http: http(path)},
});
const names = new Map([['a.test', [PUBLIC]]]);

describe('explain', () => {
  test('writes the deciding rule with its defaults out', () => {
    const {answer, rule, selecting} = explain(SET, request('/ok/1'), names);
    expect(answer).toMatchObject({verdict: 'allow', rule: 'last'});
    expect(selecting).toEqual([{policy: 'default/p', mode: 'Enforce', certain: true}]);
    expect(rule).toMatchObject({
      policy: 'default/p',
      name: 'last',
      action: 'Allow',
      to: {hosts: ['a.test'], schemes: ['https'], ports: {https: ['443']}},
      via: 'Direct',
    });
  });
  test('says of each nearer candidate what did not match', () => {
    const {answer, near, further} = explain(SET, request('/no'), names);
    expect(answer).toMatchObject({verdict: 'deny'});
    const why = Object.fromEntries(near.map(({rule, why: text}) => [rule, text]));
    expect(why).toEqual({
      clear: 'schemes are http, this is https',
      odd: 'ports are 8443, this is 443',
      puts: 'methods are PUT, this is GET',
      paths: 'paths (/x/**) do not match',
      headed: 'header x-team does not match a*',
      queried: 'query parameter q does not match 1',
      when: 'when is not true: source.namespace == "prod"',
      last: 'paths (/ok/**) do not match',
    });
    expect(near[0]!.rule).toBe('when');
    expect(further).toBe(3);
  });
  test('where no rule is near, the first ones say how far they are', () => {
    const elsewhere = {...request('/'), traffic: {kind: 'opaque'} as const};
    const {near} = explain(
      policies('  - {name: far, to: {cidrs: [198.51.100.0/24], schemes: [tcp], ports: [443]}}'),
      elsewhere,
      names,
    );
    expect(near).toMatchObject([{rule: 'far', why: `cidrs (198.51.100.0/24) do not hold ${PUBLIC}`}]);
  });
  test('lists the readings of a path that has several', () => {
    expect(explain(SET, request('/ok//1'), names).readings).toEqual(['/ok//1', '/ok/1']);
  });
  test('a request that is malformed, or of nobody, has no candidates', () => {
    expect(explain(SET, request('/a%00'), names)).toMatchObject({
      answer: {reason: 'AmbiguousPath'},
      near: [],
      rule: null,
    });
    expect(explain(SET, {...request('/'), workload: 'unknown'}, names)).toMatchObject({
      answer: {reason: 'UnknownWorkload'},
      near: [],
    });
  });
  test('in words', () => {
    const allowed = explanationText(explain(SET, request('/ok/1'), names));
    for (const words of [
      'ALLOWED  RuleAllowed',
      'default/p (Enforce)',
      'schemes:   https on 443',
      'request:   set x-by',
      `Dialled: ${PUBLIC}.`,
    ])
      expect(allowed).toContain(words);
    const refused = explanationText(explain(SET, request('/no'), names));
    for (const words of [
      'DENIED  DestinationForbidden',
      'The client gets status 403.',
      'methods are PUT, this is GET',
      'and 3 more that are further away',
    ])
      expect(refused).toContain(words);
    const tls = request('/', {kind: 'tls', tls: {sni: 'a.test', alpn: [], ech: false}});
    expect(explanationText(explain(SET, tls, names))).toContain('UNDECIDED  The connection is decrypted');
  });
});
