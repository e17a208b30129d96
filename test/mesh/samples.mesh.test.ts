/** samples/istio as they are checked in: what their READMEs say of curl and of the access log is so. The other two have tests of their own. */
import {readFileSync} from 'node:fs';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {parse, parseAllDocuments} from 'yaml';
import {startSquid, startTinyproxy, type Parent} from './parents.ts';
import {meshTest} from './require.ts';
import {meshWorld, RESOLVER, type MeshWorld, type RunningMesh} from './world.ts';

const USER = {name: 'alice', password: 's3cret'};
const SITES = {
  'api.payments.example': '5.6.40.1',
  'mirror.example': '5.6.40.2',
  'api.metrics.example': '5.6.40.3',
  'example.org': '5.6.40.9',
};
/** Of a sample, for the pod of the lab: its namespace, its labels, and a machine that may be busy. */
const sample = (path: string): string =>
  readFileSync(new URL(`../../samples/istio/${path}`, import.meta.url), 'utf8')
    .replaceAll(/\bshop\b/g, 'app')
    .replaceAll('egress: corp', 'egress: asked')
    .replaceAll('timeout: 0.5s', 'timeout: 3s');
const documents = (path: string): readonly object[] =>
  parseAllDocuments(sample(path)).map((document) => document.toJS() as object);
const settings = (folder: string): object =>
  (parse(sample(`${folder}/istiod-values.yaml`)) as {meshConfig: object}).meshConfig;

/** A folder, what runs beside it, and the objects that are applied. */
function running(
  folder: string,
  prepare: (...args: Parameters<typeof startSquid>) => Promise<Parent | null>,
  objects: readonly string[] = [],
) {
  const it = meshTest('squid', 'tinyproxy', 'openssl');
  const held: {world: MeshWorld; mesh: RunningMesh; parent: Parent | null} = {} as never;
  beforeAll(async () => {
    const proxies = documents(`${folder}/mesh-egress.yaml`).filter(
      (one) => (one as {kind: string}).kind === 'UpstreamProxy',
    );
    held.world = await meshWorld({
      policies: [...documents(`${folder}/policy.yaml`), ...proxies],
      sites: Object.entries(SITES).map(([name, ip]) => ({name, ip})),
      names: {'squid.corp.example': '10.1.2.3'},
      prepare: async (lab, dir) => void (held.parent = await prepare(lab, dir, RESOLVER, {ips: [], port: 0})),
    });
    const texts = ['istio.yaml', ...objects].map((file) => sample(`${folder}/${file}`));
    held.mesh = await held.world.mesh(texts, settings(folder));
  }, 120_000);
  afterAll(async () => {
    await held.mesh.stop();
    await held.parent?.stop();
    await held.world.close();
  }, 60_000);
  return {it, held};
}
const REFUSED = {reached: [], connected: []};

describe('external-squid', () => {
  const {it, held} = running('external-squid', (lab, dir) =>
    startSquid(lab, dir, RESOLVER, {ips: ['10.1.2.3', '10.1.2.4'], port: 3128}),
  );
  it('the pod’s https_proxy reaches what the policy allows, and nothing else', async () => {
    for (const address of ['squid.corp.example', '10.1.2.4']) {
      const through = ['-x', `http://${address}:3128`];
      expect(await held.world.tried(...through, 'https://api.payments.example/a')).toMatchObject({
        connect: 200,
        reached: ['api.payments.example/a'],
      });
      expect(await held.world.tried(...through, 'https://example.org/')).toMatchObject({connect: 403, ...REFUSED});
    }
    expect(held.parent!.asked()).toEqual(Array(2).fill('CONNECT api.payments.example:443'));
  }, 60_000);

  it('istio-proxy’s log says why', async () => {
    await held.world.tried('-x', 'http://squid.corp.example:3128', 'https://api.payments.example/logged');
    expect(await held.mesh.envoy.logged(({authority}) => authority === 'api.payments.example:443')).toMatchObject({
      method: 'CONNECT',
      request: {verdict: 'allow', reason: 'RuleAllowed', policy: 'app/partners', rule: 'payments'},
    });
  }, 60_000);
});

describe('tinyproxy-auth', () => {
  const {it, held} = running('tinyproxy-auth', (lab, dir) =>
    startTinyproxy(lab, dir, RESOLVER, {ips: ['10.1.2.5'], port: 8888, user: USER}),
  );
  const through = (password: string): readonly string[] => ['-x', `http://${USER.name}:${password}@10.1.2.5:8888`];
  it('with the password what the policy allows is reached; nothing else gets to tinyproxy', async () => {
    expect(await held.world.tried(...through(USER.password), 'https://api.payments.example/a')).toMatchObject({
      reached: ['api.payments.example/a'],
    });
    // As tinyproxy answers itself.
    for (const [proxy, connect] of [
      [through('guess'), 401],
      [['-x', 'http://10.1.2.5:8888'], 407],
    ] as const)
      expect(await held.world.tried(...proxy, 'https://api.payments.example/a')).toMatchObject({connect, ...REFUSED});
    for (const password of [USER.password, 'guess'])
      expect(await held.world.tried(...through(password), 'https://example.org/')).toMatchObject({
        connect: 403,
        ...REFUSED,
      });
    expect(held.parent!.asked().filter((one) => one.includes('example.org'))).toEqual([]);
    expect(JSON.stringify(held.mesh.envoy.accessLog())).not.toContain(USER.password);
  }, 60_000);
});

describe('registry-only', () => {
  const {it, held} = running('registry-only', () => Promise.resolve(null), ['sites.yaml']);
  it('what the mesh knows and the policy allows is reached, and nothing else', async () => {
    const {world} = held;
    expect(await world.tried('https://api.payments.example/')).toMatchObject({reached: ['api.payments.example/']});
    expect(await world.tried('http://mirror.example/debian/')).toMatchObject({reached: ['mirror.example/debian/']});
    expect(await world.tried('http://mirror.example/')).toMatchObject({
      answer: [403, expect.stringContaining('NoRuleMatched')],
      ...REFUSED,
    });
    for (const host of ['api.metrics.example', 'example.org'])
      expect(await world.tried(`https://${host}/`)).toMatchObject({answer: [0, ''], ...REFUSED});
    expect(await held.mesh.envoy.logged(({sni}) => sni === 'api.metrics.example')).toMatchObject({
      connection: {verdict: 'deny', reason: 'NoRuleMatched'},
    });
  }, 60_000);
});
