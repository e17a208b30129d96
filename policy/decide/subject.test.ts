import {describe, expect, test} from '@jest/globals';
import {APP, ask, decided, line, policies, PUBLIC, type Asking} from '../testing/asking.ts';

const SET = policies(`
  - name: all
    to: {hosts: ["*"], schemes: [https, http], ports: ["1-65535"]}
  - name: anywhere
    to: {cidrs: [0.0.0.0/0, "::/0"], schemes: [https, http], ports: ["1-65535"]}
`);
const zone = {'a.test': [PUBLIC], 'b.test': [PUBLIC]};

describe('step 1, before any rule', () => {
  const refused: [string, Asking, string][] = [
    ['CONNECT in captured traffic', {url: 'http://a.test/', method: 'CONNECT'}, 'deny UnsupportedProtocol -'],
    [
      'CONNECT inside a tunnel',
      {url: 'https://a.test/', method: 'CONNECT', via: 'explicit'},
      'deny UnsupportedProtocol -',
    ],
    ['an upgrade to h2c', {url: 'http://a.test/', upgrade: ['h2c']}, 'deny UnsupportedProtocol -'],
    [
      'websocket among other upgrades',
      {url: 'http://a.test/', upgrade: ['websocket', 'h2c']},
      'deny UnsupportedProtocol -',
    ],
    [
      'extended CONNECT to another protocol',
      {url: 'https://a.test/', version: '2', method: 'CONNECT', upgrade: ['connect-udp']},
      'deny UnsupportedProtocol -',
    ],
    [
      'an unsupported protocol is told before names that disagree',
      {url: 'http://a.test/', host: 'b.test', authority: 'a.test', upgrade: ['h2c']},
      'deny UnsupportedProtocol -',
    ],
    ['Host and SNI differ', {url: 'https://a.test/', host: 'b.test'}, 'deny HostMismatch -'],
    ['SNI and CONNECT differ', {url: 'https://a.test/', sni: 'b.test', via: 'explicit'}, 'deny HostMismatch -'],
    ['Host and :authority differ', {url: 'https://a.test/', version: '2', host: 'b.test'}, 'deny HostMismatch -'],
    ['Host and absolute-form differ', {url: 'http://a.test/', host: 'b.test', via: 'explicit'}, 'deny HostMismatch -'],
    ['Host names another port', {url: 'https://a.test/', host: 'a.test:8443'}, 'deny HostMismatch -'],
    [
      'Host names the port, the connection is to another',
      {url: 'https://a.test:8443/', host: 'a.test:443'},
      'deny HostMismatch -',
    ],
    ['an http target inside TLS', {url: 'https://a.test/', target: 'http', authority: 'a.test'}, 'deny HostMismatch -'],
    [
      'an https target in the clear',
      {url: 'http://a.test/', target: 'https', authority: 'a.test'},
      'deny HostMismatch -',
    ],
    ['no SNI, and Host is a name', {url: 'https://a.test/', sni: null}, 'deny HostMismatch -'],
    [
      'a tunnel to an address, and SNI is a name',
      {url: 'https://203.0.113.9/', sni: 'a.test', via: 'explicit'},
      'deny HostMismatch -',
    ],
    ['HTTP/1.1 without Host', {url: 'http://a.test/', host: null}, 'deny MalformedRequest -'],
    [
      'HTTP/2 without :authority and Host',
      {url: 'https://a.test/', version: '2', authority: 'a.test:x'},
      'deny MalformedRequest -',
    ],
    ['a Host that is none', {url: 'http://a.test/', host: 'a test'}, 'deny MalformedRequest -'],
    ['a Host with a user', {url: 'http://a.test/', host: 'a.test@b.test'}, 'deny MalformedRequest -'],
    ['a method that is no token', {url: 'http://a.test/', method: 'GE T'}, 'deny MalformedRequest -'],
    ['an escaped NUL', {url: 'http://a.test/a%00'}, 'deny AmbiguousPath -'],
    ['an escape that is none', {url: 'http://a.test/a%2'}, 'deny AmbiguousPath -'],
    ['overlong UTF-8', {url: 'http://a.test/%c0%ae'}, 'deny AmbiguousPath -'],
    [
      'a control character that appears in the second round of decoding',
      {url: 'http://a.test/a%250a'},
      'deny AmbiguousPath -',
    ],
    [
      'an override header that names an ambiguous path',
      {url: 'http://a.test/', headers: [['X-Original-URL', '/%00']]},
      'deny AmbiguousPath -',
    ],
    [
      'more readings than are judged',
      {url: 'http://a.test/a%252fb/c%2fd/e%5cf/g\\h/i;j/k//l/m/../n'},
      'deny AmbiguousPath -',
    ],
  ];
  test.each(refused)('%s', (_, asking, expected) => {
    const {answer, looked} = ask(SET, {zone, ...asking});
    expect('verdict' in answer && line(answer)).toBe(expected);
    expect(looked).toEqual([]);
  });

  test.each([
    ['it keeps its status with a policy that words its own', '421'],
    ['in Audit', '421'],
    ['without any policy', '421'],
    ['for an unknown workload', '421'],
    ['before the first load', '421'],
  ])('names that disagree are refused: %s', (where) => {
    const own = `
apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: default}
spec: {podSelector: {}, mode: ${where === 'in Audit' ? 'Audit' : 'Enforce'}, rules: [], deny: {status: 418, body: x}}
`;
    const set =
      where === 'without any policy' ? policies('') : where === 'before the first load' ? 'not-loaded' : policies(own);
    const decision = decided(set, {
      url: 'https://a.test/',
      host: 'b.test',
      workload: where === 'for an unknown workload' ? 'unknown' : APP,
      ...(where === 'for an unknown workload' ? {url: 'http://a.test/', target: 'https', authority: 'a.test'} : {}),
    });
    expect(decision).toMatchObject({verdict: 'deny', reason: 'HostMismatch', wouldDeny: true, response: {status: 421}});
  });

  test.each<[string, Asking]>([
    ['capitals and a trailing dot', {url: 'https://a.test/', host: 'A.TEST.'}],
    ['the default port written out', {url: 'https://a.test/', host: 'a.test:443'}],
    ['a Host without a port claims none', {url: 'https://a.test:8443/', host: 'a.test'}],
    ['a websocket upgrade', {url: 'https://a.test/', upgrade: ['websocket']}],
    [
      'an extended CONNECT to websocket',
      {url: 'https://a.test/', version: '2', method: 'CONNECT', upgrade: ['websocket']},
    ],
    ['HTTP/1.0 without Host, by its address', {url: 'http://203.0.113.9/', version: '1.0', host: null}],
    ['an address as SNI, Host and destination', {url: 'https://203.0.113.9/', sni: '203.0.113.9'}],
    ['IPv6 in brackets', {url: 'https://[2001:db8::1]/'}],
    ['dots inside a name', {url: 'http://a.test/a..b/.well-known/...'}],
  ])('no disagreement: %s', (_, asking) => {
    expect(decided(SET, {zone, ...asking})).toMatchObject({verdict: 'allow', reason: 'RuleAllowed'});
  });

  test.each(['2130706433', '0x7f.1', '017700000001', '127.1'])(
    '%s is 127.0.0.1, and never a name that is looked up',
    (host) => {
      const {answer, looked} = ask(SET, {url: `http://x.test/`, host, via: 'captured', ip: '127.0.0.1'});
      expect('verdict' in answer && line(answer)).toBe('deny DestinationForbidden p/anywhere');
      expect(looked).toEqual([]);
    },
  );
});
