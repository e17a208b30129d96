import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {governed, type Governed} from './governed.ts';
import {ENVOY_VERSIONS} from './index.ts';
import {envoyTest} from './require.ts';
import {ECHO_PORT} from './sites.ts';

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'default'},
  spec: {
    podSelector: {matchLabels: {app: 'web'}},
    rules: [
      {name: 'assets', to: {hosts: ['allowed.test']}, http: {paths: ['/public/**']}},
      {name: 'rest', to: {hosts: ['other.test', 'private.test', 'impostor.test'], schemes: ['https', 'http']}},
      {name: 'bytes', to: {hosts: ['other.test'], schemes: ['tcp'], ports: [ECHO_PORT]}},
    ],
    deny: {status: 418, body: 'Access Denied by Administrator'},
  },
};

describe.each([...ENVOY_VERSIONS])('samples/envoy/explicit-forward-proxy.yaml in Envoy %s', (version) => {
  const it = envoyTest(version, 'curl');
  let world: Governed;
  let proxy: readonly string[];
  beforeAll(async () => {
    world = await governed({
      version,
      sample: 'explicit-forward-proxy.yaml',
      policies: [POLICY],
      sites: [
        ...['allowed.test', 'evil.test', 'other.test'].map((name, i) => ({name, ip: `5.6.40.${i + 1}`})),
        {name: 'impostor.test', ip: '5.6.40.5', certificateFor: 'other.test'},
        {name: 'private.test', ip: '10.9.9.9'},
      ],
      redirectTo: null,
    });
    proxy = ['-x', `http://${world.lab.node.ips[0]}:3128`];
  }, 60_000);
  afterAll(() => world.close());

  const REFUSED = {answer: [418, 'Access Denied by Administrator'], connected: []};

  it('absolute-form: what is allowed goes on, what is not is answered', async () => {
    expect(await world.tried(...proxy, 'http://other.test/a')).toMatchObject({
      answer: [200, 'other.test GET /a'],
      reached: ['other.test/a'],
    });
    expect(await world.tried(...proxy, 'http://evil.test/b')).toMatchObject(REFUSED);
    expect(await world.tried(...proxy, 'http://private.test/')).toMatchObject(REFUSED);
  }, 30_000);

  it('CONNECT: https inside is inspected, and a refusal is answered inside, for the workload that asks', async () => {
    expect(await world.tried(...proxy, 'https://allowed.test/public/a')).toMatchObject({
      answer: [200, 'allowed.test GET /public/a'],
      reached: ['allowed.test/public/a'],
    });
    expect(await world.tried(...proxy, 'https://allowed.test/private')).toMatchObject(REFUSED);
    expect(await world.tried(...proxy, 'https://evil.test/denied')).toMatchObject(REFUSED);
    expect(await world.envoy.logged(({path}) => path === '/private')).toMatchObject({
      client: expect.stringMatching(`^${world.lab.pod('app').ip4}:`),
      verdict: 'deny',
      reason: 'NoRuleMatched',
    });
    expect(world.journal.some(({workload}) => workload === 'default/app')).toBe(true);
  }, 30_000);

  it.each([
    ['SNI and Host beside it', ['https://allowed.test/public/x']],
    ['Host beside it', ['-H', 'Host: other.test', 'https://allowed.test/public/x']],
  ])(
    'a CONNECT to one allowed name with another inside is refused: %s',
    async (_what, request) => {
      // Through the tunnel to other.test, whose certificate and requests are those of allowed.test.
      const to = request.length === 1 ? ['--connect-to', 'allowed.test:443:other.test:443'] : [];
      const {answer, reached, connected} = await world.tried(...proxy, ...to, ...request);
      expect([answer[0], reached, connected]).toEqual([421, [], []]);
    },
    30_000,
  );

  it('an allowed name inside a CONNECT to another that is not, never gets there', async () => {
    const {answer, connected} = await world.tried(
      ...proxy,
      '--connect-to',
      'allowed.test:443:evil.test:443',
      'https://allowed.test/public/x',
    );
    expect([answer[0], connected]).toEqual([421, []]);
  }, 30_000);

  it('what is no https inside a CONNECT is decided all the same', async () => {
    const tunnel = ['--proxytunnel', ...proxy];
    expect(await world.tried(...tunnel, 'http://other.test/inside')).toMatchObject({reached: ['other.test/inside']});
    expect(await world.tried(...tunnel, 'http://evil.test/inside')).toMatchObject(REFUSED);
    expect((await world.tunnelled('other.test', ECHO_PORT, 'SSH-2.0-client\r\n')).trim()).toBe('SSH-2.0-client');
    expect(await world.tunnelled('evil.test', ECHO_PORT, 'SSH-2.0-client\r\n')).toBe('');
    expect(world.connected).not.toContain('evil.test');
  }, 30_000);

  it('an address or a private name is no way out', async () => {
    const {connected, reached} = await world.tried(...proxy, '-k', 'https://5.6.40.2/');
    expect([connected, reached]).toEqual([[], []]);
    expect(await world.tried(...proxy, 'https://private.test/')).toMatchObject(REFUSED);
    expect((await world.tried(...proxy, 'https://impostor.test/')).reached).toEqual([]);
  }, 30_000);

  it('a proxy of the client’s own making is not believed', async () => {
    // The headers that would tell the listener inside whose tunnel it is are filter state, which no client writes.
    const forged = ['-H', 'x-forwarded-for: 10.77.0.99', '-H', 'sallyport-connect: evil.test:443'];
    expect(await world.tried(...proxy, ...forged, 'https://allowed.test/public/forged')).toMatchObject({
      reached: ['allowed.test/public/forged'],
    });
  }, 30_000);
});
