/** A sidecar of the oldest Istio that is generated for, told by a newer istiod: it asks about the same, before it dials. */
import {createServer, type Server} from 'node:net';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {ISTIO_VERSIONS} from '../../mesh-config/versions.ts';
import {ENVOY_VERSIONS} from '../envoy/index.ts';
import {say} from '../envoy/talk.ts';
import {listenIn} from '../lab/index.ts';
import {fromIntent} from './generated.ts';
import {startSquid, type Parent} from './parents.ts';
import {meshTest} from './require.ts';
import {meshWorld, RESOLVER, TIMEOUT_MS, type MeshWorld, type RunningMesh} from './world.ts';

const KNOWN = '5.6.40.1';
const EVIL = '5.6.40.9';
const BANNER_PORT = 2525;
const SQUID = '10.9.9.1';
const PORT = 3128;
const [OLDEST] = ISTIO_VERSIONS;
const PROXY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'UpstreamProxy',
  metadata: {name: 'corp'},
  spec: {endpoints: [{url: `http://squid.corp.test:${PORT}`}], hosts: ['behind.test']},
};
const INTENT = [
  {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'MeshEgress',
    metadata: {name: 'default'},
    spec: {
      istio: {version: OLDEST},
      extauthz: {timeoutMs: TIMEOUT_MS},
      outboundTrafficPolicy: 'AllowAny',
      enforcement: [{at: 'Sidecar', namespace: 'app'}],
      proxies: [{name: 'corp', addresses: [SQUID]}],
    },
  },
  PROXY,
];
const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'app'},
  spec: {
    podSelector: {},
    rules: [
      {name: 'pages', to: {hosts: ['known.test'], schemes: ['http']}, http: {paths: ['/public/**']}},
      {name: 'names', to: {hosts: ['known.test'], schemes: ['tls'], ports: [443, 8443]}},
      {name: 'behind', to: {hosts: ['behind.test'], schemes: ['tls']}},
    ],
    deny: {status: 418},
  },
};
const REGISTRY = stringify({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: {name: 'known', namespace: 'app'},
  spec: {
    hosts: ['known.test', 'evil.test'],
    location: 'MESH_EXTERNAL',
    resolution: 'DNS',
    ports: [
      {number: 80, name: 'http', protocol: 'HTTP'},
      {number: 443, name: 'tls', protocol: 'TLS'},
    ],
  },
});

describe(`a sidecar of Istio ${OLDEST}`, () => {
  const it = meshTest('squid');
  let banners = 0;
  let server: Server;
  let squid: Parent;
  let world: MeshWorld;
  let mesh: RunningMesh;
  beforeAll(async () => {
    world = await meshWorld({
      policies: [POLICY, PROXY],
      sites: [
        {name: 'known.test', ip: KNOWN},
        {name: 'behind.test', ip: '5.6.40.2'},
        {name: 'evil.test', ip: EVIL},
      ],
      names: {'squid.corp.test': SQUID},
      async prepare(lab, dir) {
        squid = await startSquid(lab, dir, RESOLVER, {ips: [SQUID], port: PORT});
        server = createServer((socket) => {
          banners++;
          socket.on('error', () => undefined).write('220 who is there\r\n');
        });
        await listenIn(lab.internet.path, server, EVIL, BANNER_PORT);
      },
    });
    const {yaml, settings} = fromIntent(INTENT.map((one) => stringify(one)).join('---\n'));
    const older = {istio: `${OLDEST}.0`, envoy: ENVOY_VERSIONS.at(-1)!};
    mesh = await world.mesh([REGISTRY, yaml], settings, older);
  }, 120_000);
  afterAll(async () => {
    await mesh.stop();
    await squid.stop();
    server.close();
    await world.close();
  }, 60_000);

  const REFUSED = {reached: [], connected: []};

  it('has the Envoy of that version, which takes all that it is sent', async () => {
    expect(mesh.envoy.version).toBe('1.37.0');
    // What an older Envoy does not know it reads over, without a word.
    expect(await mesh.envoy.stats('dynamic_unknown_fields$')).toEqual(new Map([['server.dynamic_unknown_fields', 0]]));
  }, 60_000);

  it('http is decided by its path', async () => {
    expect(await world.tried('http://known.test/public/a')).toMatchObject({reached: ['known.test/public/a']});
    expect(await world.tried('http://known.test/private')).toMatchObject({
      answer: [418, expect.anything()],
      reached: [],
    });
    expect(await world.tried('http://evil.test/public/a')).toMatchObject(REFUSED);
  }, 60_000);

  it('TLS is decided by its name, on ports of services and of none', async () => {
    for (const port of ['', ':8443']) {
      expect(await world.tried(`https://known.test${port}/t`)).toMatchObject({reached: ['known.test/t']});
      expect(await world.tried(`https://evil.test${port}/t`)).toMatchObject(REFUSED);
    }
  }, 60_000);

  it('nobody is dialled before the decision', async () => {
    expect(await say(world.lab, {ip: EVIL, port: BANNER_PORT}, 'EHLO\r\n')).toBe('');
    expect(banners).toBe(0);
  }, 60_000);

  it('a CONNECT to the corporate proxy is decided by the name that it is for', async () => {
    const through = ['-x', `http://${SQUID}:${PORT}`];
    expect(await world.tried(...through, 'https://behind.test/a')).toMatchObject({reached: ['behind.test/a']});
    expect(await world.tried(...through, 'https://evil.test/')).toMatchObject({connect: 418, connected: []});
    expect(squid.asked()).toEqual(['CONNECT behind.test:443']);
  }, 60_000);

  it('the access log says why', async () => {
    await world.tried('http://known.test/private/logged');
    expect(await mesh.envoy.logged(({path}) => path === '/private/logged')).toMatchObject({
      request: {verdict: 'deny', reason: 'NoRuleMatched'},
    });
  }, 60_000);
});
