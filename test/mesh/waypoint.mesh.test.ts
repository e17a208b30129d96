/** A waypoint of a real istiod, on plain Envoy: what comes to it by HBONE is asked about, and gets to no other name. */
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import type {ClientHttp2Session} from 'node:http2';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {Duplex} from 'node:stream';
import {connect as connectTls} from 'node:tls';
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import {stringify} from 'yaml';
import {answerQuery} from '../../cli/demo/dns.ts';
import {main} from '../../cli/main.ts';
import {publicCa, type PublicCa} from '../../cli/demo/public-ca.ts';
import {meshCa} from '../../extauthz/sds/testing/mesh-ca.ts';
import {clusterTest} from '../cluster/require.ts';
import type {Envoy} from '../envoy/index.ts';
import {serve, type Arrived} from '../envoy/sites.ts';
import {say} from '../envoy/talk.ts';
import {createLab, udpIn, type Lab} from '../lab/index.ts';
import {startAmbientIstiod, type AmbientIstiod} from './ambient.ts';
import {serveCertificates} from './certificates.ts';
import {fromIntent} from './generated.ts';
import {enforce} from './network-policy.ts';
import {startSidecar} from './proxy.ts';
import {meshTest} from './require.ts';
import {
  addressOf,
  hbone,
  INTENT,
  LAB_MESH,
  POLICY,
  SITES,
  WAYPOINT,
  waypointCluster,
  WEB,
  type Site,
} from './waypoint-world.ts';
import {RESOLVER, startExtauthz} from './world.ts';

/** istiod tells of a change within a second on an idle machine. */
const PUSHED_MS = 40_000;
const CURL_TIMED_OUT = 28;
/** A line of the access log is there within some tens of milliseconds. */
const LOGGED_MS = 2000;
const generated = fromIntent(INTENT);

describe('a waypoint', () => {
  const needed = [meshTest('openssl'), clusterTest()];
  const it = needed.find((one) => one !== test) ?? test;
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-waypoint-'));
  const mesh = meshCa();
  const ends: (() => Promise<void> | void)[] = [() => rmSync(dir, {recursive: true, force: true})];
  const arrived: Arrived[] = [];
  const connected: string[] = [];
  let ca: PublicCa;
  let lab: Lab;
  let istiod: AmbientIstiod;
  let envoy: Envoy;
  let session: ClientHttp2Session;
  const address = new Map<string, string>();

  beforeAll(async () => {
    lab = await createLab({name: 'wp', pods: [{name: 'app'}, {name: 'waypoint'}]});
    ends.push(() => lab.close());
    ca = publicCa(join(dir, 'public-ca'));
    await lab.internet.addAddress(RESOLVER);
    const dns = await udpIn(lab.internet.path, RESOLVER, 53);
    dns.on('message', (query, from) => {
      const answer = answerQuery(query, (name) => SITES[name as Site]);
      if (answer !== null) dns.send(answer, from.port, from.address);
    });
    ends.push(() => void dns.close());
    for (const where of ['app', 'waypoint', 'node', 'internet']) lab.setResolver(where, RESOLVER);
    for (const [name, ip] of Object.entries(SITES))
      for (const server of await serve(lab, ca, {name, ip}, arrived, connected)) ends.push(() => void server.close());

    mkdirSync(join(dir, 'policies'));
    writeFileSync(join(dir, 'policies/policy.yaml'), stringify(POLICY));
    const workload = {namespace: 'shop', name: 'app', labels: {}, serviceAccount: 'web', trustsCa: false};
    writeFileSync(join(dir, 'workloads.yaml'), stringify([{ips: lab.pod('app').ips, ...workload}]));
    const {extauthz} = generated.mesh;
    await startExtauthz(
      lab,
      [],
      [
        ...['--policy', join(dir, 'policies'), '--workloads', join(dir, 'workloads.yaml'), '--resolver', RESOLVER],
        ...['--listen', `${lab.node.ips[0]}:${extauthz.port}`, '--dials', 'name', '--log-format', 'json'],
      ],
    );

    istiod = await startAmbientIstiod(dir, {...LAB_MESH, ...generated.settings}, [
      'istio-system',
      'shop',
      'other',
      'istio-egress',
      extauthz.namespace,
    ]);
    ends.push(() => istiod.stop());
    istiod.apply(waypointCluster(lab, extauthz));
    istiod.cluster.kubectl(
      ['patch', 'pod', '-n', 'shop', WAYPOINT.name, '--subresource=status', '--type=merge', '-p'].concat(
        JSON.stringify({
          status: {
            phase: 'Running',
            podIP: lab.pod('waypoint').ip4,
            podIPs: [{ip: lab.pod('waypoint').ip4}],
            conditions: [{type: 'Ready', status: 'True'}],
          },
        }),
      ),
    );
    expect((await meshConfig('apply', INTENT)).stdout).toMatch(/^(created \S+ \S+\n){10}$/);
    for (const name of Object.keys(SITES)) address.set(name, await addressOf(istiod, generated, name));
    const socket = join(dir, 'sds.sock');
    ends.push(await serveCertificates(mesh, 'spiffe://cluster.local/ns/shop/sa/sallyport-egress', socket));
    envoy = await startSidecar(lab, lab.pod('waypoint'), WAYPOINT, '', {
      kind: 'waypoint',
      certificates: socket,
      xds: istiod.xds,
      // Newer ones are sent filter state that only Istio's own Envoy can make.
      metadata: {ISTIO_VERSION: '1.28.0', SERVICE_ACCOUNT: 'sallyport-egress'},
    });
    ends.push(() => envoy.stop());
    session = await hbone(lab, mesh.pair(WEB));
    ends.push(() => session.destroy());
  }, 240_000);
  afterAll(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  }, 60_000);

  /** `sallyport mesh-config ACTION` on that cluster. */
  async function meshConfig(action: string, intent: string) {
    const file = join(dir, 'intent.yaml');
    writeFileSync(file, intent);
    const said = {stdout: '', stderr: ''};
    const code = await main(['mesh-config', action, '-f', file, '--kubeconfig', istiod.cluster.kubeconfig], {
      stdout: (text) => void (said.stdout += text),
      stderr: (text) => void (said.stderr += text),
    });
    return {code, ...said};
  }

  /** Through a tunnel to the address that `dialled` has in the mesh. */
  const tunnel = (dialled: Site, port: number): Promise<Duplex> => tunnelTo(`${address.get(dialled)}:${port}`);
  /** A listener that istiod changes lets its connections end: then there is another one, as ztunnel would make it. */
  async function tunnelTo(authority: string): Promise<Duplex> {
    if (session.closed || session.destroyed) session = await hbone(lab, mesh.pair(WEB));
    return session.request({':method': 'CONNECT', ':authority': authority});
  }
  async function all(stream: Duplex, text: string): Promise<string> {
    let got = '';
    stream.on('data', (chunk: Buffer) => (got += chunk.toString()));
    stream.on('error', () => undefined);
    const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
    stream.write(text);
    await closed;
    return got;
  }
  const http = async (dialled: Site, host: string, path: string): Promise<string> =>
    all(await tunnel(dialled, 80), `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  const https = async (dialled: Site, servername: string): Promise<string> => {
    const tls = connectTls({socket: await tunnel(dialled, 443), servername, rejectUnauthorized: false});
    return all(tls, `GET /t HTTP/1.1\r\nHost: ${servername}\r\nConnection: close\r\n\r\n`);
  };

  it('applied once, nothing is left to do', async () => {
    expect((await meshConfig('apply', INTENT)).stdout).toMatch(/^(unchanged \S+ \S+\n){10}$/);
  }, 60_000);

  it('nothing is in the way, but that these names have no address here', async () => {
    const {stdout} = await meshConfig('verify', INTENT);
    const codes = stdout.match(/^\w+(?=: )/gm) ?? [];
    // Istiod has its mesh configuration from a file, not from the ConfigMap.
    expect(codes.filter((code) => code !== 'Unresolvable' && code !== 'NotApplied')).toEqual([]);
  }, 60_000);

  it('the API server takes what is made for a gateway too', async () => {
    const sample = readFileSync(
      new URL('../../samples/istio/egress-gateway/mesh-egress.yaml', import.meta.url),
      'utf8',
    );
    const {stdout, stderr} = await meshConfig(
      'diff',
      sample.replace('name: default', 'name: gateway').replace('namespace: shop', 'namespace: other'),
    );
    expect(stderr).toBe('');
    const {objects} = fromIntent(sample);
    const made = objects.map(
      ({object: {kind, metadata}}) => `+ ${kind} ${metadata.namespace.replace('shop', 'other')}/${metadata.name}\n`,
    );
    expect(made.filter((line) => !stdout.includes(line))).toEqual([]);
  }, 60_000);

  it('http is decided by its Host and path', async () => {
    expect(await http('pages.test', 'pages.test', '/public/a')).toContain('pages.test GET /public/a');
    expect(await http('pages.test', 'pages.test', '/private')).toContain('Access Denied by Administrator');
    expect(await http('evil.test', 'evil.test', '/public/a')).toContain('Access Denied by Administrator');
  }, 60_000);

  it('TLS is decided by its SNI, before anything is dialled', async () => {
    expect(await https('sealed.test', 'sealed.test')).toContain('sealed.test GET /t');
    expect(await https('evil.test', 'evil.test')).toBe('');
    expect(connected).not.toContain('evil.test');
  }, 60_000);

  it('an allowed name at another name’s address gets to neither', async () => {
    const before = arrived.length;
    expect(await http('evil.test', 'pages.test', '/public/a')).toContain('403');
    expect(await https('evil.test', 'sealed.test')).toBe('');
    expect([arrived.length, connected.includes('evil.test')]).toEqual([before, false]);
  }, 60_000);

  it('an address that is nobody’s leads nowhere', async () => {
    const asked = 'GET /public/a HTTP/1.1\r\nHost: pages.test\r\nConnection: close\r\n\r\n';
    const before = arrived.length;
    await all(await tunnelTo(`${SITES['evil.test']}:80`), asked);
    expect([arrived.length, connected.includes('evil.test')]).toEqual([before, false]);
  }, 60_000);

  it('the access log says policy, rule and reason', async () => {
    await http('pages.test', 'pages.test', '/public/logged');
    await https('evil.test', 'evil.test');
    expect(await envoy.logged(({path}) => path === '/public/logged')).toMatchObject({
      request: {verdict: 'allow', reason: 'RuleAllowed', policy: 'shop/web', rule: 'pages'},
    });
    expect(await envoy.logged(({sni}) => sni === 'evil.test')).toMatchObject({
      connection: {verdict: 'deny', reason: 'NoRuleMatched'},
      upstream_host: null,
    });
  }, 60_000);

  /** The first of these that does not go as it should; null where all do. */
  let round = 0;
  const broken = async (): Promise<string | null> => {
    connected.length = 0;
    const path = `/public/%7Ea//${++round}`;
    if (!(await http('pages.test', 'pages.test', path)).includes('pages.test GET')) return 'an allowed request';
    if (arrived.at(-1)!.path !== path) return 'a path as it came';
    if ((await http('pages.test', 'pages.test', '/private')).includes('pages.test GET')) return 'a refused request';
    if ((await http('evil.test', 'pages.test', '/public/a')).includes('evil.test GET')) return 'a Host elsewhere';
    if (!(await https('sealed.test', 'sealed.test')).includes('sealed.test GET')) return 'an allowed name in TLS';
    if ((await https('evil.test', 'sealed.test')).includes('evil.test GET')) return 'an SNI elsewhere';
    await https('evil.test', 'evil.test');
    if (connected.includes('evil.test')) return 'a refused server that was dialled';
    return (await saysWhy(path)) ? null : 'the reason in the access log';
  };
  /** Whether the access log is JSON, and its line of this request says who allowed it. */
  const saysWhy = (path: string): Promise<boolean> =>
    envoy
      .logged((line) => line['path'] === path, LOGGED_MS)
      .then(
        ({request}) => (request as {verdict?: unknown} | null)?.verdict === 'allow',
        () => false,
      );
  const until = async (holds: (which: string | null) => boolean): Promise<void> => {
    for (const deadline = Date.now() + PUSHED_MS; ;) {
      const which = await broken();
      if (holds(which)) return;
      if (Date.now() > deadline) throw new Error(`after ${PUSHED_MS} ms: ${which ?? 'all goes as it should'}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };

  // Of the objects that there are for each name, those of the one that is lied about.
  const missed = generated.objects
    .map(({object}) => object)
    .filter(
      ({kind, metadata: {name}}) =>
        kind !== 'NetworkPolicy' &&
        (name === 'sallyport-egress' || name === `sallyport-egress-${kind === 'ServiceEntry' ? 'pages' : 'evil'}-test`),
    );
  it.each(missed.map((object) => [`${object.kind} ${object.metadata.name}`, object] as const))(
    'without %s one of these fails',
    async (_name, object) => {
      await until((which) => which === null);
      const kind = `${object.kind}.${object.apiVersion.split('/')[0]!}`.toLowerCase();
      expect(istiod.cluster.kubectl(['delete', kind, '-n', 'shop', object.metadata.name])).toMatchObject({status: 0});
      await until((which) => which !== null);
      istiod.apply([object]);
      for (const name of Object.keys(SITES)) address.set(name, await addressOf(istiod, generated, name));
      await until((which) => which === null);
    },
    120_000,
  );

  // The others are not the waypoint's own: sidecar.mesh.test.ts takes each of them away.
  it.each(['extensionProviders', 'pathNormalization', 'accessLogFile'])(
    'without %s in the mesh configuration one of these fails',
    async (name) => {
      expect(generated.settings).toHaveProperty(name);
      const file = join(dir, 'mesh.yaml');
      const whole = readFileSync(file, 'utf8');
      const rest = Object.entries(generated.settings).filter(([key]) => key !== name);
      await until((which) => which === null);
      writeFileSync(file, stringify({...LAB_MESH, ...Object.fromEntries(rest)}));
      await until((which) => which !== null);
      writeFileSync(file, whole);
      await until((which) => which === null);
    },
    120_000,
  );

  it('a pod that does not go through ztunnel gets out, but for the NetworkPolicy', async () => {
    const direct = (): Promise<string> =>
      say(lab, {ip: SITES['evil.test'], port: 80}, 'GET /direct HTTP/1.1\r\nHost: evil.test\r\n\r\n');
    expect(await direct()).toContain('evil.test GET /direct');
    const policy = generated.objects.find(({object: {kind}}) => kind === 'NetworkPolicy')!.object;
    const free = await enforce(lab, policy, lab.pod('app'), [
      {ip: lab.pod('waypoint').ip4, namespace: 'shop', labels: WAYPOINT.labels},
      {ip: RESOLVER, namespace: 'kube-system', labels: {'k8s-app': 'kube-dns'}},
    ]);
    try {
      const {status} = await lab.exec('app', ['curl', '-s', '--connect-timeout', '2', `http://${SITES['evil.test']}/`]);
      expect(status).toBe(CURL_TIMED_OUT);
      // Over a connection of its own: one that is there is let be.
      session.destroy();
      await until((which) => which === null);
    } finally {
      await free();
    }
  }, 120_000);
});
