/** An egress gateway that sends through corporate proxies: what it decrypts, what it carries unread, plain HTTP, other bytes. */
import {afterAll, beforeAll, beforeEach, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {credentialsVariable} from '../../mesh-config/chain/parents.ts';
import {yamlOf} from '../../mesh-config/yaml.ts';
import {ECHO_PORT} from '../envoy/sites.ts';
import {say, webSocket} from '../envoy/talk.ts';
import {ablations} from './ablate.ts';
import {REGISTRY} from './gateway-scenario.ts';
import {gatewayWorld, type GatewayWorld, type RunningGateway} from './gateway-world.ts';
import {fromIntent} from './generated.ts';
import {askedOf, selfSigned, startSquid, startTinyproxy, type Parent} from './parents.ts';
import {meshTest} from './require.ts';
import {EXTAUTHZ_ID, identity, RESOLVER} from './world.ts';

const PORT = 3128;
const USER = {name: 'alice', password: 's3cret'};
const NAMES = ['squid', 'secure', 'tinyproxy'] as const;
type ParentName = (typeof NAMES)[number];
const AT: Readonly<Record<ParentName, string>> = {squid: '10.9.7.1', secure: '10.9.7.2', tinyproxy: '10.9.7.3'};
/** Nobody is there. */
const AWAY = '10.9.7.9';
const BYTES = '5.6.43.200';
const GATEWAY_PORT = 15443;

const at = (host: string, scheme = 'http'): object => ({url: `${scheme}://${host}:${PORT}`});
const AUTH = {auth: {secretRef: {name: 'corp', namespace: 'sallyport'}}};
const proxyDocument = (name: string, endpoints: readonly object[], more: object = {}): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'UpstreamProxy',
  metadata: {name},
  spec: {endpoints, ...more},
});
const PROXIES = [
  proxyDocument('squid', [at(AT.squid)]),
  proxyDocument('secure', [at('secure.corp.test', 'https')], AUTH),
  proxyDocument('tinyproxy', [at(AT.tinyproxy)], AUTH),
  proxyDocument('second', [at(AWAY), at(AT.squid)]),
  proxyDocument('local', [at(AT.squid)], {resolve: 'Local'}),
  proxyDocument('away', [at(AWAY)]),
  proxyDocument('wrong', [at(AT.tinyproxy)], AUTH),
  proxyDocument('unheard', [at(AT.squid)]),
];
/** Every parent but one, which policies know and the mesh is not told of. */
const CHAINED = ['squid', 'secure', 'tinyproxy', 'second', 'local', 'away', 'wrong'];
const RULED = [...CHAINED, 'unheard'];

const rule = (name: string, via: string): object => ({
  name,
  to: {hosts: [`${name}.test`], schemes: ['https', 'http'], ports: [80, 443, 8080]},
  http: {paths: ['/public/**']},
  via,
});
const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'app'},
  spec: {
    podSelector: {},
    rules: [
      ...RULED.map((name) => rule(name, name)),
      rule('direct', 'Direct'),
      {name: 'sealed', to: {hosts: ['sealed.test'], schemes: ['tls']}, via: 'squid'},
      {name: 'bytes', to: {cidrs: [`${BYTES}/32`], schemes: ['tcp'], ports: [ECHO_PORT]}, via: 'squid'},
    ],
    deny: {status: 418, body: 'Access Denied by Administrator'},
  },
};
const SITES = [...RULED.map((name) => `${name}.test`), 'direct.test', 'sealed.test', 'evil.test'];
const siteAt = (name: string): string => `5.6.43.${SITES.indexOf(name) + 1}`;

const basic = (password: string): string => `Basic ${Buffer.from(`${USER.name}:${password}`).toString('base64')}`;
const ENVIRONMENT = {
  [credentialsVariable({name: 'secure'})]: basic(USER.password),
  [credentialsVariable({name: 'tinyproxy'})]: basic(USER.password),
  [credentialsVariable({name: 'wrong'})]: basic('guess'),
};

describe('an egress gateway that sends through corporate proxies', () => {
  const it = meshTest('squid', 'tinyproxy', 'openssl');
  const parents = new Map<ParentName, Parent>();
  let world: GatewayWorld;
  let trust = '';
  beforeAll(async () => {
    world = await gatewayWorld({
      policies: [POLICY, ...PROXIES],
      sites: [...SITES.map((name) => ({name, ip: siteAt(name)})), {name: 'bytes.test', ip: BYTES}],
      names: {'secure.corp.test': AT.secure},
      environment: ENVIRONMENT,
      async prepare(lab, dir) {
        const tls = await selfSigned(lab, dir, 'secure.corp.test', 'DNS:secure.corp.test');
        trust = tls.cert;
        const options = (name: ParentName) => ({ips: [AT[name]], port: PORT});
        parents.set('squid', await startSquid(lab, dir, RESOLVER, options('squid')));
        parents.set('secure', await startSquid(lab, dir, RESOLVER, {...options('secure'), user: USER, tls}));
        parents.set('tinyproxy', await startTinyproxy(lab, dir, RESOLVER, {...options('tinyproxy'), user: USER}));
        return async () => void (await Promise.all([...parents.values()].map((parent) => parent.stop())));
      },
    });
  }, 120_000);
  afterAll(() => world?.close(), 60_000);

  const intentOf = (chain: readonly string[]): string =>
    [
      {
        apiVersion: 'sallyport.dev/v1alpha1',
        kind: 'MeshEgress',
        metadata: {name: 'default'},
        spec: {
          extauthz: {identity: EXTAUTHZ_ID, timeoutMs: 3000},
          enforcement: [{at: 'EgressGateway', namespace: 'app'}],
          egressGateway: {inspect: {hosts: ['*'], except: ['sealed.test']}},
          chain: chain.map((name) => ({name, ...(name === 'secure' ? {trust} : {})})),
        },
      },
      ...PROXIES,
    ]
      .map((document) => stringify(document))
      .join('---\n');

  const {begin, asked} = askedOf(parents);
  beforeEach(begin);

  describe.each([
    ['plain HTTP comes in a tunnel', []],
    ['plain HTTP comes by itself, for a service is on its port too', [REGISTRY]],
  ])('with all of them: %s', (_how, registry) => {
    let mesh: RunningGateway;
    beforeAll(async () => {
      const generated = fromIntent(intentOf(CHAINED));
      mesh = await world.start([...registry, generated.yaml], generated.settings);
    }, 120_000);
    afterAll(() => mesh?.stop(), 60_000);

    it.each(NAMES)(
      '%s: what was decrypted goes by a CONNECT of the name, in TLS again; its path is judged before',
      async (name) => {
        expect(await world.tried(`https://${name}.test/public/a`)).toMatchObject({reached: [`${name}.test/public/a`]});
        expect(asked()).toEqual([`${name}: CONNECT ${name}.test:443`]);
        expect(await world.tried(`https://${name}.test/private`)).toMatchObject({answer: [418, expect.anything()]});
        expect(asked()).toHaveLength(1);
      },
      60_000,
    );

    it.each(NAMES)(
      '%s: plain HTTP goes with its whole URL, with the gateway’s password and not the pod’s, which no site sees',
      async (name) => {
        const {length} = world.arrived;
        expect(
          await world.tried('-H', 'Proxy-Authorization: Basic b3duOm93bg==', `http://${name}.test/public/p`),
        ).toMatchObject({reached: [`${name}.test/public/p`]});
        expect(asked()).toEqual([`${name}: GET http://${name}.test/public/p`]);
        const told = Object.keys(world.arrived[length]!.headers);
        expect(told.filter((one) => /^(proxy-auth|x-sallyport|x-envoy|x-forwarded-client)/.test(one))).toEqual([]);
      },
      60_000,
    );

    it('TRACE goes by CONNECT: the parent itself would answer it by all that it was sent, its password included', async () => {
      const {answer} = await world.tried('-X', 'TRACE', '-H', 'Max-Forwards: 0', 'http://secure.test/public/t');
      expect(answer[1]).not.toContain(basic(USER.password));
      expect(asked()).toEqual(['secure: CONNECT secure.test:80']);
    }, 60_000);

    it('what is carried unread goes by its SNI, other bytes by their address', async () => {
      expect(await world.tried('--cacert', world.ca.bundle, 'https://sealed.test/s')).toMatchObject({
        reached: ['sealed.test/s'],
      });
      expect(await say(world.lab, {ip: BYTES, port: ECHO_PORT}, 'SSH-2.0-client\r\n')).toBe('SSH-2.0-client\r\n');
      expect(asked()).toEqual(['squid: CONNECT sealed.test:443', `squid: CONNECT ${BYTES}:${ECHO_PORT}`]);
    }, 60_000);

    it('a WebSocket goes by CONNECT', async () => {
      expect(await webSocket(world.lab, 'squid.test', siteAt('squid.test'), '/public/w', 'hello')).toEqual({
        status: 101,
        said: 'hello',
      });
      expect(asked()).toEqual(['squid: CONNECT squid.test:443']);
    }, 60_000);

    it('resolve Local: the address that was checked is told, of plain HTTP too', async () => {
      for (const [scheme, port] of [
        ['https', 443],
        ['http', 80],
      ] as const) {
        expect(await world.tried(`${scheme}://local.test/public/l`)).toMatchObject({reached: ['local.test/public/l']});
        expect(asked()).toContain(`squid: CONNECT ${siteAt('local.test')}:${port}`);
      }
      expect(asked()).toHaveLength(2);
    }, 60_000);

    it('an endpoint that is away is passed over', async () => {
      for (const scheme of ['https', 'http', 'https'])
        expect(await world.tried(`${scheme}://second.test/public/f`)).toMatchObject({
          reached: ['second.test/public/f'],
        });
      expect(asked().every((one) => /^squid: (CONNECT second|GET http:..second)/.test(one))).toBe(true);
    }, 60_000);

    it.each([
      ['away', 'nobody answers at the parent'],
      ['wrong', 'the parent refuses the password'],
      ['unheard', 'the mesh is not told of the parent'],
    ])(
      '%s.test is not reached around it: %s',
      async (name) => {
        for (const scheme of ['https', 'http'])
          expect(await world.tried(`${scheme}://${name}.test/public/x`)).toMatchObject({reached: [], connected: []});
      },
      60_000,
    );

    it('what leaves directly, and what is refused, is told to no parent', async () => {
      for (const scheme of ['https', 'http']) {
        expect(await world.tried(`${scheme}://direct.test/public/d`)).toMatchObject({
          reached: ['direct.test/public/d'],
        });
        expect(await world.tried(`${scheme}://evil.test/public/e`)).toMatchObject({reached: [], connected: []});
      }
      expect(asked()).toEqual([]);
    }, 60_000);

    it.each([
      ['names a parent', 'x-sallyport-via: tinyproxy'],
      ['names another place', 'x-sallyport-connect: evil.test:443'],
      ['names an address', 'x-sallyport-dial: 5.6.43.1:80'],
      ['steers Envoy', `x-envoy-original-dst-host: ${siteAt('evil.test')}:80`],
    ])(
      'a client’s header that %s steers nothing',
      async (_what, header) => {
        for (const scheme of ['https', 'http'])
          expect(await world.tried('-H', header, `${scheme}://squid.test/public/h`)).toMatchObject({
            reached: ['squid.test/public/h'],
          });
        expect(asked()).toEqual(expect.arrayContaining(['squid: GET http://squid.test/public/h']));
        expect(asked().filter((one) => !one.includes(' squid.test:443') && !one.includes('//squid.test/'))).toEqual([]);
      },
      60_000,
    );

    it('a pod that lies to the gateway about its port: the parent is told the port that was judged', async () => {
      const lying = (port: number, host: string) =>
        world.triedAround(
          'app',
          ...['-k', ...world.showing(identity('app', 'web')), '-H', `Host: ${host}`],
          ...['-H', `x-sallyport-dialled: ${siteAt('squid.test')}:${port}`],
          `https://${world.gatewayPod.ip4}:${GATEWAY_PORT}/public/a`,
        );
      await lying(8080, 'squid.test');
      expect(asked()).toEqual(['squid: CONNECT squid.test:8080']);
      for (const [port, host] of [
        [22, 'squid.test'],
        [80, 'squid.test:22'],
      ] as const)
        expect(await lying(port, host)).toMatchObject({reached: []});
      expect(asked()).toHaveLength(1);
    }, 60_000);

    it('no password is in what the gateway’s admin port shows', async () => {
      const dump = await mesh.gateway.admin('/config_dump');
      for (const secret of [USER.password, basic(USER.password)]) expect(dump).not.toContain(secret);
    }, 60_000);

    it('while extauthz is away no parent hears of anything', async () => {
      world.extauthz.kill('SIGSTOP');
      try {
        for (const scheme of ['https', 'http'])
          expect(await world.tried(`${scheme}://squid.test/public/away`)).toMatchObject({reached: []});
      } finally {
        world.extauthz.kill('SIGCONT');
      }
      expect(asked()).toEqual([]);
      expect(await world.tried('https://squid.test/public/back')).toMatchObject({reached: ['squid.test/public/back']});
    }, 60_000);
  });

  describe('each thing that it is given for that is missed', () => {
    const generated = fromIntent(intentOf(['squid', 'local']));
    /** What squid is asked for each; null: nothing. */
    const STEPS: readonly (readonly [string, string | null])[] = [
      ['https://squid.test/public/m', 'CONNECT squid.test:443'],
      ['http://squid.test/public/m', 'GET http://squid.test/public/m'],
      ['http://local.test/public/m', `CONNECT ${siteAt('local.test')}:80`],
      ['https://local.test/public/m', `CONNECT ${siteAt('local.test')}:443`],
      ['https://sealed.test/m', 'CONNECT sealed.test:443'],
      ['http://direct.test/public/m', null],
      ['https://direct.test/public/m', null],
    ];
    /** The first that does not go as it should; null where all do. */
    const broken = async (): Promise<string | null> => {
      for (const [url, what] of STEPS) {
        const start = parents.get('squid')!.asked().length;
        const {answer} = await world.tried('--max-time', '4', url);
        const heard = parents.get('squid')!.asked().slice(start);
        if (answer[0] !== 200 || JSON.stringify(heard) !== JSON.stringify(what === null ? [] : [what])) return url;
      }
      const {status} = await webSocket(world.lab, 'squid.test', siteAt('squid.test'), '/public/w', 'hello');
      return status === 101 ? null : 'a WebSocket';
    };
    const running = async (yaml: string): Promise<string | null> => {
      let mesh: RunningGateway;
      try {
        mesh = await world.start([yaml], generated.settings);
      } catch (error) {
        return String(error);
      }
      const which = await broken();
      await mesh.stop();
      return which;
    };

    it('with all of it every step goes as it should', async () => {
      expect(await running(generated.yaml)).toBeNull();
    }, 60_000);

    const gateway = generated.objects.filter(({object}) => object.metadata.name === 'sallyport-gateway');
    const all = gateway.flatMap(
      ({object}) => (object.spec['configPatches'] ?? []) as {patch: {value: {name: string}}}[],
    );
    const ofChain = all.flatMap(({patch}, n) =>
      /parent|tunnel|exit/.test(patch.value.name) ? [[patch.value.name, n]] : [],
    );
    it.each(ofChain as [string, number][])(
      'without %s one of them fails',
      async (_name, n) => {
        const variants = ablations(generated.objects).filter(({without}) =>
          without.startsWith(`EnvoyFilter istio-egress/sallyport-gateway patch ${n} `),
        );
        expect(variants).toHaveLength(1);
        expect(await running(yamlOf(variants[0]!.objects))).not.toBeNull();
      },
      60_000,
    );
  });
});
