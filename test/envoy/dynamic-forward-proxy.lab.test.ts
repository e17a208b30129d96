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
      {name: 'assets', to: {hosts: ['allowed.test']}, http: {paths: ['/public/**']}},
      {name: 'rest', to: {hosts: ['other.test', 'impostor.test', 'rebinds.test'], schemes: ['https', 'http']}},
    ],
    deny: {status: 418, body: 'Access Denied by Administrator'},
  },
};

describe.each([...ENVOY_VERSIONS])('samples/envoy/dynamic-forward-proxy.yaml in Envoy %s', (version) => {
  const it = envoyTest(version, 'curl', 'nft');
  let world: Governed;
  beforeAll(async () => {
    world = await governed({
      version,
      sample: 'dynamic-forward-proxy.yaml',
      policies: [POLICY],
      sites: [
        {name: 'allowed.test', ip: '5.6.40.1'},
        {name: 'evil.test', ip: '5.6.40.2'},
        {name: 'other.test', ip: '5.6.40.3'},
        {name: 'impostor.test', ip: '5.6.40.5', certificateFor: 'other.test'},
        {name: 'inside.test', ip: '10.9.9.9'},
      ],
      redirectTo: 15001,
    });
  }, 60_000);
  afterAll(() => world.close());

  it('an allowed request goes to the name, wherever the client dialled it', async () => {
    expect(
      await world.tried('--connect-to', 'allowed.test:443:evil.test:443', 'https://allowed.test/public/a'),
    ).toMatchObject({answer: [200, 'allowed.test GET /public/a'], reached: ['allowed.test/public/a']});
    expect(await world.tried('http://other.test/b')).toMatchObject({reached: ['other.test/b']});
    expect(world.connected).not.toContain('evil.test');
  }, 30_000);

  it('a refusal is seen, and neither looked up nor dialled', async () => {
    const refused = {answer: [418, 'Access Denied by Administrator'], connected: []};
    expect(await world.tried('https://allowed.test/private')).toMatchObject(refused);
    expect(await world.tried('https://evil.test/')).toMatchObject(refused);
    expect(await world.tried('http://evil.test/')).toMatchObject(refused);
  }, 30_000);

  it('SNI and Host of two allowed names are refused', async () => {
    const {answer, reached} = await world.tried('-H', 'Host: other.test', 'https://allowed.test/public/mixed');
    expect([answer[0], reached]).toEqual([421, []]);
  }, 30_000);

  it('a server whose certificate is for another name gets no request', async () => {
    const {answer, reached} = await world.tried('https://impostor.test/secret');
    expect([answer[0], reached]).toEqual([503, []]);
  }, 30_000);

  it('a name that answers Envoy another address than the Check is not dialled at a forbidden one', async () => {
    // The Check asks for A and AAAA, and what Envoy asks after it gets another answer.
    world.setAddresses('rebinds.test', '5.6.40.3', '5.6.40.3', '10.9.9.9');
    const {answer, connected} = await world.tried(
      '--resolve',
      'rebinds.test:80:5.6.40.3',
      'http://rebinds.test/rebound',
    );
    expect([answer[0], connected]).toEqual([403, []]);
    expect(await world.envoy.logged(({path}) => path === '/rebound')).toMatchObject({
      verdict: 'allow',
      details: expect.stringContaining('rbac_access_denied'),
    });
  }, 30_000);
});
