import {describe, expect, test} from '@jest/globals';
import {envoyBefore, letsThrough, SITE, SITE_IP, type Question} from '../testing/asking.ts';

const ALLOW = `
  - name: web
    to: {hosts: [${SITE}], schemes: [http, https], ports: [80, 443, 8080]}
    http: {methods: [GET, POST], paths: ["/ok", "/ok/**"]}
  - name: sealed
    to: {hosts: [sealed.test], schemes: [tls], ports: [443]}
  - name: proxied
    to: {hosts: [host-only.test], schemes: [https]}
  - name: database
    to: {cidrs: [203.0.113.50/32], schemes: [tcp], ports: [5432]}
`;
const ZONE = {
  [SITE]: [SITE_IP, '2001:db8::9'],
  'sealed.test': ['203.0.113.20'],
  'host-only.test': ['203.0.113.30'],
  'evil.test': ['203.0.113.66'],
};
const envoy = envoyBefore({policy: ALLOW, zone: ZONE});
const reasonOf = (asked: Question): string => {
  const answered = envoy.ask(asked);
  const {verdict, reason} = answered.decision;
  expect(letsThrough(answered)).toBe(verdict === 'allow');
  return reason;
};

describe('a request', () => {
  const ok = {path: '/ok'};
  test.each<[string, Question, string]>([
    ['in the clear', ok, 'RuleAllowed'],
    ['of HTTP/1.0 with Host', {...ok, protocol: 'HTTP/1.0'}, 'RuleAllowed'],
    ['of HTTP/2', {...ok, protocol: 'HTTP/2', scheme: 'http'}, 'RuleAllowed'],
    ['of HTTP/3 inside TLS', {...ok, protocol: 'HTTP/3', scheme: 'https', sni: SITE, port: 443}, 'RuleAllowed'],
    ['inside TLS', {...ok, sni: SITE, port: 443}, 'RuleAllowed'],
    ['with Host in other letters, a trailing dot and its port', {...ok, host: 'Site.TEST.:80'}, 'RuleAllowed'],
    ['to the IPv6 address of the name', {...ok, ip: '2001:DB8::9'}, 'RuleAllowed'],
    ['to an IPv4 address in its mapped form', {...ok, ip: `::ffff:${SITE_IP}`}, 'RuleAllowed'],
    ['with a query', {path: '/ok?next=/else'}, 'RuleAllowed'],
    ['with a body that was sent along', {...ok, method: 'POST', body: 'x'.repeat(5000)}, 'RuleAllowed'],
    ['as a WebSocket upgrade', {...ok, headers: {connection: 'Upgrade', upgrade: 'WebSocket'}}, 'RuleAllowed'],
    [
      'of gRPC',
      {...ok, method: 'POST', protocol: 'HTTP/2', headers: {'content-type': 'application/grpc'}},
      'RuleAllowed',
    ],
    ['of another path', {path: '/else'}, 'NoRuleMatched'],
    ['whose path goes on after an encoded slash', {path: '/ok/..%2felse'}, 'AmbiguousPath'],
    ['of another method', {...ok, method: 'DELETE'}, 'NoRuleMatched'],
    ['without a host', {...ok, host: ''}, 'MalformedRequest'],
    ['without a method', {...ok, method: ''}, 'MalformedRequest'],
    ['whose Host field says another name than :authority', {...ok, headers: {host: 'evil.test'}}, 'HostMismatch'],
    ['whose Host names another port than the connection', {...ok, host: `${SITE}:8080`}, 'HostMismatch'],
    ['of h2c upgrade', {...ok, headers: {connection: 'Upgrade', upgrade: 'h2c'}}, 'UnsupportedProtocol'],
    ['of HTTP/2 that claims https in the clear', {...ok, protocol: 'HTTP/2', scheme: 'https'}, 'HostMismatch'],
    [
      'of HTTP/2 that claims http inside TLS',
      {...ok, protocol: 'HTTP/2', scheme: 'http', sni: SITE, port: 443},
      'HostMismatch',
    ],
    [
      'with an http: target inside TLS',
      {...ok, scheme: 'http', sni: SITE, port: 443, headers: {'x-forwarded-proto': 'https'}},
      'HostMismatch',
    ],
    [
      'whose x-forwarded-proto was written by the client',
      {...ok, scheme: 'https', headers: {'x-forwarded-proto': 'https'}},
      'RuleAllowed',
    ],
    ['with another name in the SNI than in Host', {...ok, host: 'evil.test', sni: SITE, port: 443}, 'HostMismatch'],
    [
      'CONNECT, where Envoy dials what it tells',
      {method: 'CONNECT', host: 'host-only.test:443', path: ''},
      'UnsupportedProtocol',
    ],
  ])('%s', (_, asked, reason) => expect(reasonOf(asked)).toBe(reason));

  test('that says https by :scheme alone is one in the clear: its word does not make it TLS', () => {
    const https = `
  - name: https-only
    to: {hosts: [${SITE}], schemes: [https]}
`;
    const only = envoyBefore({policy: https});
    const plain = {port: 443, scheme: 'https', headers: {'x-forwarded-proto': 'https'}};
    expect(only.ask(plain).decision.reason).toBe('NoRuleMatched');
    expect(only.ask({...plain, sni: SITE}).decision.reason).toBe('RuleAllowed');
    expect(only.ask({...plain, extensions: {'sallyport-scheme': 'https'}}).decision.reason).toBe('HostMismatch');
    expect(
      only.ask({...plain, extensions: {'sallyport-scheme': 'https', 'sallyport-dials': 'name'}}).decision.reason,
    ).toBe('RuleAllowed');
  });

  test('over the TLS of the mesh itself is what its client sent', () => {
    const meshed = {path: '/ok', sni: SITE, port: 80, extensions: {'sallyport-scheme': 'http'}};
    expect(envoy.ask(meshed).request.traffic.kind).toBe('http');
    expect(reasonOf(meshed)).toBe('RuleAllowed');
  });

  test('with more fields than are looked at is refused, not looked at in part', () => {
    const headers = {'x-many': ','.repeat(1_500)};
    expect(reasonOf({path: '/ok', headers})).toBe('LimitExceeded');
    expect(reasonOf({path: '/ok', raw: Array.from({length: 1_001}, (_v, i) => [`x-${i}`, 'v'] as const)})).toBe(
      'LimitExceeded',
    );
  });
});

describe('what Envoy dials is what was checked:', () => {
  test.each<[string, Question, string]>([
    ['a name at an address of another', {path: '/ok', ip: '203.0.113.66'}, 'HostMismatch'],
    ['the same inside TLS', {path: '/ok', sni: SITE, port: 443, ip: '203.0.113.66'}, 'HostMismatch'],
    [
      'an SNI at an address of another',
      {network: true, sni: 'sealed.test', port: 443, ip: '203.0.113.66'},
      'HostMismatch',
    ],
    ['an SNI at its own', {network: true, sni: 'sealed.test', port: 443, ip: '203.0.113.20'}, 'RuleAllowed'],
    ['no destination', {path: '/ok', ip: null}, 'MalformedRequest'],
    ['a destination that is no address', {path: '/ok', ip: 'site.test'}, 'MalformedRequest'],
    ['a destination without a port', {path: '/ok', port: 0}, 'MalformedRequest'],
    ['a network filter without any address', {network: true, ip: null}, 'MalformedRequest'],
    [
      'a configuration that is not understood',
      {path: '/ok', extensions: {'sallyport-dials': 'Name'}},
      'MalformedRequest',
    ],
    ['a port that is none', {path: '/ok', extensions: {'sallyport-port': '0x50'}}, 'MalformedRequest'],
    ['a scheme that is none', {path: '/ok', extensions: {'sallyport-scheme': 'TLS'}}, 'MalformedRequest'],
  ])('%s', (_, asked, reason) => expect(reasonOf(asked)).toBe(reason));

  test('a rule of cidrs alone opens no name that is elsewhere', () => {
    const wide = envoyBefore({
      policy: '\n  - {name: wide, to: {cidrs: [203.0.113.0/24], schemes: [http]}}\n',
      zone: ZONE,
    });
    expect(wide.ask({host: 'evil.test'}).decision.reason).toBe('HostMismatch');
    expect(wide.ask({host: 'nowhere.test'}).decision.reason).toBe('Unresolvable');
    expect(wide.ask({host: SITE}).decision.reason).toBe('RuleAllowed');
    expect(wide.ask({host: SITE_IP}).decision.reason).toBe('RuleAllowed');
  });

  test('the address and port that were checked are in the answer, for a cluster that dials them', () => {
    expect(envoy.ask({path: '/ok'}).response.dynamicMetadata).toMatchObject({dial: `${SITE_IP}:80`});
    expect(envoy.ask({path: '/ok', ip: '2001:db8::9'}).response.dynamicMetadata).toMatchObject({
      dial: '[2001:db8::9]:80',
    });
  });
});

describe('where Envoy dials the name', () => {
  const byName = (asked: Question): Question => ({
    ip: '10.0.0.1',
    port: 3128,
    extensions: {'sallyport-dials': 'name'},
    ...asked,
  });
  test.each<[string, Question, string]>([
    ['an absolute-form request', byName({path: '/ok'}), 'RuleAllowed'],
    ['one with a port that a rule has', byName({path: '/ok', host: `${SITE}:8080`}), 'RuleAllowed'],
    ['one with a port that no rule has', byName({path: '/ok', host: `${SITE}:81`}), 'NoRuleMatched'],
    [
      'a CONNECT to a name that is not looked into',
      byName({method: 'CONNECT', host: 'host-only.test:443', path: ''}),
      'RuleAllowed',
    ],
    [
      'a CONNECT to a name whose paths would be looked at',
      byName({method: 'CONNECT', host: `${SITE}:443`, path: ''}),
      'NoRuleMatched',
    ],
    ['a CONNECT to another port', byName({method: 'CONNECT', host: 'host-only.test:22', path: ''}), 'NoRuleMatched'],
    ['a CONNECT without a port', byName({method: 'CONNECT', host: 'host-only.test', path: ''}), 'MalformedRequest'],
    ['a CONNECT to nothing', byName({method: 'CONNECT', host: '', path: ''}), 'MalformedRequest'],
    ['a ClientHello, at the port that is told', byName({network: true, sni: 'sealed.test', port: 443}), 'RuleAllowed'],
    [
      'a ClientHello, at the gateway’s own port',
      byName({network: true, sni: 'sealed.test', port: 8443}),
      'NoRuleMatched',
    ],
    ['a ClientHello without a name', byName({network: true}), 'MalformedRequest'],
    ['a request without a host', byName({host: ''}), 'MalformedRequest'],
  ])('%s', (_, asked, reason) => expect(reasonOf(asked)).toBe(reason));

  test('the port that it dials may be told, and what a request says of it has to agree', () => {
    const extensions = {'sallyport-dials': 'name', 'sallyport-port': '443'};
    expect(reasonOf({network: true, sni: 'sealed.test', port: 8443, extensions})).toBe('RuleAllowed');
    expect(reasonOf({host: `${SITE}:8080`, path: '/ok', extensions})).toBe('HostMismatch');
  });

  test('the port that the client dialled counts where connections are redirected to it, whatever Host leaves out', () => {
    const extensions = {'sallyport-dials': 'name', 'sallyport-port': 'original'};
    const at = (port: number, host: string): string =>
      reasonOf({host, path: '/ok', ip: '198.51.100.7', port, extensions});
    expect(at(8080, SITE)).toBe('RuleAllowed');
    expect(at(81, SITE)).toBe('NoRuleMatched');
    expect(at(81, `${SITE}:80`)).toBe('HostMismatch');
    expect(at(0, SITE)).toBe('MalformedRequest');
  });

  test('a flag says so for those that do not, and gRPC metadata for one filter', () => {
    const flagged = envoyBefore({policy: ALLOW, zone: ZONE, dials: 'name'});
    expect(flagged.ask({path: '/ok', ip: '10.0.0.1', port: 3128}).decision.reason).toBe('RuleAllowed');
    const metadata = {'sallyport-dials': 'name'};
    expect(envoy.ask({path: '/ok', ip: '10.0.0.1', port: 3128}, {metadata}).decision.reason).toBe('RuleAllowed');
    // The route's own word wins over the filter's.
    const extensions = {'sallyport-dials': 'address'};
    expect(envoy.ask({path: '/ok', ip: '10.0.0.1', port: 80, extensions}, {metadata}).decision.reason).toBe(
      'HostMismatch',
    );
  });
});

describe('where Envoy dials the address that the answer names', () => {
  const ANSWER = {'sallyport-dials': 'answer'};
  const setup = envoyBefore({
    policy: `
  - {name: pages, to: {hosts: [${SITE}], schemes: [http], ports: [80]}, http: {paths: [/ok]}}
  - {name: literal, to: {cidrs: [203.0.113.0/28], schemes: [http], ports: [8080]}}
  - {name: bytes, to: {cidrs: [203.0.113.50/32], schemes: [tcp], ports: [5432]}}
  - {name: sealed, to: {hosts: [sealed.test], schemes: [tls]}}
`,
    zone: ZONE,
  });
  const asked = (question: Question): readonly [string, string | undefined] => {
    const {decision, response} = setup.ask({extensions: ANSWER, ...question});
    return [decision.reason, (response.dynamicMetadata as {dial?: string} | undefined)?.dial];
  };
  const TOLD = (at: string) => ({...ANSWER, 'sallyport-destination': at});

  test('a name is looked up, wherever the client dialled', () => {
    expect(asked({path: '/ok', ip: '203.0.113.66'})).toEqual(['RuleAllowed', `${SITE_IP}:80`]);
    expect(asked({network: true, sni: 'sealed.test', port: 443, ip: '203.0.113.66'})).toEqual([
      'RuleAllowed',
      '203.0.113.20:443',
    ]);
  });

  test('a rule of cidrs alone holds the address that the client dialled, whatever the name has', () => {
    expect(asked({host: SITE, port: 8080, ip: '203.0.113.3'})).toEqual(['RuleAllowed', '203.0.113.3:8080']);
    expect(asked({host: SITE, port: 8080, ip: '203.0.113.99'})).toEqual(['NoRuleMatched', undefined]);
  });

  test('a tcp rule looks at no bytes, a request among them; it leads to the address, and not to where Host says', () => {
    const database = {host: SITE, path: '/ok', ip: '203.0.113.50', port: 5432};
    expect(asked(database)).toEqual(['RuleAllowed', '203.0.113.50:5432']);
    expect(asked({...database, ip: '203.0.113.51'})[0]).toBe('NoRuleMatched');
    // Nor is it read in any way that a rule of http would need.
    expect(asked({...database, path: '/%00'})).toEqual(['RuleAllowed', '203.0.113.50:5432']);
  });

  test('what the client dialled may be told by another Envoy, and has to be an address then', () => {
    const handed = {host: SITE, port: 15443, ip: '10.0.0.1'};
    expect(asked({...handed, extensions: TOLD('203.0.113.3:8080')})).toEqual(['RuleAllowed', '203.0.113.3:8080']);
    expect(asked({...handed, path: '/ok', extensions: TOLD('[2001:db8::66]:80')})[0]).toBe('RuleAllowed');
    for (const at of ['-', '', '203.0.113.3', `${SITE}:8080`, '203.0.113.3:8080,203.0.113.3:8080'])
      expect([at, ...asked({...handed, extensions: TOLD(at)})]).toEqual([at, 'MalformedRequest', undefined]);
  });
});

describe('inside the tunnel of a CONNECT that Envoy ends', () => {
  const inside = (connect: string, asked: Question): Question => ({
    path: '/ok',
    ip: null,
    ...asked,
    extensions: {'sallyport-dials': 'name', 'sallyport-connect': connect, ...asked.extensions},
  });
  const https = (sni: string, host: string): Question => ({sni, host, extensions: {'sallyport-scheme': 'https'}});
  const bytes: Question = {network: true, extensions: {'sallyport-scheme': 'tcp'}};
  test.each<[string, Question, string]>([
    ['a request inside TLS', inside(`${SITE}:443`, https(SITE, SITE)), 'RuleAllowed'],
    ['a request in the clear', inside(`${SITE}:80`, {host: SITE}), 'RuleAllowed'],
    ['a request at a port that no rule has', inside(`${SITE}:8443`, https(SITE, SITE)), 'NoRuleMatched'],
    ['SNI and Host of another name than the CONNECT', inside('host-only.test:443', https(SITE, SITE)), 'HostMismatch'],
    ['Host of another name alone', inside(`${SITE}:443`, https(SITE, 'host-only.test')), 'HostMismatch'],
    ['Host with another port', inside(`${SITE}:443`, https(SITE, `${SITE}:80`)), 'HostMismatch'],
    [
      'another CONNECT',
      inside(`${SITE}:80`, {method: 'CONNECT', host: `${SITE}:443`, path: ''}),
      'UnsupportedProtocol',
    ],
    ['other bytes', inside(`${SITE}:443`, bytes), 'NoRuleMatched'],
    ['other bytes to an address that a tcp rule has', inside('203.0.113.50:5432', bytes), 'RuleAllowed'],
    ['a CONNECT without a port', inside(SITE, {}), 'MalformedRequest'],
    ['a CONNECT that was not handed on', inside('-', {}), 'MalformedRequest'],
  ])('%s', (_, asked, reason) => expect(reasonOf(asked)).toBe(reason));
});

describe('a network filter, which has seen no request,', () => {
  test.each<[string, Question, string]>([
    [
      'with the SNI in destination.service alone',
      {network: true, service: 'sealed.test', port: 443, ip: '203.0.113.20'},
      'RuleAllowed',
    ],
    [
      'with an SNI that no rule passes',
      {network: true, service: 'evil.test', port: 443, ip: '203.0.113.66'},
      'NoRuleMatched',
    ],
    ['with an SNI whose requests a rule would have to see', {network: true, sni: SITE, port: 443}, 'NoRuleMatched'],
    ['with an SNI that is none', {network: true, sni: 'a b', port: 443}, 'MalformedRequest'],
    ['of a protocol that only tcp rules know', {network: true, ip: '203.0.113.50', port: 5432}, 'RuleAllowed'],
    ['at another port', {network: true, ip: '203.0.113.50', port: 5433}, 'NoRuleMatched'],
    ['at another address', {network: true, ip: '203.0.113.51', port: 5432}, 'NoRuleMatched'],
    ['of TLS without SNI', {network: true, port: 443, extensions: {'sallyport-scheme': 'tls'}}, 'NoRuleMatched'],
  ])('%s', (_, asked, reason) => expect(reasonOf(asked)).toBe(reason));

  test('is refused where rules look at bytes on the port: a Deny among them could match what nobody sees', () => {
    const both = envoyBefore({
      policy: `
  - {name: raw, to: {cidrs: [203.0.113.0/24], schemes: [tcp], ports: [8080]}}
  - {name: web, to: {hosts: [${SITE}], schemes: [http], ports: [8080]}}
`,
    });
    expect(both.ask({network: true, port: 8080}).decision.reason).toBe('Uninspectable');
  });
});
