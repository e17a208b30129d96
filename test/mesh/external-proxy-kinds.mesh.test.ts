/** Corporate proxies of other kinds: behind TLS, with credentials that pods do not hold, at IPv6 addresses, for one namespace alone. */
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import type {Generated} from '../../mesh-config/objects.ts';
import {yamlOf} from '../../mesh-config/yaml.ts';
import {ablations} from './ablate.ts';
import {fromIntent} from './generated.ts';
import {selfSigned, startSquid, startTinyproxy, type Parent} from './parents.ts';
import {meshTest} from './require.ts';
import {EXTAUTHZ_ID, meshWorld, RESOLVER, TIMEOUT_MS, type MeshWorld, type RunningMesh} from './world.ts';

const PORT = 3128;
const USER = {name: 'alice', password: 's3cret'};
const BASIC = Buffer.from(`${USER.name}:${USER.password}`).toString('base64');
const PARENTS = {
  tls: '10.9.9.1',
  'tls-by-address': '10.9.9.2',
  'squid-known': '10.9.9.3',
  'tinyproxy-known': '10.9.9.4',
  six: 'fd09::9',
} as const;
type ParentName = keyof typeof PARENTS;
const NAMES = Object.keys(PARENTS) as ParentName[];
const isTls = (name: ParentName): boolean => name.startsWith('tls');
const isClosed = (name: ParentName): boolean => name.endsWith('-known') || name === 'tls';

const written = (name: ParentName): string => {
  const ip = PARENTS[name];
  if (name === 'tls') return `https://squid.corp.test:${PORT}`;
  return `${isTls(name) ? 'https' : 'http'}://${ip.includes(':') ? `[${ip}]` : ip}:${PORT}`;
};
const proxyDocument = (name: ParentName): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'UpstreamProxy',
  metadata: {name},
  spec: {
    endpoints: [{url: written(name)}],
    ...(isClosed(name) ? {auth: {secretRef: {namespace: 'sallyport', name: 'corp'}}} : {}),
  },
});
const SCOPE = {at: 'Sidecar', selector: {matchLabels: {egress: 'asked'}}};
const intentOf = (trust: string, names: readonly ParentName[] = NAMES, asking = ['app', 'other']): string => {
  const proxies = names.map((name) => ({
    ...{name, namespaces: ['app']},
    ...(name === 'tls' ? {addresses: [PARENTS.tls]} : {}),
    ...(isTls(name) ? {trust} : {}),
  }));
  const mesh = {apiVersion: 'sallyport.dev/v1alpha1', kind: 'MeshEgress', metadata: {name: 'default'}};
  const spec = {
    extauthz: {identity: EXTAUTHZ_ID, timeoutMs: TIMEOUT_MS},
    enforcement: asking.map((namespace) => ({...SCOPE, namespace})),
    proxies,
  };
  return [{...mesh, spec}, ...names.map(proxyDocument)].map((one) => stringify(one)).join('---\n');
};
const policyOf = (namespace: string): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace},
  spec: {
    podSelector: {},
    rules: NAMES.map((name) => ({name, to: {hosts: [`${name}.test`], schemes: ['tls', 'http']}, via: name})),
  },
});

describe('a corporate proxy', () => {
  const it = meshTest('squid', 'tinyproxy', 'openssl');
  const parents = new Map<ParentName, Parent>();
  let world: MeshWorld;
  let trust = '';
  beforeAll(async () => {
    world = await meshWorld({
      policies: [policyOf('app'), policyOf('other'), ...NAMES.map(proxyDocument)],
      sites: [
        ...NAMES.map((name, i) => ({name: `${name}.test`, ip: `5.6.40.${i + 1}`})),
        {name: 'evil.test', ip: '5.6.40.9'},
      ],
      names: {'squid.corp.test': PARENTS.tls},
      secrets: {'sallyport/corp/username': `${USER.name}\n`, 'sallyport/corp/password': USER.password},
      neighbour: true,
      dualStack: true,
      async prepare(lab, dir) {
        const alternatives = `DNS:squid.corp.test,IP:${PARENTS['tls-by-address']}`;
        const tls = await selfSigned(lab, dir, 'squid.corp.test', alternatives);
        trust = tls.cert;
        for (const name of NAMES) {
          const start = name.startsWith('tinyproxy') ? startTinyproxy : startSquid;
          const more = {...(isClosed(name) ? {user: USER} : {}), ...(isTls(name) ? {tls} : {})};
          parents.set(name, await start(lab, dir, RESOLVER, {ips: [PARENTS[name]], port: PORT, ...more}));
        }
      },
    });
  }, 120_000);
  afterAll(async () => {
    await Promise.all([...parents.values()].map((parent) => parent.stop()));
    await world.close();
  }, 60_000);

  const at = (name: ParentName, user = ''): readonly string[] => {
    const ip = PARENTS[name];
    return ['-x', `http://${user}${ip.includes(':') ? `[${ip}]` : ip}:${PORT}`];
  };
  const asked = (name: ParentName): number => parents.get(name)!.asked().length;

  describe('of each kind', () => {
    let mesh: RunningMesh;
    beforeAll(async () => {
      const {yaml, settings} = fromIntent(intentOf(trust));
      mesh = await world.mesh([yaml], settings);
    }, 120_000);
    afterAll(() => mesh.stop());

    it.each(NAMES)(
      '%s: an allowed CONNECT and an allowed plain request arrive, and no other',
      async (name) => {
        const before = asked(name);
        expect(await world.tried(...at(name), `https://${name}.test/a`)).toMatchObject({
          connect: 200,
          reached: [`${name}.test/a`],
        });
        expect(await world.tried(...at(name), `http://${name}.test/p`)).toMatchObject({reached: [`${name}.test/p`]});
        expect(await world.tried(...at(name), 'https://evil.test/')).toMatchObject({connect: 403, reached: []});
        expect(parents.get(name)!.asked().slice(before)).toEqual([
          `CONNECT ${name}.test:443`,
          `GET http://${name}.test/p`,
        ]);
      },
      60_000,
    );

    it.each(NAMES.filter(isClosed))(
      '%s: the pod’s own credentials do not arrive, and the parent’s are seen by nobody but the parent',
      async (name) => {
        expect(await world.tried(...at(name, 'mallory:guess@'), `http://${name}.test/own`)).toMatchObject({
          reached: [`${name}.test/own`],
        });
        const {headers} = world.arrived.at(-1)!;
        expect(headers['proxy-authorization']).toBeUndefined();
        const {stdout} = await world.curl('-v', ...at(name), `http://${name}.test/seen`);
        const said = [stdout, JSON.stringify(world.journal), JSON.stringify(mesh.envoy.accessLog()), mesh.envoy.said()];
        expect(said.filter((text) => text.includes(BASIC) || text.includes(USER.password))).toEqual([]);
      },
      60_000,
    );

    it('TLS of the pod’s own to a proxy hides its CONNECT, and is refused', async () => {
      const before = asked('tls-by-address');
      const told = ['-x', `https://${PARENTS['tls-by-address']}:${PORT}`, '--proxy-insecure'];
      expect(await world.tried(...told, 'https://tls-by-address.test/')).toMatchObject({connect: 0, reached: []});
      expect(asked('tls-by-address')).toBe(before);
    }, 60_000);

    it.each(NAMES)(
      '%s: a pod of a namespace that it is not for does not reach it, though its policy would let it',
      async (name) => {
        const before = asked(name);
        expect(await world.triedBeside(...at(name), `https://${name}.test/`)).toMatchObject({connect: 0, reached: []});
        expect(asked(name)).toBe(before);
      },
      60_000,
    );
  });

  it('exportTo alone keeps a namespace away in which nobody asks', async () => {
    const {yaml, settings} = fromIntent(intentOf(trust, ['six'], ['app']));
    const open = yaml.replace(/exportTo:\n +- app/, 'exportTo:\n    - "*"');
    expect(open).not.toBe(yaml);
    for (const [objects, connect] of [
      [yaml, 0],
      [open, 200],
    ] as const) {
      const mesh = await world.mesh([objects], settings);
      expect(await world.triedBeside(...at('six'), 'https://six.test/')).toMatchObject({connect});
      await mesh.stop();
    }
  }, 60_000);

  describe('each thing that is generated is missed', () => {
    /** The first of these that does not go as it should; null where all do. */
    const running = async (objects: readonly Generated[] | string): Promise<string | null> => {
      const {settings} = fromIntent(intentOf(trust, ['tls']));
      const mesh = await world.mesh([typeof objects === 'string' ? objects : yamlOf(objects)], settings);
      try {
        const allowed = await world.tried(...at('tls'), 'https://tls.test/a');
        if (allowed.connect !== 200) return `an allowed CONNECT: ${allowed.connect}`;
        const refused = await world.tried(...at('tls'), 'https://evil.test/');
        if (refused.connect !== 403) return `a refused CONNECT: ${refused.connect}`;
        const plain = await world.tried(...at('tls'), 'http://tls.test/p');
        if (plain.answer[0] !== 200) return `plain http: ${plain.answer[0]}`;
        const beside = await world.triedBeside(...at('tls'), 'https://tls.test/b');
        return beside.connect === 0 ? null : `a pod of another namespace: ${beside.connect}`;
      } finally {
        await mesh.stop();
      }
    };
    const generated = (): ReturnType<typeof fromIntent> => fromIntent(intentOf(trust, ['tls']));

    it('with all of it every step goes as it should', async () => {
      expect(await running(generated().objects)).toBeNull();
    }, 60_000);

    // What there is does not depend on where the roots are.
    const without = (where: string) => {
      const {objects} = fromIntent(intentOf(where, ['tls']));
      // Those of sidecar.mesh.test.ts are taken away there.
      const others = objects.filter(({object}) => object.metadata.name.startsWith('sallyport-sidecar'));
      return ablations(objects.filter((one) => !others.includes(one))).map((variant) => ({
        ...variant,
        objects: [...variant.objects, ...others],
      }));
    };
    it.each(without('/nowhere').map((variant, i) => [variant.without, i] as const))(
      'without %s one of them fails',
      async (_without, i) => {
        expect(await running(without(trust)[i]!.objects)).not.toBeNull();
      },
      60_000,
    );

    it.each([
      [
        'extauthz is not asked for credentials',
        (yaml: string) => yaml.replaceAll('sallyport-credentials', 'x-nothing'),
      ],
      [
        'the certificate has to be for another name',
        (yaml: string) => yaml.replace(/exact: squid.corp.test/, 'exact: other.corp.test'),
      ],
    ])(
      'where %s one of them fails',
      async (_what, change) => {
        const {yaml} = generated();
        expect(change(yaml)).not.toBe(yaml);
        expect(await running(change(yaml))).not.toBeNull();
      },
      60_000,
    );
  });
});
