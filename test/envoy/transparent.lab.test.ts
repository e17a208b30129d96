import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {ENVOY_VERSIONS} from './index.ts';
import {envoyTest} from './require.ts';
import {governed, type Governed} from './governed.ts';

const policy = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'default'},
  spec: {
    podSelector: {matchLabels: {app: 'web'}},
    rules: [
      {
        name: 'assets',
        to: {hosts: ['allowed.test']},
        http: {methods: ['GET'], paths: ['/public/**']},
        request: {set: {'x-egress': 'sallyport'}},
      },
      {name: 'other', to: {hosts: ['other.test']}},
      {name: 'plain', to: {hosts: ['allowed.test'], schemes: ['http']}},
      {name: 'pinned', to: {hosts: ['pinned.test'], schemes: ['tls']}},
    ],
    deny: {status: 418, contentType: 'text/html', body: 'Access Denied by Administrator'},
  },
};

describe.each([...ENVOY_VERSIONS])('samples/envoy/transparent.yaml in Envoy %s', (version) => {
  const it = envoyTest(version, 'curl', 'nft');
  let world: Governed;
  beforeAll(async () => {
    world = await governed({
      version,
      sample: 'transparent.yaml',
      policies: [policy],
      sites: [
        {name: 'allowed.test', ip: '5.6.40.1'},
        {name: 'evil.test', ip: '5.6.40.2'},
        {name: 'other.test', ip: '5.6.40.3'},
        {name: 'pinned.test', ip: '5.6.40.4'},
      ],
      redirectTo: 15001,
    });
  }, 60_000);
  afterAll(() => world.close());

  it('https is inspected: an allowed request arrives, changed by its rule alone', async () => {
    const {code, body, stderr} = await world.curl('https://allowed.test/public/a?b=1');
    expect([code, body, stderr]).toEqual([200, 'allowed.test GET /public/a?b=1\n', '']);
    const {headers} = world.arrived.at(-1)!;
    expect(headers).toEqual({
      host: 'allowed.test',
      'user-agent': expect.anything(),
      accept: '*/*',
      'x-egress': 'sallyport',
    });
  }, 30_000);

  it('a refusal is seen, with status and body of the policy, and in the access log with its reason', async () => {
    const {code, body} = await world.curl('https://allowed.test/private');
    expect([code, body]).toEqual([418, 'Access Denied by Administrator']);
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
    expect(world.arrived.some(({path}) => path === '/private')).toBe(false);
  }, 30_000);
});
