import {once} from 'node:events';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {ENVOY_VERSIONS} from './index.ts';
import {governed, type Governed} from './governed.ts';
import {envoyTest} from './require.ts';
import {ECHO_PORT} from './sites.ts';
import {until} from '../waiting.ts';

const policyOf = (rules: readonly object[]): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'default'},
  spec: {
    podSelector: {matchLabels: {app: 'web'}},
    rules,
    deny: {status: 418, contentType: 'text/html', body: 'Access Denied by Administrator'},
  },
});
const PLAIN = {name: 'plain', to: {hosts: ['allowed.test'], schemes: ['http']}};
const POLICY = policyOf([
  {
    name: 'assets',
    to: {hosts: ['allowed.test']},
    http: {methods: ['GET'], paths: ['/public/**']},
    request: {set: {'x-egress': 'sallyport'}},
  },
  {name: 'other', to: {hosts: ['other.test', 'private.test', 'impostor.test']}},
  PLAIN,
  {name: 'bytes', to: {cidrs: ['5.6.40.3/32'], schemes: ['tcp'], ports: [ECHO_PORT]}},
  {name: 'pinned', to: {hosts: ['pinned.test'], schemes: ['tls']}},
]);
const BODY = 'Access Denied by Administrator';
/** curl: the TLS handshake failed. */
const NO_HANDSHAKE = 35;

describe.each([...ENVOY_VERSIONS])('samples/envoy/transparent.yaml in Envoy %s', (version) => {
  const it = envoyTest(version, 'curl', 'nft');
  let world: Governed;
  beforeAll(async () => {
    world = await governed({
      version,
      sample: 'transparent.yaml',
      policies: [POLICY],
      sites: [
        {name: 'allowed.test', ip: '5.6.40.1'},
        {name: 'evil.test', ip: '5.6.40.2'},
        {name: 'other.test', ip: '5.6.40.3'},
        {name: 'pinned.test', ip: '5.6.40.4'},
        {name: 'private.test', ip: '10.9.9.9'},
        {name: 'impostor.test', ip: '5.6.40.5', certificateFor: 'other.test'},
      ],
      redirectTo: 15001,
    });
  }, 60_000);
  afterAll(() => world.close());

  const curl = (...args: readonly string[]) => world.tried(...args);
  const reasonOf = async (path: string) => (await world.envoy.logged((line) => line['path'] === path))['reason'];

  it('https is inspected: an allowed request arrives, changed by its rule alone', async () => {
    const {answer} = await curl('https://allowed.test/public/a?b=1');
    expect(answer).toEqual([200, 'allowed.test GET /public/a?b=1']);
    expect(world.arrived.at(-1)!.headers).toEqual({
      host: 'allowed.test',
      'user-agent': expect.anything(),
      accept: '*/*',
      'x-egress': 'sallyport',
    });
  }, 30_000);

  it('a refusal is seen with the status and body of the policy, and in the access log with its reason', async () => {
    expect(await curl('https://allowed.test/private')).toMatchObject({answer: [418, BODY], reached: []});
    expect(await world.envoy.logged(({path}) => path === '/private')).toMatchObject({
      verdict: 'deny',
      reason: 'NoRuleMatched',
      policy: '',
      rule: '',
      would_deny: true,
      id: expect.stringMatching(/^[a-z0-9]{16}$/),
      status: 418,
      sni: 'allowed.test',
      upstream: null,
    });
    expect(await world.envoy.logged(({path}) => path === '/public/a?b=1')).toMatchObject({
      verdict: 'allow',
      reason: 'RuleAllowed',
      policy: 'default/web',
      rule: 'assets',
      upstream: '5.6.40.1:443',
    });
  }, 30_000);

  it('a host that no rule holds is refused inside TLS, and nothing is dialled', async () => {
    expect(await curl('https://evil.test/denied-host')).toMatchObject({answer: [418, BODY], connected: []});
  }, 30_000);

  it.each(['--http1.1', '--http2'])(
    'a name dialled at another address goes to its own (%s)',
    async (http) => {
      expect(
        await curl(http, '--connect-to', 'allowed.test:443:evil.test:443', 'https://allowed.test/public/b'),
      ).toMatchObject({answer: [200, 'allowed.test GET /public/b'], reached: ['allowed.test/public/b']});
      expect(world.connected).not.toContain('evil.test');
    },
    30_000,
  );

  it('nor does a header steer it', async () => {
    const header = 'x-envoy-original-dst-host: 5.6.40.2:443';
    expect(await curl('-H', header, 'https://allowed.test/public/c')).toMatchObject({
      reached: ['allowed.test/public/c'],
    });
    expect(world.connected).not.toContain('evil.test');
  }, 30_000);

  it.each(['--http1.1', '--http2'])(
    'SNI and Host of two allowed names are refused, also on the second request (%s)',
    async (http) => {
      const first = ['-o', '/dev/null', http, 'https://allowed.test/public/first'];
      const {answer, reached} = await curl(
        ...first,
        '--next',
        '-s',
        '-w',
        '\n%{http_code}',
        http,
        '-H',
        'Host: other.test',
        'https://allowed.test/mixed',
      );
      expect([answer[0], reached]).toEqual([421, ['allowed.test/public/first']]);
      expect(await reasonOf('/mixed')).toBe('HostMismatch');
    },
    30_000,
  );

  it('a WebSocket is decided by its request, and carried', async () => {
    expect(await world.webSocket('allowed.test', '5.6.40.1', '/public/ws', 'hello')).toEqual({
      status: 101,
      said: 'hello',
    });
    expect(await world.webSocket('allowed.test', '5.6.40.1', '/private/ws', 'hello')).toEqual({
      status: 418,
      said: BODY,
    });
    expect(world.arrived.at(-1)).toMatchObject({site: 'allowed.test', path: '/public/ws'});
  }, 30_000);

  it.each([
    ['a name that a tls rule would carry unread', 'https://pinned.test/'],
    ['an address without a name', 'https://5.6.40.2/'],
  ])(
    '%s gets no certificate, and nothing is dialled',
    async (_what, url) => {
      expect(await curl('-k', url)).toMatchObject({status: NO_HANDSHAKE, connected: []});
    },
    30_000,
  );

  it('the port that was dialled counts, whatever Host leaves out', async () => {
    for (const host of ['other.test', 'other.test:8443'])
      expect(await curl('-H', `Host: ${host}`, 'https://other.test:8443/port')).toMatchObject({
        answer: [418, BODY],
        connected: [],
      });
    expect(await curl('-H', 'Host: other.test:443', 'https://other.test:8443/port')).toMatchObject({
      answer: [421, expect.anything()],
      connected: [],
    });
  }, 30_000);

  it('a name that resolves to a private address is refused, though a rule holds it', async () => {
    expect(await curl('https://private.test/rebound')).toMatchObject({answer: [418, BODY], connected: []});
    expect(await reasonOf('/rebound')).toBe('DestinationForbidden');
  }, 30_000);

  it('a server whose certificate is for another name gets no request', async () => {
    const {answer, reached} = await curl('https://impostor.test/secret');
    expect([answer[0], reached]).toEqual([503, []]);
    expect(await world.envoy.logged(({path}) => path === '/secret')).toMatchObject({
      upstream_failure: expect.stringContaining('CERTIFICATE_VERIFY_FAILED'),
    });
  }, 30_000);

  it('http is decided by the same policy, and goes to the name’s own address', async () => {
    expect(await curl('http://evil.test/h')).toMatchObject({answer: [418, BODY], connected: []});
    expect(await curl('--connect-to', 'allowed.test:80:evil.test:80', 'http://allowed.test/plain')).toMatchObject({
      answer: [200, 'allowed.test GET /plain'],
      connected: ['allowed.test'],
    });
  }, 30_000);

  it('other bytes go where a tcp rule holds the address and port, and are refused before anything is dialled elsewhere', async () => {
    expect(await world.say('5.6.40.3', ECHO_PORT, 'SSH-2.0-client\r\n')).toBe('SSH-2.0-client\r\n');
    expect(await world.say('5.6.40.2', ECHO_PORT, 'SSH-2.0-client\r\n')).toBe('');
    expect(world.connected).not.toContain('evil.test');
    expect(await world.envoy.logged(({details}) => details === 'ext_authz_denied')).toMatchObject({
      verdict: 'deny',
      reason: 'NoRuleMatched',
      upstream: null,
    });
  }, 30_000);

  it('a change of policy takes the certificate of a name back that may only pass through now', async () => {
    expect(await curl('https://other.test/before')).toMatchObject({reached: ['other.test/before']});
    const active = async (): Promise<number> =>
      [...(await world.envoy.stats('cert_active')).values()].reduce((sum, n) => sum + n, 0);
    const before = await active();
    world.setPolicy(policyOf([PLAIN, {name: 'unread', to: {hosts: ['other.test'], schemes: ['tls']}}]));
    await until(active, (certificates) => certificates < before);
    expect(await curl('https://other.test/after')).toMatchObject({status: NO_HANDSHAKE, connected: []});
    world.setPolicy(POLICY);
    await until(
      () => curl('https://other.test/again'),
      ({status}) => status === 0,
    );
    expect(world.arrived.at(-1)!.path).toBe('/again');
  }, 30_000);

  it('without extauthz nothing passes: 503 where there is a certificate, no handshake where there is none', async () => {
    await curl('https://allowed.test/public/warm');
    const gone = once(world.extauthz, 'exit');
    world.extauthz.kill('SIGKILL');
    await gone;
    expect(await curl('https://allowed.test/public/down')).toMatchObject({answer: [503, ''], connected: []});
    expect(await curl('http://allowed.test/down')).toMatchObject({answer: [503, ''], connected: []});
    expect(await curl('--max-time', '3', 'https://impostor-2.test/')).toMatchObject({reached: [], connected: []});
  }, 30_000);
});
