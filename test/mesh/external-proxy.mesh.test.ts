/** Pods that reach a corporate proxy by themselves (https_proxy), in a mesh: squid and tinyproxy, with and without passwords. */
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {connectIn} from '../lab/index.ts';
import type {Generated} from '../../mesh-config/objects.ts';
import {yamlOf} from '../../mesh-config/yaml.ts';
import {ablations} from './ablate.ts';
import {fromIntent} from './generated.ts';
import {startSquid, startTinyproxy, type Parent} from './parents.ts';
import {meshTest} from './require.ts';
import {meshWorld, RESOLVER, TIMEOUT_MS, type MeshWorld, type RunningMesh} from './world.ts';

const PORT = 3128;
const USER = {name: 'alice', password: 's3cret'};
const SQUID = ['10.9.9.1', '10.9.9.2'] as const;
const PARENTS = {
  squid: SQUID[0],
  'squid-auth': '10.9.9.3',
  tinyproxy: '10.9.9.4',
  'tinyproxy-auth': '10.9.9.5',
} as const;
type ParentName = keyof typeof PARENTS;
const isClosed = (name: ParentName): boolean => name.endsWith('-auth');
const NAMES = Object.keys(PARENTS) as ParentName[];

const proxyDocument = (name: ParentName): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'UpstreamProxy',
  metadata: {name},
  spec: {
    endpoints:
      name === 'squid' ? [{url: `http://squid.corp.test:${PORT}`}] : [{url: `http://${PARENTS[name]}:${PORT}`}],
  },
});

const meshEgress = (enforcement: readonly object[], names: readonly ParentName[]): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'MeshEgress',
  metadata: {name: 'default'},
  spec: {
    extauthz: {timeoutMs: TIMEOUT_MS},
    enforcement,
    proxies: names.map((name) => (name === 'squid' ? {name, addresses: SQUID, namespaces: ['app']} : {name})),
  },
});
const intentOf = (enforcement: readonly object[], names: readonly ParentName[] = NAMES): string =>
  [meshEgress(enforcement, names), ...names.map(proxyDocument)].map((document) => stringify(document)).join('---\n');
const ASKED = [{at: 'Sidecar', namespace: 'app', selector: {matchLabels: {egress: 'asked'}}}];

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'app'},
  spec: {
    podSelector: {},
    rules: NAMES.map((name) => ({
      name,
      to: {hosts: [`${name}.test`], schemes: ['tls', 'http']},
      via: name,
    })),
    deny: {status: 418, body: 'Access Denied by Administrator'},
  },
};

describe('a corporate proxy outside of the mesh', () => {
  const it = meshTest('squid', 'tinyproxy', 'openssl');
  const parents = new Map<ParentName, Parent>();
  let world: MeshWorld;
  beforeAll(async () => {
    world = await meshWorld({
      policies: [POLICY, ...NAMES.map(proxyDocument)],
      sites: [
        ...NAMES.map((name, i) => ({name: `${name}.test`, ip: `5.6.40.${i + 1}`})),
        {name: 'evil.test', ip: '5.6.40.9'},
      ],
      names: {'squid.corp.test': SQUID[0]},
      async prepare(lab, dir) {
        for (const name of NAMES) {
          const start = name.startsWith('squid') ? startSquid : startTinyproxy;
          const ips = name === 'squid' ? SQUID : [PARENTS[name]];
          parents.set(
            name,
            await start(lab, dir, RESOLVER, {ips, port: PORT, ...(isClosed(name) ? {user: USER} : {})}),
          );
        }
      },
    });
  }, 120_000);
  afterAll(async () => {
    await Promise.all([...parents.values()].map((parent) => parent.stop()));
    await world.close();
  }, 60_000);

  /** curl's arguments for going through a parent, as a pod with https_proxy does. */
  const through = (name: ParentName, ip: string = PARENTS[name]): readonly string[] => [
    '-x',
    isClosed(name) ? `http://${USER.name}:${USER.password}@${ip}:${PORT}` : `http://${ip}:${PORT}`,
  ];
  const asked = (name: ParentName): number => parents.get(name)!.asked().length;

  describe('known, and each CONNECT asked about', () => {
    const generated = fromIntent(intentOf(ASKED));
    let mesh: RunningMesh;
    beforeAll(async () => {
      mesh = await world.mesh([generated.yaml], generated.settings);
    }, 120_000);
    afterAll(() => mesh.stop());

    it.each(NAMES)(
      '%s: an allowed site is reached, by a CONNECT of the name',
      async (name) => {
        const before = asked(name);
        expect(await world.tried(...through(name), `https://${name}.test/a`)).toMatchObject({
          answer: [200, `${name}.test GET /a`],
          connect: 200,
        });
        expect(parents.get(name)!.asked().slice(before)).toEqual([`CONNECT ${name}.test:443`]);
      },
      60_000,
    );

    it.each(NAMES)(
      '%s: plain http is sent on in absolute-form',
      async (name) => {
        const before = asked(name);
        expect(await world.tried(...through(name), `http://${name}.test/p`)).toMatchObject({
          answer: [200, `${name}.test GET /p`],
          reached: [`${name}.test/p`],
        });
        expect(parents.get(name)!.asked().slice(before)).toEqual([`GET http://${name}.test/p`]);
      },
      60_000,
    );

    it.each(NAMES)(
      '%s: a site that no rule holds is refused before the parent hears of it',
      async (name) => {
        const before = asked(name);
        expect(await world.tried(...through(name), 'https://evil.test/')).toMatchObject({connect: 418, reached: []});
        expect(await world.tried(...through(name), 'http://evil.test/')).toMatchObject({
          answer: [418, 'Access Denied by Administrator'],
          reached: [],
        });
        expect(asked(name)).toBe(before);
      },
      60_000,
    );

    it('a rule for one parent does not open another', async () => {
      const before = asked('tinyproxy');
      expect(await world.tried(...through('tinyproxy'), 'https://squid.test/')).toMatchObject({connect: 502});
      expect(asked('tinyproxy')).toBe(before);
    }, 60_000);

    it.each(NAMES.filter(isClosed))(
      '%s: without its password the parent’s own refusal arrives',
      async (name) => {
        expect(await world.tried('-x', `http://${PARENTS[name]}:${PORT}`, `https://${name}.test/`)).toMatchObject({
          connect: 407,
          reached: [],
        });
      },
      60_000,
    );

    it('headers that Envoy itself understands do not steer a request to another place', async () => {
      const before = asked('squid');
      await world.tried(
        ...through('squid'),
        '-H',
        'x-envoy-original-dst-host: 5.6.40.9:80',
        'http://squid.test/steered',
      );
      expect(world.connected).not.toContain('evil.test');
      expect(parents.get('squid')!.asked().slice(before)).toEqual(['GET http://squid.test/steered']);
    }, 60_000);

    it('the access log says policy, rule and reason of a CONNECT', async () => {
      await world.tried(...through('squid'), 'https://squid.test/logged');
      await world.tried(...through('squid'), 'https://evil.test/');
      expect(
        await mesh.envoy.logged(({method, authority}) => method === 'CONNECT' && authority === 'evil.test:443'),
      ).toMatchObject({response_code: 418, request: {verdict: 'deny', reason: 'NoRuleMatched'}, upstream_host: null});
      expect(
        await mesh.envoy.logged(({method, authority}) => method === 'CONNECT' && authority === 'squid.test:443'),
      ).toMatchObject({request: {verdict: 'allow', reason: 'RuleAllowed', policy: 'app/web', rule: 'squid'}});
    }, 60_000);

    it('a second address of the same proxy is the same proxy', async () => {
      expect(await world.tried(...through('squid', SQUID[1]), 'https://squid.test/b')).toMatchObject({connect: 200});
      expect(await world.tried(...through('squid', SQUID[1]), 'https://evil.test/')).toMatchObject({connect: 418});
    }, 60_000);

    it.each([
      ['bytes that are no HTTP', 'SSH-2.0-client\r\n\r\n'],
      ['HTTP/2 without asking', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ])(
      '%s do not get to the parent',
      async (_what, bytes) => {
        const before = asked('squid');
        const socket = connectIn(world.lab.pod('app').path, {ip: SQUID[0], port: PORT});
        const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
        socket.on('error', () => undefined).resume();
        socket.end(bytes);
        await closed;
        // The next request is in squid's log after whatever came before it.
        await world.tried(...through('squid'), 'http://squid.test/marker');
        expect(parents.get('squid')!.asked().slice(before)).toEqual(['GET http://squid.test/marker']);
      },
      60_000,
    );

    it('while extauthz is away nothing passes', async () => {
      world.extauthz.kill('SIGSTOP');
      try {
        expect(await world.tried(...through('squid'), 'https://squid.test/away')).toMatchObject({
          connect: 503,
          reached: [],
        });
      } finally {
        world.extauthz.kill('SIGCONT');
      }
      expect(await world.tried(...through('squid'), 'https://squid.test/back')).toMatchObject({connect: 200});
    }, 60_000);
  });

  describe('known, and nothing asked', () => {
    const {yaml, settings} = fromIntent(intentOf([]));
    const withMesh = async (change: (yaml: string) => string, then: (mesh: RunningMesh) => Promise<void>) => {
      const logged = {accessLogFile: '/dev/stdout', accessLogEncoding: 'JSON'};
      const mesh = await world.mesh([change(yaml)], {...logged, ...settings});
      await then(mesh);
      await mesh.stop();
    };

    it('the proxy is reached, and everything behind it: no policy sees what a CONNECT is for', async () => {
      await withMesh(
        (text) => text,
        async () => {
          const decided = world.journal.length;
          for (const name of ['squid.test', 'evil.test'])
            expect(await world.tried(...through('squid'), `https://${name}/x`)).toMatchObject({reached: [`${name}/x`]});
          expect(world.journal.slice(decided)).toEqual([]);
        },
      );
    }, 60_000);

    it('the registry is all there is: other places on its port stay closed', async () => {
      await withMesh(
        (text) => text,
        async (mesh) => {
          await world.tried(`http://5.6.40.9:${PORT}/`);
          expect(await mesh.envoy.logged(({downstream_local_address: to}) => to === `5.6.40.9:${PORT}`)).toMatchObject({
            upstream_cluster: 'BlackHoleCluster',
          });
          expect(await world.tried('https://squid.test/')).toMatchObject({connected: []});
        },
      );
    }, 60_000);

    it('with HTTP for its protocol each CONNECT is answered 404, which is why it is TCP', async () => {
      await withMesh(
        (text) => text.replaceAll('protocol: TCP', 'protocol: HTTP'),
        async (mesh) => {
          expect(await world.tried(...through('squid'), 'https://squid.test/')).toMatchObject({
            connect: 404,
            reached: [],
          });
          expect(await mesh.envoy.logged(({method}) => method === 'CONNECT')).toMatchObject({response_flags: 'NR'});
        },
      );
    }, 60_000);
  });

  describe('each thing that is generated is missed', () => {
    const generated = fromIntent(intentOf(ASKED, ['squid']));
    const isProxys = ({object}: Generated): boolean => object.metadata.name.startsWith('sallyport-proxy');
    const others = generated.objects.filter((one) => !isProxys(one));

    /** The first of these that does not go as it should; null where all do. */
    const broken = async (): Promise<string | null> => {
      for (const ip of SQUID) {
        const allowed = await world.tried(...through('squid', ip), 'https://squid.test/a');
        if (allowed.connect !== 200) return `an allowed CONNECT through ${ip}`;
        const refused = await world.tried(...through('squid', ip), 'https://evil.test/');
        if (refused.connect !== 418) return `a refused CONNECT through ${ip}`;
      }
      const plain = await world.tried(...through('squid'), 'http://squid.test/p');
      return plain.answer[0] === 200 ? null : 'plain http through the proxy';
    };
    const running = async (yaml: string): Promise<string | null> => {
      const mesh = await world.mesh([yaml], generated.settings);
      const which = await broken();
      await mesh.stop();
      return which;
    };

    it('with all of it every step goes as it should', async () => {
      expect(await running(generated.yaml)).toBeNull();
    }, 60_000);

    it.each(
      ablations(generated.objects.filter(isProxys)).map(
        ({without, objects}) => [without, [...objects, ...others]] as const,
      ),
    )(
      'without %s one of them fails',
      async (_without, objects) => {
        expect(await running(yamlOf(objects))).not.toBeNull();
      },
      60_000,
    );

    it.each([
      [
        'the question of sidecar-http is left on beside its own',
        (yaml: string) => yaml.replaceAll('disabled: true', 'disabled: false'),
      ],
      ['it comes after the sidecar’s own patches', (yaml: string) => yaml.replaceAll('priority: 5', 'priority: 15')],
      ['Envoy does not say through whom it sends', (yaml: string) => yaml.replaceAll('sallyport-via', 'x-nothing')],
      [
        'Envoy does not say that the name is dialled',
        (yaml: string) => yaml.replaceAll('value: name', 'value: address'),
      ],
      ['the question has no authority', (yaml: string) => yaml.replace(/^ *authority: .*\n/gm, '')],
    ])(
      'where %s one of them fails',
      async (_what, change) => {
        expect(change(generated.yaml)).not.toBe(generated.yaml);
        expect(await running(change(generated.yaml))).not.toBeNull();
      },
      60_000,
    );
  });
});
