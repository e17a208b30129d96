import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {governed, type Governed} from './governed.ts';
import {ENVOY_VERSIONS} from './index.ts';
import {envoyTest} from './require.ts';

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'default'},
  spec: {
    podSelector: {matchLabels: {app: 'web'}},
    rules: [
      {name: 'unread', to: {hosts: ['allowed.test', 'private.test'], schemes: ['tls'], ports: [443, 8443]}},
      {name: 'host-only', to: {hosts: ['other.test']}},
      {name: 'needs-request', to: {hosts: ['paths.test']}, http: {paths: ['/**']}},
    ],
  },
};

describe.each([...ENVOY_VERSIONS])('samples/envoy/sni-passthrough.yaml in Envoy %s', (version) => {
  const it = envoyTest(version, 'curl', 'nft');
  let world: Governed;
  beforeAll(async () => {
    world = await governed({
      version,
      sample: 'sni-passthrough.yaml',
      policies: [POLICY],
      sites: ['allowed.test', 'evil.test', 'other.test', 'paths.test']
        .map((name, i) => ({name, ip: `5.6.40.${i + 1}`}))
        .concat({name: 'private.test', ip: '10.9.9.9'}),
      redirectTo: 15001,
    });
  }, 60_000);
  afterAll(() => world.close());

  it.each([
    ['a tls rule holds its name', 'https://allowed.test/'],
    ['on another port too', 'https://allowed.test:8443/'],
    ['an https rule of hosts alone holds its name', 'https://other.test/'],
  ])(
    'TLS passes unread where %s: the client sees the server’s own certificate',
    async (_what, url) => {
      const {host} = new URL(url);
      // Only the public roots are trusted, not ours.
      const {code, stderr} = await world.curl('--cacert', world.ca.bundle, url);
      expect([code, stderr]).toEqual([200, '']);
      expect(world.arrived.at(-1)!.host).toBe(host);
    },
    30_000,
  );

  it('is in the access log with rule and reason', async () => {
    await world.curl('https://allowed.test/');
    expect(await world.envoy.logged(({sni}) => sni === 'allowed.test')).toMatchObject({
      verdict: 'allow',
      reason: 'RuleAllowed',
      policy: 'default/web',
      rule: 'unread',
      upstream: '5.6.40.1:443',
    });
  }, 30_000);

  it.each([
    ['no rule holds the name', 'NoRuleMatched', 'https://evil.test/'],
    ['the rule needs to see the request', 'NoRuleMatched', 'https://paths.test/'],
    ['the name has a private address', 'DestinationForbidden', 'https://private.test/'],
    ['the port is none of the rule', 'NoRuleMatched', 'https://other.test:8443/'],
    ['there is no name', 'MalformedRequest', 'https://5.6.40.2/'],
  ])(
    'is closed before anything is dialled where %s (%s)',
    async (_what, reason, url) => {
      const {length} = world.connected;
      const {status, client} = await world.curl('-k', url);
      expect(status).not.toBe(0);
      expect(await world.envoy.logged((line) => line['client'] === client)).toMatchObject({
        verdict: 'deny',
        reason,
        upstream: null,
      });
      expect(world.connected.slice(length)).toEqual([]);
    },
    30_000,
  );

  it('a name dialled at another address goes to its own', async () => {
    const {code, body} = await world.curl('--connect-to', 'allowed.test:443:evil.test:443', 'https://allowed.test/x');
    expect([code, body.trim()]).toEqual([200, 'allowed.test GET /x']);
    expect(world.connected).not.toContain('evil.test');
  }, 30_000);

  it('what is no TLS has no way out', async () => {
    const {length} = world.connected;
    expect((await world.curl('http://allowed.test/')).status).not.toBe(0);
    expect(world.connected.slice(length)).toEqual([]);
  }, 30_000);
});
