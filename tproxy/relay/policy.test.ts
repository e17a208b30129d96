/** The relay with the real policy language: what the tutorial promises, on the wire. */
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {compilePolicies, decide, loadDocuments, type PolicySet} from '../../policy/index.ts';
import {world, type World} from './testing/harness.ts';
import {settled} from './testing/settled.ts';

const INSTALLATION = {
  defaultAction: 'Deny',
  clusterDomain: 'cluster.local',
  serviceCidrs: ['10.96.0.0/12'],
  podCidrs: ['10.244.0.0/16'],
  nodeCidrs: ['172.18.0.0/16'],
  nat64Prefixes: [],
  searchDomains: [],
  ownPorts: [15080, 15081],
} as const;

const POLICY = `
apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: storage-only, namespace: default}
spec:
  podSelector: {matchLabels: {app: pod}}
  rules:
  - name: public-assets
    to: {hosts: [a.test], schemes: [https, http]}
    http: {methods: [GET], paths: ["/open/**"]}
    request: {set: {x-egress: sallyport}}
  - name: sealed
    to: {hosts: [sealed.test], schemes: [tls]}
  - name: inside
    to: {hosts: [inside.test]}
  deny: {status: 418, contentType: text/html, body: Access Denied by Administrator}
`;

function compiled(text: string): PolicySet {
  const {documents, findings} = loadDocuments([{file: 'test.yaml', text}]);
  expect(findings.filter((finding) => finding.severity === 'error')).toEqual([]);
  return compilePolicies(documents, INSTALLATION);
}

let w: World;
let policies: PolicySet | 'not-loaded';
beforeEach(async () => {
  w = await world({port: 443});
  policies = compiled(POLICY);
  w.decide = (request, names) =>
    decide(
      policies,
      request,
      names.has('inside.test')
        ? new Map([['inside.test', ['10.0.0.1']]])
        : new Map([...names].map(([name]) => [name, ['93.184.216.34']])),
    );
});
afterEach(() => w.close());

const request = (path: string, host = 'a.test', method = 'GET'): string =>
  `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

describe('the policy on the wire', () => {
  test('what a rule allows is dialled at the looked-up address, with the mutations', async () => {
    const client = await w.tls();
    client.send(request('/open/x'));
    await client.until((text) => text.endsWith('hello'));
    expect(w.requests[0]).toMatchObject({
      route: {name: 'a.test', port: 443, dial: ['93.184.216.34']},
      request: {headers: ['x-egress', 'sallyport']},
    });
    expect(w.decisions[0]!.decision).toMatchObject({reason: 'RuleAllowed', rule: 'public-assets'});
  });

  test.each([
    ['another path', request('/closed'), 418, 'NoRuleMatched'],
    ['another method', request('/open/x', 'a.test', 'DELETE'), 418, 'NoRuleMatched'],
    ['another Host', request('/open/x', 'evil.test'), 421, 'HostMismatch'],
    ['another port in Host', request('/open/x', 'a.test:8443'), 421, 'HostMismatch'],
    ['an http target inside TLS', request('http://a.test/open/x'), 421, 'HostMismatch'],
    ['CONNECT inside TLS', 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n', 400, 'UnsupportedProtocol'],
    [
      'an upgrade to h2c',
      'GET /open/x HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
      400,
      'UnsupportedProtocol',
    ],
    ['an escaped NUL', request('/open/%00'), 400, 'AmbiguousPath'],
    ['a path that leaves what it begins with', request('/open/..%2fclosed'), 400, 'AmbiguousPath'],
  ])('%s is refused, and no server is asked', async (_name, bytes, status, reason) => {
    const client = await w.tls();
    client.send(bytes);
    await client.until((text) => text.startsWith(`HTTP/1.1 ${status} `));
    expect(w.decisions[0]!.decision.reason).toBe(reason);
    expect(w.requests).toHaveLength(0);
    expect(w.tunnels).toHaveLength(0);
  });

  test('a host that no rule names is answered inside TLS, with the policy’s words', async () => {
    const client = await w.tls({servername: 'www.test'});
    client.send(request('/', 'www.test'));
    expect(await client.until((text) => text.endsWith('Administrator'))).toMatch(
      /^HTTP\/1\.1 418 [^]*Access Denied by Administrator$/,
    );
  });

  test('a name that resolves to a private address is forbidden', async () => {
    const client = await w.tls({servername: 'inside.test'});
    client.send(request('/', 'inside.test'));
    await client.until((text) => text.includes(' 418 '));
    expect(w.decisions[0]!.decision.reason).toBe('DestinationForbidden');
    expect(w.requests).toHaveLength(0);
  });

  test('a tls rule passes the bytes through, never decrypted', async () => {
    const raw = await w.raw();
    const {connect} = await import('node:tls');
    connect({socket: raw, servername: 'sealed.test'}).on('error', () => undefined);
    await settled(() => w.tunnels.length === 1);
    expect(w.tunnels[0]!.route).toMatchObject({scheme: 'tls', name: 'sealed.test', dial: ['93.184.216.34']});
  });

  test('before the first load everything is 503, inside TLS too', async () => {
    policies = 'not-loaded';
    const client = await w.tls();
    client.send(request('/open/x'));
    await client.until((text) => text.startsWith('HTTP/1.1 503 ') && text.includes('PolicyNotLoaded'));
    expect(w.requests).toHaveLength(0);
  });

  test('a narrowed rule closes what it carried, and the next request of a kept connection', async () => {
    const client = await w.tls();
    client.send(request('/open/x'));
    await client.until((text) => text.endsWith('hello'));
    const raw = await w.raw();
    const {connect} = await import('node:tls');
    connect({socket: raw, servername: 'sealed.test'}).on('error', () => undefined);
    await settled(() => w.tunnels.length === 1);
    policies = compiled(POLICY.replace('sealed.test', 'other.test').replace('/open/', '/elsewhere/'));
    w.relay.policiesChanged();
    await settled(() => w.tunnels[0]!.server.destroyed);
    client.send(request('/open/x'));
    await client.until((text) => text.includes(' 418 '));
    expect(w.requests).toHaveLength(1);
  });

  test('a flow is judged by the address it is connected to, though its name has long had others', async () => {
    w.decide = (asked, names) => decide(policies, asked, names);
    w.serve = (seen, event) => {
      if (event !== 'end') return;
      seen.handlers.dialled('198.51.100.9:443', null);
      seen.handlers.head(200, [], null);
      seen.handlers.body(Buffer.from('begun'));
    };
    const client = await w.tls();
    client.send(request('/open/x'));
    await client.until((text) => text.includes('begun'));
    const denying = (cidr: string): PolicySet =>
      compiled(
        `${POLICY.trimEnd().replace('  rules:', `  rules:\n  - {name: blocked, action: Deny, to: {cidrs: [${cidr}]}}`)}\n`,
      );
    policies = denying('203.0.113.0/24');
    w.relay.policiesChanged();
    expect(w.requests[0]!.aborted).toBe(false);
    policies = denying('198.51.100.9/32');
    w.relay.policiesChanged();
    expect(w.requests[0]!.aborted).toBe(true);
    expect(w.flows[0]).toMatchObject({failure: {reason: 'RuleDenied'}});
  });
});
