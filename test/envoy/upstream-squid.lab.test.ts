import type {ChildProcess} from 'node:child_process';
import {chmodSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {accepts, ended, squidConfig} from '../../cli/demo/squid.ts';
import {connectIn, type Lab} from '../lab/index.ts';
import {RESOLVER, governed, type Governed} from './governed.ts';
import {ENVOY_VERSIONS} from './index.ts';
import {envoyTest} from './require.ts';
import {until} from '../waiting.ts';

const POLICIES = [
  {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressPolicy',
    metadata: {name: 'web', namespace: 'default'},
    spec: {
      podSelector: {matchLabels: {app: 'web'}},
      rules: [
        {name: 'assets', to: {hosts: ['allowed.test']}, http: {paths: ['/public/**']}},
        {name: 'ports', to: {hosts: ['other.test'], ports: [443, 8443]}},
        {name: 'plain', to: {hosts: ['other.test'], schemes: ['http']}},
        {name: 'direct', to: {hosts: ['direct.test']}, via: 'Direct'},
        {name: 'impostor', to: {hosts: ['impostor.test', 'private.test']}},
      ],
      deny: {status: 418, body: 'Access Denied by Administrator'},
    },
  },
  {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'UpstreamProxy',
    metadata: {name: 'corp'},
    spec: {endpoints: [{url: 'http://127.0.0.1:3128'}], hosts: ['*']},
  },
];

/** Squid on the node, taking connections. */
async function startSquid(lab: Lab, dir: string): Promise<void> {
  const file = join(dir, 'squid.conf');
  writeFileSync(file, squidConfig(dir, '127.0.0.1:3128', RESOLVER, 'dns_v4_first on'));
  // squid gives up root, and writes its logs after that.
  chmodSync(dir, 0o777);
  const child = lab.spawn('node', ['squid', '-N', '-f', file], {stdio: ['ignore', 'ignore', 'ignore']});
  if (!(await accepts(child, () => connectIn(lab.node.path, {ip: '127.0.0.1', port: 3128}))))
    throw new Error(`squid does not listen: ${readFileSync(join(dir, 'cache.log'), 'utf8')}`);
  squids.push(child);
}

const squids: ChildProcess[] = [];

describe.each([...ENVOY_VERSIONS])('samples/envoy/upstream-squid.yaml in Envoy %s', (version) => {
  const it = envoyTest(version, 'curl', 'nft', 'squid');
  let world: Governed;
  beforeAll(async () => {
    world = await governed({
      version,
      sample: 'upstream-squid.yaml',
      policies: POLICIES,
      sites: [
        ...['allowed.test', 'evil.test', 'other.test', 'direct.test'].map((name, i) => ({name, ip: `5.6.40.${i + 1}`})),
        {name: 'impostor.test', ip: '5.6.40.5', certificateFor: 'other.test'},
        {name: 'private.test', ip: '10.9.9.9'},
      ],
      redirectTo: 15001,
      prepare: startSquid,
    });
  }, 60_000);
  afterAll(async () => {
    await Promise.all(squids.splice(0).map(ended));
    await world.close();
  });

  /** METHOD TARGET of what squid has finished; it logs a tunnel when it ends. */
  const carried = (): string[] =>
    readFileSync(join(world.dir, 'access.log'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.trim().split(/\s+/).slice(5, 7).join(' '));

  it('http goes to squid in absolute-form', async () => {
    expect(await world.tried('http://other.test/plain')).toMatchObject({
      answer: [200, 'other.test GET /plain'],
      reached: ['other.test/plain'],
    });
    expect(carried()).toContain('GET http://other.test/plain');
  }, 30_000);

  it('https is inspected, and goes by a CONNECT to the name with the server’s certificate verified', async () => {
    expect(
      await world.tried('--connect-to', 'allowed.test:443:evil.test:443', 'https://allowed.test/public/a'),
    ).toMatchObject({answer: [200, 'allowed.test GET /public/a'], reached: ['allowed.test/public/a']});
    const {answer, reached} = await world.tried('https://impostor.test/secret');
    expect([answer[0], reached]).toEqual([503, []]);
    await until(carried, (heads) => heads.includes('CONNECT impostor.test:443'));
    expect(world.connected).not.toContain('evil.test');
  }, 30_000);

  it('two ports of one name have a tunnel each', async () => {
    const {length} = world.arrived;
    for (const url of ['https://other.test/1', 'https://other.test:8443/2', 'https://other.test/3'])
      expect(await world.tried(url)).toMatchObject({answer: [200, expect.anything()]});
    expect(world.arrived.slice(length).map(({path, port}) => `${port}${path}`)).toEqual(['443/1', '8443/2', '443/3']);
  }, 30_000);

  it('what is refused never gets to squid', async () => {
    const before = carried().length;
    const refused = {answer: [418, 'Access Denied by Administrator'], connected: []};
    expect(await world.tried('https://allowed.test/private')).toMatchObject(refused);
    expect(await world.tried('https://evil.test/')).toMatchObject(refused);
    expect(await world.tried('http://evil.test/')).toMatchObject(refused);
    expect(await world.tried('https://private.test/')).toMatchObject(refused);
    expect((await world.tried('-H', 'Host: other.test', 'https://allowed.test/public/x')).answer[0]).toBe(421);
    expect(
      carried()
        .slice(before)
        .filter((line) => !line.includes('allowed.test:443')),
    ).toEqual([]);
  }, 30_000);

  it('what a rule sends directly is refused here, for this Envoy cannot', async () => {
    const {connected} = await world.tried('https://direct.test/direct');
    expect(connected).toEqual([]);
    expect(await world.envoy.logged(({path}) => path === '/direct')).toMatchObject({reason: 'UpstreamUnreachable'});
  }, 30_000);
});
