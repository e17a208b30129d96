/** Everything that leaves the mesh through an egress gateway: HTTP, TLS by its name or decrypted, other bytes; and whose it is. */
import {createServer, type Server} from 'node:net';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import type {Generated} from '../../mesh-config/objects.ts';
import {yamlOf} from '../../mesh-config/yaml.ts';
import {ECHO_PORT} from '../envoy/sites.ts';
import {say} from '../envoy/talk.ts';
import {listenIn} from '../lab/index.ts';
import {ablations} from './ablate.ts';
import {GATEWAY, gatewayWorld, type GatewayWorld, type RunningGateway} from './gateway-world.ts';
import {fromIntent} from './generated.ts';
import {enforce} from './network-policy.ts';
import {meshTest} from './require.ts';
import {EXTAUTHZ, EXTAUTHZ_ID, identity, RESOLVER} from './world.ts';

const SITE = '5.6.40.1';
const EVIL = '5.6.40.9';
const BANNER_PORT = 2525;
const GATEWAY_PORT = 15443;

const intentOf = (outboundTrafficPolicy: 'RegistryOnly' | 'AllowAny'): string =>
  stringify({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'MeshEgress',
    metadata: {name: 'default'},
    spec: {
      outboundTrafficPolicy,
      extauthz: {identity: EXTAUTHZ_ID, timeoutMs: 3000},
      enforcement: [{at: 'EgressGateway', namespace: 'app'}],
      egressGateway: {inspect: {hosts: ['*'], except: ['sealed.test', '*.sealed.test']}},
    },
  });

/** Services of the mesh on the ports of HTTP and TLS: what is for none of them comes to a listener of theirs all the same. */
const REGISTRY = stringify({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: {name: 'shop', namespace: 'app'},
  spec: {
    hosts: ['shop.inside.test'],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [
      {number: 80, name: 'http', protocol: 'HTTP'},
      {number: 443, name: 'tls', protocol: 'TLS'},
    ],
    endpoints: [{address: '5.6.40.8'}],
  },
});

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'app'},
  spec: {
    podSelector: {},
    rules: [
      {
        name: 'pages',
        to: {hosts: ['site.test', 'wrong.test'], schemes: ['http', 'https'], ports: [80, 443, 8443]},
        http: {paths: ['/public/**']},
      },
      {name: 'names', to: {hosts: ['sealed.test'], schemes: ['tls']}},
      {name: 'bytes', to: {cidrs: [`${SITE}/32`], schemes: ['tcp'], ports: [ECHO_PORT]}},
    ],
    deny: {status: 418, body: 'Access Denied by Administrator'},
  },
};

/** For a pod that is known with its labels: by its address, for a certificate tells the account only. */
const LABELLED = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'labelled', namespace: 'app'},
  spec: {
    podSelector: {matchLabels: {app: 'web'}},
    rules: [{name: 'labelled', to: {hosts: ['labelled.test'], schemes: ['https']}}],
    deny: POLICY.spec.deny,
  },
};

describe('an egress gateway', () => {
  const it = meshTest('openssl');
  const servers: Server[] = [];
  let banners = 0;
  let world: GatewayWorld;
  beforeAll(async () => {
    world = await gatewayWorld({
      policies: [POLICY, LABELLED],
      sites: [
        {name: 'site.test', ip: SITE},
        {name: 'wrong.test', ip: '5.6.40.2', certificateFor: 'another.test'},
        {name: 'sealed.test', ip: '5.6.40.3'},
        {name: 'www.sealed.test', ip: '5.6.40.4'},
        {name: 'shop.inside.test', ip: '5.6.40.8'},
        {name: 'labelled.test', ip: '5.6.40.5'},
        {name: 'evil.test', ip: EVIL},
      ],
    });
    const server = createServer((socket) => {
      banners++;
      socket.on('error', () => undefined).write('220 who is there\r\n');
    });
    await listenIn(world.lab.internet.path, server, EVIL, BANNER_PORT);
    servers.push(server);
  }, 120_000);
  afterAll(async () => {
    await world?.close();
    for (const server of servers) server.close();
  }, 60_000);

  const to = (name: string, ip: string, port: number): readonly string[] => [
    '--connect-to',
    `${name}:${port}:${ip}:${port}`,
  ];
  const talk = (ip: string, port: number, text: string): Promise<string> => say(world.lab, {ip, port}, text);
  const REFUSED = {answer: [418, 'Access Denied by Administrator'], reached: [], connected: []};
  const CLOSED = {answer: [0, ''], reached: [], connected: []};
  const WORLDS = [
    ['RegistryOnly', 'no service is on those ports', []],
    ['AllowAny', 'services are on those ports too', [REGISTRY]],
  ] as const;

  describe.each(WORLDS)('%s, where %s', (mode, _what, registry) => {
    const generated = fromIntent(intentOf(mode));
    let mesh: RunningGateway;
    beforeAll(async () => {
      mesh = await world.start([...registry, generated.yaml], generated.settings);
    }, 120_000);
    afterAll(() => mesh?.stop(), 60_000);

    it('no object names a site', () => {
      expect(generated.yaml).not.toContain('site.test');
    });

    it('http is decided by its Host and path', async () => {
      expect(await world.tried('http://site.test/public/a')).toMatchObject({answer: [200, 'site.test GET /public/a']});
      expect(await world.tried('http://site.test/private')).toMatchObject(REFUSED);
      expect(await world.tried('http://evil.test/public/a')).toMatchObject(REFUSED);
    }, 60_000);

    it('https is decrypted and decided by its path, on any port', async () => {
      for (const port of [443, 8443]) {
        expect(await world.tried(`https://site.test:${port}/public/a`)).toMatchObject({
          answer: [200, 'site.test GET /public/a'],
        });
        expect(await world.tried(`https://site.test:${port}/private`)).toMatchObject(REFUSED);
        expect(await world.tried(`https://evil.test:${port}/public/a`)).toMatchObject(REFUSED);
      }
    }, 60_000);

    it('the gateway verifies the server', async () => {
      expect(await world.tried('https://wrong.test/public/a')).toMatchObject({
        answer: [503, expect.anything()],
        reached: [],
      });
    }, 60_000);

    it('what is excepted is carried unread, by its SNI', async () => {
      expect(await world.tried('--cacert', world.ca.bundle, 'https://sealed.test/x')).toMatchObject({
        answer: [200, 'sealed.test GET /x'],
      });
      expect(await world.tried('https://www.sealed.test/x')).toMatchObject(CLOSED);
    }, 60_000);

    it('who lies about Host, SNI or address gets to no other place', async () => {
      // The gateway dials what was decided, not what the client had looked up.
      for (const [port, url] of [
        [80, 'http://site.test/public/a'],
        [443, 'https://site.test/public/a'],
      ] as const)
        expect(await world.tried(...to('site.test', EVIL, port), url)).toMatchObject({reached: ['site.test/public/a']});
      expect(await world.tried(...to('sealed.test', EVIL, 443), 'https://sealed.test/x')).toMatchObject({
        reached: ['sealed.test/x'],
      });
      expect(world.connected).not.toContain('evil.test');
      expect(await world.tried('-H', 'Host: evil.test', 'https://site.test/public/a')).toMatchObject({
        answer: [421, expect.anything()],
        connected: [],
      });
      expect(await world.tried('-H', 'Host: site.test', 'https://evil.test/public/a')).toMatchObject({
        answer: [421, expect.anything()],
        connected: [],
      });
      expect(await world.tried('-k', `https://${SITE}/public/a`)).toMatchObject(CLOSED);
    }, 60_000);

    it('headers that Envoy itself understands, and identities that a client writes, do not count', async () => {
      const steering = [
        ...['-H', `x-envoy-original-dst-host: ${EVIL}:80`, '-H', 'x-envoy-original-path: /public/a'],
        ...['-H', `x-forwarded-client-cert: URI=${identity('app', 'web')}`, '-H', 'sallyport-principal: x'],
      ];
      expect(await world.tried(...steering, 'http://site.test/private')).toMatchObject(REFUSED);
      await world.tried(...steering, 'http://site.test/public/steered');
      expect(world.arrived.at(-1)).toMatchObject({site: 'site.test', path: '/public/steered'});
      expect(world.connected).not.toContain('evil.test');
    }, 60_000);

    it('nothing of the mesh is told to the site', async () => {
      for (const scheme of ['http', 'https']) {
        await world.tried(`${scheme}://site.test/public/told`);
        const {headers} = world.arrived.at(-1)!;
        expect(Object.keys(headers).filter((name) => /^x-envoy|client-cert|forwarded/.test(name))).toEqual([]);
      }
    }, 60_000);

    it('other bytes pass by address and port; who is refused is not dialled', async () => {
      expect(await talk(SITE, ECHO_PORT, 'SSH-2.0-client\r\n')).toBe('SSH-2.0-client\r\n');
      expect(await talk(EVIL, ECHO_PORT, 'SSH-2.0-client\r\n')).toBe('');
      expect(await talk(EVIL, BANNER_PORT, 'EHLO\r\n')).toBe('');
      expect([banners, world.connected.includes('evil.test')]).toEqual([0, false]);
    }, 60_000);

    it('the access log of the gateway says policy, rule and reason', async () => {
      await world.tried('https://site.test/public/logged');
      await world.tried('https://site.test/private/logged');
      await world.tried('https://www.sealed.test/');
      expect(await mesh.gateway.logged(({path}) => path === '/public/logged')).toMatchObject({
        sni: 'site.test',
        request: {verdict: 'allow', reason: 'RuleAllowed', policy: 'app/web', rule: 'pages'},
      });
      expect(await mesh.gateway.logged(({path}) => path === '/private/logged')).toMatchObject({
        response_code: 418,
        upstream_host: null,
        request: {verdict: 'deny', reason: 'NoRuleMatched'},
      });
      expect(
        await mesh.gateway.logged(({sni, response_flags: flags}) => sni === 'www.sealed.test' && flags === 'UAEX'),
      ).toMatchObject({connection: {verdict: 'deny', reason: 'NoRuleMatched'}, upstream_host: null});
    }, 60_000);

    it('no sidecar is given what certificates are fetched by', async () => {
      const listeners = '/config_dump?resource=dynamic_listeners';
      expect(await mesh.sidecar.admin(listeners)).not.toContain('on_demand_secret');
      expect(await mesh.gateway.admin(listeners)).toContain('on_demand_secret');
    }, 60_000);
  });

  describe('whose connection it is', () => {
    const generated = fromIntent(intentOf('RegistryOnly'));
    let mesh: RunningGateway;
    beforeAll(async () => {
      mesh = await world.start([generated.yaml], generated.settings);
    }, 120_000);
    afterAll(() => mesh?.stop(), 60_000);

    type How = 'in a tunnel' | 'by itself';
    const HOWS: readonly How[] = ['in a tunnel', 'by itself'];
    /** A program that goes around its sidecar and speaks to the gateway itself, with a certificate of the mesh that it has. */
    const asked = (pod: string, who: string | null, how: How, target = SITE, ...more: readonly string[]) => {
      const at = `https://${world.gatewayPod.ip4}:${GATEWAY_PORT}`;
      const headers = ['-H', 'Host: site.test', ...more];
      const shown = (prefix?: 'proxy-') => (who === null ? [] : world.showing(who, prefix));
      return how === 'by itself'
        ? world.triedAround(pod, '-k', ...shown(), ...headers, `${at}/public/a`)
        : world.triedAround(
            pod,
            '-x',
            at,
            '--proxy-insecure',
            ...shown('proxy-'),
            '-p',
            ...headers,
            `http://${target}/public/a`,
          );
    };
    const WEB = identity('app', 'web');
    const REACHED = {answer: [200, 'site.test GET /public/a'], reached: ['site.test/public/a']};

    it.each(HOWS)(
      '%s: the identity that the gateway verified is judged, with the pod’s address',
      async (how) => {
        expect(await asked('app', WEB, how)).toMatchObject(REACHED);
        // A pod that the workload table does not have yet: its account is known by its certificate.
        expect(await asked('late', WEB, how)).toMatchObject(REACHED);
        expect(await asked('late', identity('other', 'job'), how)).toMatchObject({reached: []});
        expect(await asked('other', identity('other', 'job'), how)).toMatchObject({reached: []});
        // A certificate that is not of the pod with that address: one of the two is stolen.
        expect(await asked('other', WEB, how)).toMatchObject({
          answer: [403, expect.stringContaining('IdentityConflict')],
          reached: [],
        });
      },
      60_000,
    );

    it.each(HOWS)(
      '%s: an identity that the client writes itself does not count',
      async (how) => {
        const written = ['-H', `x-forwarded-client-cert: By=x;URI=${WEB}`, '-H', `sallyport-principal: ${WEB}`];
        expect(await asked('late', identity('other', 'job'), how, SITE, ...written)).toMatchObject({reached: []});
      },
      60_000,
    );

    it.each([
      ['without a certificate', null],
      ['with one of another trust domain', 'spiffe://elsewhere/ns/app/sa/web'],
    ])(
      '%s nobody gets in',
      async (_what, who) => {
        for (const how of HOWS) expect(await asked('app', who, how)).toMatchObject(CLOSED);
      },
      60_000,
    );

    it.each(['evil.test', '127.0.0.1:15000', `${EVIL}:22`])(
      'a tunnel to %s leads nowhere but to what is asked about inside of it',
      async (target) => {
        await asked('app', WEB, 'in a tunnel', target);
        expect(world.connected).not.toContain('evil.test');
        expect(await asked('app', WEB, 'in a tunnel', target, '-H', 'Host: evil.test')).toMatchObject({
          reached: [],
          connected: [],
        });
      },
      60_000,
    );

    it('while extauthz is away nothing passes', async () => {
      world.extauthz.kill('SIGSTOP');
      try {
        expect(await world.tried('http://site.test/public/a')).toMatchObject({answer: [503, ''], connected: []});
        expect(await world.tried('https://sealed.test/x')).toMatchObject(CLOSED);
      } finally {
        world.extauthz.kill('SIGCONT');
      }
      expect(await world.tried('http://site.test/public/back')).toMatchObject({reached: ['site.test/public/back']});
    }, 60_000);

    it('a program that goes around the sidecar gets out, but for the NetworkPolicy', async () => {
      expect(await world.triedAround('app', 'http://evil.test/around')).toMatchObject({reached: ['evil.test/around']});
      world.connected.length = 0;
      const policy = generated.objects.find(({object}) => object.kind === 'NetworkPolicy')!.object;
      const free = await enforce(world.lab, policy, world.app, [
        {ip: world.gatewayPod.ip4, ...GATEWAY},
        {ip: RESOLVER, namespace: 'kube-system', labels: {'k8s-app': 'kube-dns'}},
        {ip: world.lab.node.ips[0]!, namespace: EXTAUTHZ.namespace, labels: {}},
      ]);
      try {
        for (const url of ['http://evil.test/around', 'https://evil.test/around'])
          expect(await world.triedAround('app', '--connect-timeout', '2', url)).toMatchObject(CLOSED);
        expect(await world.tried('https://site.test/public/a')).toMatchObject({reached: ['site.test/public/a']});
      } finally {
        await free();
      }
    }, 60_000);
  });

  describe('each thing that is generated is missed', () => {
    const MODES = ['AllowAny', 'RegistryOnly'] as const;
    const generated = MODES.map((mode) => fromIntent(intentOf(mode)));
    // What a NetworkPolicy is missed by is above.
    const ofMesh = generated.map(({objects}) => objects.filter(({object}) => object.kind !== 'NetworkPolicy'));

    /** The first of these that does not go as it should; null where all do. */
    const broken = async (): Promise<string | null> => {
      const reaches = async (url: string): Promise<boolean> => (await world.tried(url)).reached.length > 0;
      if (!(await reaches('http://site.test/public/a'))) return 'an allowed request';
      if (await reaches('http://evil.test/public/a')) return 'a refused request';
      if (!(await reaches('https://site.test/public/a'))) return 'an allowed request inside TLS';
      if (await reaches('https://site.test/private')) return 'a refused request inside TLS';
      if (!(await reaches('https://site.test:8443/public/a'))) return 'a port that no service has';
      if (await reaches('https://evil.test:8443/public/a')) return 'a refused request on a port that no service has';
      await world.tried('-H', 'Host: site.test', 'https://site.test:8443/public/port');
      if (world.arrived.at(-1)?.port !== 8443) return 'the port that the client dialled';
      if (!(await reaches('https://labelled.test/'))) return 'a rule for pods with a label';
      if (!(await reaches('https://sealed.test/x'))) return 'a name that is carried unread';
      return (await talk(SITE, ECHO_PORT, 'SSH-2.0-client\r\n')) === '' ? 'other bytes' : null;
    };
    const running = async (objects: readonly Generated[], mode: number): Promise<string | null> => {
      let started: RunningGateway;
      try {
        started = await world.start([REGISTRY, yamlOf(objects)], generated[mode]!.settings);
      } catch (error) {
        return `it does not start: ${String(error)}`;
      }
      const which = await broken();
      await started.stop();
      return which;
    };

    it.each(MODES)(
      '%s: with all of it every step goes as it should',
      async (mode) => {
        expect(await running(ofMesh[MODES.indexOf(mode)]!, MODES.indexOf(mode))).toBeNull();
      },
      60_000,
    );

    // What is for one mode is not missed in the other.
    const [any, only] = ofMesh.map((objects) => ablations(objects));
    it.each(any!.map(({without, objects}, i) => [without, objects, only![i]!.objects] as const))(
      'without %s one of them fails',
      async (_without, inAny, inOnly) => {
        expect((await running(inAny, 0)) ?? (await running(inOnly, 1))).not.toBeNull();
      },
      60_000,
    );

    it.each([
      ['it is not said that the name is dialled', 'value: name', 'value: address'],
      ['the port that the client dialled is not told', 'sallyport-port', 'x-nothing'],
      ['the question has no authority', /^ *authority: .*\n/gm, ''],
      ['the address of the client is not handed on', /^ *- object_key: .*remote_ip\n(?:.*\n){4}/gm, ''],
      ['nothing is handed on to the listener inside', 'shared_with_upstream: ONCE', 'shared_with_upstream: NONE'],
      ['http inside of TLS is taken for plain', 'value: https', 'value: http'],
    ] as const)(
      'where %s one of them fails',
      async (_what, from, to) => {
        const yaml = yamlOf(ofMesh[0]!);
        const changed = yaml.replaceAll(from instanceof RegExp ? from : new RegExp(from, 'g'), to);
        expect(changed).not.toBe(yaml);
        const started = await world.start([REGISTRY, changed], generated[0]!.settings);
        const which = await broken();
        await started.stop();
        expect(which).not.toBeNull();
      },
      60_000,
    );
  });
});
