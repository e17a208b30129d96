/** Everything that leaves a pod through its sidecar, asked about: HTTP, TLS by its name, other bytes, known to the mesh or not. */
import {createServer, type Server} from 'node:net';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import type {Generated} from '../../mesh-config/objects.ts';
import {yamlOf} from '../../mesh-config/yaml.ts';
import {ECHO_PORT} from '../envoy/sites.ts';
import {say} from '../envoy/talk.ts';
import {listenIn, UPLINK} from '../lab/index.ts';
import {ablations} from './ablate.ts';
import {fromIntent} from './generated.ts';
import {meshTest} from './require.ts';
import {meshWorld, TIMEOUT_MS, type MeshWorld, type RunningMesh} from './world.ts';

const BANNER_PORT = 2525;
const EVIL = '5.6.40.9';
const KNOWN = '5.6.40.1';

const intentOf = (outboundTrafficPolicy: 'RegistryOnly' | 'AllowAny'): string =>
  stringify({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'MeshEgress',
    metadata: {name: 'default'},
    spec: {
      outboundTrafficPolicy,
      extauthz: {timeoutMs: TIMEOUT_MS},
      enforcement: [{at: 'Sidecar', namespace: 'app', selector: {matchLabels: {egress: 'asked'}}}],
    },
  });

/** What the mesh knows beside what is generated: two names on 80 and 443. */
const REGISTRY = stringify({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: {name: 'known', namespace: 'app'},
  spec: {
    hosts: ['known.test', 'denied.test'],
    location: 'MESH_EXTERNAL',
    resolution: 'DNS',
    ports: [
      {number: 80, name: 'http', protocol: 'HTTP'},
      {number: 443, name: 'tls', protocol: 'TLS'},
    ],
  },
});

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'app'},
  spec: {
    podSelector: {},
    rules: [
      {name: 'pages', to: {hosts: ['known.test', 'unknown.test'], schemes: ['http']}, http: {paths: ['/public/**']}},
      {name: 'names', to: {hosts: ['known.test', 'unknown.test'], schemes: ['tls'], ports: [443, 8443]}},
      {name: 'bytes', to: {cidrs: [`${KNOWN}/32`], schemes: ['tcp'], ports: [ECHO_PORT]}},
    ],
    deny: {status: 418, body: 'Access Denied by Administrator'},
  },
};

describe('a sidecar', () => {
  const it = meshTest();
  const servers: Server[] = [];
  let banners = 0;
  let world: MeshWorld;
  beforeAll(async () => {
    world = await meshWorld({
      policies: [POLICY],
      sites: [
        {name: 'known.test', ip: KNOWN},
        {name: 'unknown.test', ip: '5.6.40.2'},
        {name: 'denied.test', ip: '5.6.40.3'},
        {name: 'evil.test', ip: EVIL},
      ],
      async prepare(lab) {
        const server = createServer((socket) => {
          banners++;
          socket.on('error', () => undefined).write('220 who is there\r\n');
        });
        await listenIn(lab.internet.path, server, EVIL, BANNER_PORT);
        const other = createServer((socket) => server.emit('connection', socket));
        await listenIn(lab.internet.path, other, UPLINK.internet6, BANNER_PORT);
        servers.push(server, other);
      },
    });
  }, 120_000);
  afterAll(async () => {
    await world.close();
    for (const server of servers) server.close();
  }, 60_000);

  /** The first bytes that a server answers to these, '' where the connection is closed before. */
  const talk = (ip: string, port: number, text: string): Promise<string> => say(world.lab, {ip, port}, text);
  const to = (name: string, ip: string, port: number): readonly string[] => [
    '--connect-to',
    `${name}:${port}:${ip}:${port}`,
  ];
  const REFUSED = {answer: [418, 'Access Denied by Administrator'], reached: [], connected: []};
  const CLOSED = {answer: [0, ''], reached: [], connected: []};

  describe.each(['RegistryOnly', 'AllowAny'] as const)('%s', (mode) => {
    const generated = fromIntent(intentOf(mode));
    const any = mode === 'AllowAny';
    let mesh: RunningMesh;
    beforeAll(async () => {
      mesh = await world.mesh([REGISTRY, generated.yaml], generated.settings);
    }, 120_000);
    afterAll(() => mesh.stop());

    it('http to a known name is decided by its path', async () => {
      expect(await world.tried('http://known.test/public/a')).toMatchObject({
        answer: [200, 'known.test GET /public/a'],
      });
      expect(await world.tried('http://known.test/private')).toMatchObject(REFUSED);
      expect(await world.tried('http://denied.test/public/a')).toMatchObject(REFUSED);
    }, 60_000);

    it('the path is judged and sent on as it came', async () => {
      const path = '/public/%7Euser//a';
      expect(await world.tried('--path-as-is', `http://known.test${path}`)).toMatchObject({
        reached: [`known.test${path}`],
      });
      expect(await world.tried('--path-as-is', 'http://known.test/public/../private')).toMatchObject({
        reached: [],
        connected: [],
      });
    }, 60_000);

    it('a name claimed for another address is refused', async () => {
      for (const ip of [EVIL, '5.6.40.3'])
        expect(await world.tried(...to('known.test', ip, 80), 'http://known.test/public/a')).toMatchObject({
          answer: [421, expect.anything()],
          connected: [],
        });
      expect(await world.tried(...to('known.test', EVIL, 443), 'https://known.test/')).toMatchObject(CLOSED);
    }, 60_000);

    it('headers that Envoy itself understands do not steer it', async () => {
      const steering = [
        '-H',
        `x-envoy-original-dst-host: ${EVIL}:80`,
        '-H',
        'x-envoy-upstream-rq-timeout-ms: 1',
        '-H',
        'x-envoy-original-path: /public/a',
      ];
      expect((await world.tried(...steering, 'http://known.test/private')).answer[0]).toBe(418);
      await world.tried(...steering, 'http://unknown.test/public/steered');
      expect(world.connected).not.toContain('evil.test');
    }, 60_000);

    it('TLS is decided by the name in its ClientHello', async () => {
      expect(await world.tried('https://known.test/t')).toMatchObject({reached: ['known.test/t']});
      expect(await world.tried('https://denied.test/t')).toMatchObject(CLOSED);
      expect(await world.tried('https://evil.test/t')).toMatchObject(CLOSED);
    }, 60_000);

    it(`what the mesh does not know and a rule allows ${any ? 'passes' : 'is asked about, and stays closed'}`, async () => {
      const tls = await world.tried('https://unknown.test/t');
      const onAnotherPort = await world.tried('https://unknown.test:8443/t');
      const http = await world.tried('http://unknown.test/public/a');
      expect([tls.reached, onAnotherPort.reached, http.reached]).toEqual(
        any ? [['unknown.test/t'], ['unknown.test/t'], ['unknown.test/public/a']] : [[], [], []],
      );
    }, 60_000);

    it('HTTP on a port that no service has shows no host: it is refused', async () => {
      expect(await world.tried('--http1.1', 'http://unknown.test:8443/public/a')).toMatchObject(CLOSED);
    }, 60_000);

    it('other bytes pass by address and port where nothing else is known of them, or not at all', async () => {
      expect(await talk(KNOWN, ECHO_PORT, 'SSH-2.0-client\r\n')).toBe(any ? 'SSH-2.0-client\r\n' : '');
      expect(await talk(EVIL, ECHO_PORT, 'SSH-2.0-client\r\n')).toBe('');
      expect(world.connected).not.toContain('evil.test');
    }, 60_000);

    it('a server that speaks first is not dialled before the decision', async () => {
      expect(await talk(EVIL, BANNER_PORT, 'EHLO\r\n')).toBe('');
      expect(banners).toBe(0);
    }, 60_000);

    it('TLS without a name has none to be allowed by', async () => {
      expect(await world.tried('-k', `https://${KNOWN}/`)).toMatchObject(CLOSED);
      expect(await world.tried('-k', `https://${KNOWN}:8443/`)).toMatchObject(CLOSED);
    }, 60_000);

    it('IPv6 is no way round', async () => {
      expect(await talk(UPLINK.internet6, BANNER_PORT, 'EHLO\r\n')).toBe('');
      expect(banners).toBe(0);
    }, 60_000);

    it('the access log says policy, rule and reason, of requests and of connections', async () => {
      await world.tried('http://known.test/public/logged');
      await world.tried('http://known.test/private/logged');
      await world.tried('https://denied.test/logged');
      expect(await mesh.envoy.logged(({path}) => path === '/public/logged')).toMatchObject({
        request: {verdict: 'allow', reason: 'RuleAllowed', policy: 'app/web', rule: 'pages'},
      });
      expect(await mesh.envoy.logged(({path}) => path === '/private/logged')).toMatchObject({
        response_code: 418,
        response_flags: 'UAEX',
        request: {verdict: 'deny', reason: 'NoRuleMatched'},
      });
      expect(
        await mesh.envoy.logged(({sni, response_flags: flags}) => sni === 'denied.test' && flags === 'UAEX'),
      ).toMatchObject({connection: {verdict: 'deny', reason: 'NoRuleMatched'}, upstream_host: null});
    }, 60_000);

    it('while extauthz is away nothing passes', async () => {
      world.extauthz.kill('SIGSTOP');
      try {
        expect(await world.tried('http://known.test/public/a')).toMatchObject({answer: [503, ''], connected: []});
        expect(await world.tried('https://known.test/t')).toMatchObject(CLOSED);
        expect(await talk(KNOWN, ECHO_PORT, 'SSH-2.0-client\r\n')).toBe('');
      } finally {
        world.extauthz.kill('SIGCONT');
      }
      expect(await world.tried('http://known.test/public/back')).toMatchObject({reached: ['known.test/public/back']});
    }, 60_000);
  });

  describe('each thing that is generated is missed', () => {
    const generated = fromIntent(intentOf('AllowAny'));

    /** The first of these that does not go as it should; null where all do. */
    const broken = async (mesh: RunningMesh): Promise<string | null> => {
      const reaches = async (url: string, ...args: readonly string[]) =>
        (await world.tried(...args, url)).reached.length > 0;
      if (!(await reaches('http://known.test/public/a'))) return 'an allowed request';
      if (await reaches('http://known.test/private')) return 'a refused request';
      if (!(await reaches('http://known.test/public/%7Ea//b', '--path-as-is'))) return 'an allowed path as it came';
      if (world.arrived.at(-1)!.path !== '/public/%7Ea//b') return 'a path as it came';
      if (!(await reaches('https://known.test/t'))) return 'an allowed name in TLS';
      if (await reaches('https://denied.test/t')) return 'a refused name in TLS';
      if (!(await reaches('https://unknown.test:8443/t'))) return 'an allowed name in TLS on a port of no service';
      const [dialled] = [banners];
      if ((await talk(EVIL, BANNER_PORT, 'EHLO\r\n')) !== '') return "a refused server's first words";
      if (banners !== dialled) return 'a refused server that was dialled';
      return logsReasons(mesh) ? null : 'the reason in the access log';
    };
    /** Whether every line is JSON, and some line says why. */
    const logsReasons = (mesh: RunningMesh): boolean => {
      try {
        return mesh.envoy.accessLog().some(({request}) => request !== undefined && request !== null);
      } catch (error) {
        if (error instanceof SyntaxError) return false;
        throw error;
      }
    };
    const running = async (objects: readonly Generated[], settings = generated.settings): Promise<string | null> => {
      const mesh = await world.mesh([REGISTRY, yamlOf(objects)], settings);
      const which = await broken(mesh);
      await mesh.stop();
      return which;
    };

    it('with all of it every step goes as it should', async () => {
      expect(await running(generated.objects)).toBeNull();
    }, 60_000);

    it.each(ablations(generated.objects).map(({without, objects}) => [without, objects] as const))(
      'without %s one of them fails',
      async (_without, objects) => {
        expect(await running(objects)).not.toBeNull();
      },
      60_000,
    );

    it.each(Object.keys(generated.settings))(
      'without %s in the mesh configuration one of them fails',
      async (name) => {
        const others = Object.fromEntries(Object.entries(generated.settings).filter(([key]) => key !== name));
        expect(
          await running(generated.objects, {outboundTrafficPolicy: {mode: 'REGISTRY_ONLY'}, ...others}),
        ).not.toBeNull();
      },
      60_000,
    );
  });
});
