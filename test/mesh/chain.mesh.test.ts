/** Pods that know nothing of proxies, in a mesh that sends through one: squid and tinyproxy, with and without passwords, away and back. */
import {afterAll, beforeAll, beforeEach, describe, expect} from '@jest/globals';
import {createServer, type Server} from 'node:http';
import {stringify} from 'yaml';
import {listenIn} from '../lab/index.ts';
import {credentialsVariable} from '../../mesh-config/chain/parents.ts';
import {yamlOf} from '../../mesh-config/yaml.ts';
import {ablations} from './ablate.ts';
import {fromIntent} from './generated.ts';
import {askedOf, startSquid, startTinyproxy, type Parent} from './parents.ts';
import {meshTest} from './require.ts';
import {meshWorld, RESOLVER, type MeshWorld, type RunningMesh} from './world.ts';

const PORT = 3128;
const USER = {name: 'alice', password: 's3cret'};
const PARENTS = {
  squid: '10.9.8.1',
  'squid-auth': '10.9.8.2',
  tinyproxy: '10.9.8.3',
  'tinyproxy-auth': '10.9.8.4',
} as const;
type ParentName = keyof typeof PARENTS;
const NAMES = Object.keys(PARENTS) as ParentName[];
const isClosed = (name: ParentName): boolean => name.endsWith('-auth');
/** Nobody is there. */
const AWAY = '10.9.8.9';

const url = (ip: string): object => ({url: `http://${ip}:${PORT}`});
const proxyDocument = (name: string, endpoints: readonly object[], more: object = {}): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'UpstreamProxy',
  metadata: {name},
  spec: {endpoints, ...more},
});
const AUTH = {auth: {secretRef: {name: 'corp', namespace: 'sallyport'}}};
const PROXIES = [
  ...NAMES.map((name) => proxyDocument(name, [url(PARENTS[name])], isClosed(name) ? AUTH : {})),
  proxyDocument('named', [{url: `http://squid.corp.test:${PORT}`}], {
    hosts: ['*.named.test'],
    except: ['not.named.test'],
  }),
  proxyDocument('wrong', [url(PARENTS['squid-auth'])], AUTH),
  proxyDocument('second', [url(AWAY), url(PARENTS.squid)]),
  proxyDocument('away', [url(AWAY)]),
  proxyDocument('unheard', [url(PARENTS.squid)]),
  proxyDocument('local', [url(PARENTS.squid)], {resolve: 'Local'}),
];
/** Every parent but one, which policies know and the mesh is not told of. */
const CHAINED = [...NAMES, 'named', 'wrong', 'second', 'away', 'local'];
/** Allowed by its address alone, so that no name is sent. */
const LITERAL = '5.6.41.200';
const RULED = [...NAMES, 'wrong', 'second', 'away', 'unheard', 'local'];

const intentOf = (outboundTrafficPolicy: string): string =>
  [
    {
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'MeshEgress',
      metadata: {name: 'default'},
      spec: {
        outboundTrafficPolicy,
        extauthz: {timeoutMs: 3000},
        enforcement: [{at: 'Sidecar', namespace: 'app'}],
        chain: CHAINED.map((name) => ({name})),
      },
    },
    ...PROXIES,
  ]
    .map((document) => stringify(document))
    .join('---\n');

const rule = (name: string, hosts: readonly string[], via?: string): object => ({
  name,
  to: {hosts, schemes: ['tls', 'http'], ports: [80, 443, 8080, 8443]},
  ...(via === undefined ? {} : {via}),
});
const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'app'},
  spec: {
    podSelector: {},
    rules: [
      ...RULED.map((name) => rule(name, [`${name}.test`], name)),
      rule('named', ['www.named.test', 'not.named.test']),
      rule('direct', ['direct.test'], 'Direct'),
      {name: 'literal', to: {cidrs: [`${LITERAL}/32`], schemes: ['http']}, via: 'squid'},
    ],
    deny: {status: 418, body: 'Access Denied by Administrator'},
  },
};
const SITES = [...RULED.map((name) => `${name}.test`), 'www.named.test', 'not.named.test', 'direct.test', 'evil.test'];

/** Where squid.test is, with plain HTTP on one more port. */
const SITE_ADDRESS = '5.6.41.100';
const OTHER_PORT = 8080;

const basic = (password: string): string => `Basic ${Buffer.from(`${USER.name}:${password}`).toString('base64')}`;
const ENVIRONMENT = {
  ...Object.fromEntries(NAMES.filter(isClosed).map((name) => [credentialsVariable({name}), basic(USER.password)])),
  [credentialsVariable({name: 'wrong'})]: basic('guess'),
};

describe('a mesh that sends through corporate proxies', () => {
  const it = meshTest('squid', 'tinyproxy', 'openssl');
  const parents = new Map<ParentName, Parent>();
  let other: Server;
  let world: MeshWorld;
  beforeAll(async () => {
    world = await meshWorld({
      policies: [POLICY, ...PROXIES],
      sites: [
        ...SITES.map((name, i) => ({name, ip: name === 'squid.test' ? SITE_ADDRESS : `5.6.41.${i + 1}`})),
        {name: 'literal.test', ip: LITERAL},
      ],
      names: {'squid.corp.test': PARENTS.squid},
      environment: ENVIRONMENT,
      async prepare(lab, dir) {
        for (const name of NAMES) {
          const start = name.startsWith('squid') ? startSquid : startTinyproxy;
          const options = {ips: [PARENTS[name]], port: PORT, ...(isClosed(name) ? {user: USER} : {})};
          parents.set(name, await start(lab, dir, RESOLVER, options));
        }
        other = createServer((_request, response) => response.end('the other port'));
        await listenIn(lab.internet.path, other, SITE_ADDRESS, OTHER_PORT);
      },
    });
  }, 120_000);
  afterAll(async () => {
    await Promise.all([...parents.values()].map((parent) => parent.stop()));
    other.close();
    await world.close();
  }, 60_000);

  const {begin, asked} = askedOf(parents);
  beforeEach(begin);

  describe.each(['AllowAny', 'RegistryOnly'])('with %s', (outboundTrafficPolicy) => {
    const generated = fromIntent(intentOf(outboundTrafficPolicy));
    let mesh: RunningMesh;
    beforeAll(async () => {
      mesh = await world.mesh([generated.yaml], generated.settings);
    }, 120_000);
    afterAll(() => mesh.stop());

    it.each(NAMES)(
      '%s: TLS goes by a CONNECT of the name, with its password where it wants one',
      async (name) => {
        expect(await world.tried(`https://${name}.test/a`)).toMatchObject({reached: [`${name}.test/a`]});
        expect(asked()).toContain(`${name}: CONNECT ${name}.test:443`);
        expect(asked().every((one) => one.startsWith(`${name}: `))).toBe(true);
      },
      60_000,
    );

    it.each(NAMES)(
      '%s: plain HTTP goes with its whole URL, and the site sees no password',
      async (name) => {
        const {length} = world.arrived;
        expect(
          await world.tried('-H', 'Proxy-Authorization: Basic b3duOm93bg==', `http://${name}.test/p`),
        ).toMatchObject({
          reached: [`${name}.test/p`],
        });
        expect(asked()).toContain(`${name}: GET http://${name}.test/p`);
        expect(world.arrived[length]?.headers['proxy-authorization']).toBeUndefined();
        expect(
          Object.keys(world.arrived[length]?.headers ?? {}).filter((one) => one.startsWith('x-sallyport')),
        ).toEqual([]);
      },
      60_000,
    );

    it('what the UpstreamProxy’s hosts hold goes through it without a rule that names it, at a name that Envoy looks up', async () => {
      expect(await world.tried('https://www.named.test/a')).toMatchObject({reached: ['www.named.test/a']});
      expect(await world.tried('http://www.named.test/p')).toMatchObject({reached: ['www.named.test/p']});
      expect(asked()).toEqual(['squid: CONNECT www.named.test:443', 'squid: GET http://www.named.test/p']);
    }, 60_000);

    it.each(['not.named.test', 'direct.test'])(
      '%s is excluded, and does not go through a parent',
      async (name) => {
        const reached = outboundTrafficPolicy === 'AllowAny' ? [`${name}/a`] : [];
        expect(await world.tried(`https://${name}/a`)).toMatchObject({reached});
        expect(await world.tried(`http://${name}/a`)).toMatchObject({reached});
        expect(asked()).toEqual([]);
      },
      60_000,
    );

    it('an endpoint that is away is passed over, for TLS and for plain HTTP', async () => {
      for (const scheme of ['https', 'http', 'https'])
        expect(await world.tried(`${scheme}://second.test/f`)).toMatchObject({reached: ['second.test/f']});
      expect(asked()).toHaveLength(3);
    }, 60_000);

    it.each([
      ['away', 'nobody answers at the parent'],
      ['wrong', 'the parent refuses the password'],
      ['unheard', 'the mesh is not told of the parent'],
    ])(
      '%s.test is not reached around it: %s',
      async (name) => {
        for (const scheme of ['https', 'http'])
          expect(await world.tried(`${scheme}://${name}.test/x`)).toMatchObject({reached: [], connected: []});
      },
      60_000,
    );

    it('resolve Local: the address that was checked is sent, by CONNECT for plain HTTP too', async () => {
      for (const [scheme, port] of [
        ['https', 443],
        ['http', 80],
      ] as const) {
        expect(await world.tried(`${scheme}://local.test/l`)).toMatchObject({reached: ['local.test/l']});
        expect(asked()).toContain(`squid: CONNECT 5.6.41.${SITES.indexOf('local.test') + 1}:${port}`);
      }
      expect(asked()).toHaveLength(2);
    }, 60_000);

    it('what is refused is told to no parent', async () => {
      expect(await world.tried('https://evil.test/')).toMatchObject({reached: [], connected: []});
      expect(await world.tried('http://evil.test/')).toMatchObject({answer: [418, 'Access Denied by Administrator']});
      expect(asked()).toEqual([]);
    }, 60_000);

    it.each([
      ['names a parent', 'x-sallyport-via: squid'],
      ['names an address', 'x-sallyport-dial: 5.6.41.1:80'],
      ['steers Envoy', 'x-envoy-original-dst-host: 5.6.41.1:80'],
    ])(
      'a client’s header that %s steers nothing',
      async (_what, header) => {
        expect(await world.tried('-H', header, 'http://tinyproxy.test/h')).toMatchObject({
          reached: ['tinyproxy.test/h'],
        });
        expect(asked()).toEqual(['tinyproxy: GET http://tinyproxy.test/h']);
      },
      60_000,
    );

    it.each(['TRACE', 'trace'])(
      '%s goes by CONNECT: the parent itself would answer it by all that it was sent, its password included',
      async (method) => {
        const {answer} = await world.tried('-X', method, '-H', 'Max-Forwards: 0', 'http://squid-auth.test/t');
        expect(answer[1]).not.toContain(basic(USER.password));
        // Envoy knows no method in other letters, and asks nobody.
        expect(asked()).toEqual(method === 'TRACE' ? ['squid-auth: CONNECT squid-auth.test:80'] : []);
      },
      60_000,
    );

    it.each([
      ['https', 'CONNECT squid.test:80'],
      // Envoy knows two schemes.
      ['ftp', 'GET http://squid.test/x'],
    ])(
      'X-Forwarded-Proto: %s of a client does not make the parent dial by TLS, where plain HTTP was asked about',
      async (scheme, what) => {
        await world.tried('-H', `X-Forwarded-Proto: ${scheme}`, 'http://squid.test/x');
        expect(asked()).toEqual([`squid: ${what}`]);
      },
      60_000,
    );

    it('no password is in what a program of the pod could read from Envoy', async () => {
      const dump = await mesh.envoy.admin('/config_dump');
      for (const secret of [USER.password, basic(USER.password)]) expect(dump).not.toContain(secret);
    }, 60_000);

    it('while extauthz is away no parent hears of anything', async () => {
      world.extauthz.kill('SIGSTOP');
      try {
        for (const scheme of ['https', 'http'])
          expect(await world.tried(`${scheme}://squid.test/away`)).toMatchObject({reached: []});
      } finally {
        world.extauthz.kill('SIGCONT');
      }
      expect(asked()).toEqual([]);
      expect(await world.tried('https://squid.test/back')).toMatchObject({reached: ['squid.test/back']});
    }, 60_000);
  });

  describe('each thing that is generated is missed', () => {
    const short = stringify({
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'MeshEgress',
      metadata: {name: 'default'},
      spec: {
        outboundTrafficPolicy: 'AllowAny',
        extauthz: {timeoutMs: 3000},
        enforcement: [{at: 'Sidecar', namespace: 'app'}],
        chain: [{name: 'squid'}, {name: 'local'}],
      },
    });
    const documents = PROXIES.map((document) => stringify(document));
    const generated = fromIntent([short, ...documents].join('---\n'));
    const isChains = ({object}: (typeof generated.objects)[number]): boolean =>
      object.metadata.name.startsWith('sallyport-chain');
    const others = generated.objects.filter((one) => !isChains(one));

    /** curl's arguments, and what a parent is asked for it; null: nothing. */
    const STEPS: readonly (readonly [readonly string[], string | null])[] = [
      [['https://squid.test/m'], 'CONNECT squid.test:443'],
      [['http://squid.test/m'], 'GET http://squid.test/m'],
      [['https://local.test/m'], `CONNECT 5.6.41.${SITES.indexOf('local.test') + 1}:443`],
      [['http://local.test/m'], `CONNECT 5.6.41.${SITES.indexOf('local.test') + 1}:80`],
      // Ports that a service of the mesh has too: what is for none of them comes to a listener of its own.
      [['https://squid.test:8443/m'], 'CONNECT squid.test:8443'],
      [[`http://squid.test:${OTHER_PORT}/m`], `GET http://squid.test:${OTHER_PORT}/m`],
      [['-H', 'Host: squid.test', `http://squid.test:${OTHER_PORT}/m`], `CONNECT squid.test:${OTHER_PORT}`],
      [[`http://${LITERAL}/m`], `CONNECT ${LITERAL}:80`],
      [['https://direct.test/m'], null],
      [['http://direct.test/m'], null],
    ];
    /** The first that does not go as it should; null where all do. */
    const broken = async (): Promise<string | null> => {
      for (const [args, what] of STEPS) {
        const start = parents.get('squid')!.asked().length;
        const {answer} = await world.tried('--max-time', '4', ...args);
        const heard = parents.get('squid')!.asked().slice(start);
        if (answer[0] !== 200 || JSON.stringify(heard) !== JSON.stringify(what === null ? [] : [what]))
          return `${args.join(' ')}: ${answer[0]}, and squid was asked ${heard.join(', ')}`;
      }
      return null;
    };
    const SERVICE = stringify({
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: {name: 'service', namespace: 'app'},
      spec: {
        hosts: ['service.inside.test'],
        location: 'MESH_INTERNAL',
        resolution: 'STATIC',
        ports: [
          {number: 8443, name: 'tls', protocol: 'TLS'},
          {number: OTHER_PORT, name: 'http', protocol: 'HTTP'},
        ],
        endpoints: [{address: '5.6.41.201'}],
      },
    });
    const running = async (yaml: string): Promise<string | null> => {
      let mesh: RunningMesh;
      try {
        mesh = await world.mesh([yaml, SERVICE], generated.settings);
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

    it.each(
      ablations(generated.objects.filter(isChains)).map(
        ({without, objects}) => [without, [...others, ...objects]] as const,
      ),
    )(
      'without %s one of them fails',
      async (_without, objects) => {
        expect(await running(yamlOf(objects))).not.toBeNull();
      },
      60_000,
    );
  });
});
