/** diff and apply, against a real API server that has Istio's kinds. */
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import {stringify} from 'yaml';
import {main} from '../../cli/main.ts';
import {startControlPlane, type ControlPlane} from '../cluster/control-plane.ts';
import {clusterTest} from '../cluster/require.ts';
import {istioCrds} from './binaries.ts';
import {meshTest} from './require.ts';

const proxy = (name: string) => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'UpstreamProxy',
  metadata: {name},
  spec: {endpoints: [{url: 'http://10.1.2.3:3128'}]},
});
const intent = (spec: object, name = 'default') => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'MeshEgress',
  metadata: {name},
  spec,
});
const SERVED_TIMEOUT_MS = 60_000;
const SHOP = {at: 'Sidecar', namespace: 'shop'};
const ALL = [
  'EnvoyFilter shop/sallyport-proxy-corp',
  'EnvoyFilter shop/sallyport-sidecar-http',
  'EnvoyFilter shop/sallyport-sidecar-tcp',
  'ServiceEntry istio-system/sallyport-proxy-corp',
];

describe('a cluster', () => {
  const needed = [meshTest(), clusterTest()];
  // The one that skips, where one does.
  const it = needed.find((one) => one !== test) ?? test;
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-apply-'));
  let cluster: ControlPlane;
  beforeAll(async () => {
    cluster = await startControlPlane();
    const done = (argv: readonly string[]): void => expect(cluster.kubectl(argv)).toMatchObject({status: 0});
    for (const name of ['istio-system', 'shop', 'other']) done(['create', 'namespace', name]);
    expect(await run('diff', FULL)).toMatchObject({code: 3, stderr: expect.stringContaining('IstioMissing')});
    done(['apply', '--server-side', '-f', istioCrds()!]);
    // Established is said before every kind is served.
    const deadline = Date.now() + SERVED_TIMEOUT_MS;
    while ((await run('verify', FULL)).code !== 1 && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 100));
  }, 180_000);
  afterAll(async () => {
    await cluster?.stop();
    rmSync(dir, {recursive: true, force: true});
  }, 60_000);

  async function run(action: string, spec: object, ...more: readonly string[]) {
    const file = join(dir, 'intent.yaml');
    writeFileSync(file, [intent(spec), proxy('corp')].map((one) => stringify(one)).join('---\n'));
    const said = {stdout: '', stderr: ''};
    const code = await main(['mesh-config', action, '-f', file, '--kubeconfig', cluster.kubeconfig, ...more], {
      stdout: (text) => void (said.stdout += text),
      stderr: (text) => void (said.stderr += text),
    });
    return {code, ...said};
  }
  const names = (): readonly string[] =>
    cluster
      .kubectl([
        'get',
        'serviceentries,envoyfilters',
        '-A',
        '-o',
        'jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\\n"}{end}',
      ])
      .stdout.trim()
      .split('\n')
      .filter((line) => line !== '')
      .sort();
  const kubectl = (...argv: readonly string[]): void => expect(cluster.kubectl(argv)).toMatchObject({status: 0});
  const FULL = {enforcement: [SHOP], proxies: [{name: 'corp'}]};

  it('diff says what would be made, and makes nothing', async () => {
    const {code, stdout} = await run('diff', FULL);
    expect(code).toBe(1);
    for (const name of ALL) expect(stdout).toContain(`+ ${name}\n`);
    expect(names()).toEqual([]);
  }, 60_000);

  it('apply makes it; the second time nothing is left to do', async () => {
    const first = await run('apply', FULL);
    expect([first.code, first.stdout.match(/^created /gm)?.length]).toEqual([0, 4]);
    expect(names()).toEqual(ALL);
    expect((await run('apply', FULL)).stdout).toMatch(/^(unchanged .*\n){4}$/);
  }, 60_000);

  it('the mesh configuration is compared, and left to who installs Istio', async () => {
    expect((await run('diff', FULL)).stdout).toMatch(/^~ Istio's mesh configuration/);
    const file = join(dir, 'cm.yaml');
    writeFileSync(
      file,
      stringify({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: {name: 'istio', namespace: 'istio-system'},
        data: {mesh: '# ours\ntrustDomain: corp\n'},
      }),
    );
    kubectl('create', '-f', file);
    expect((await run('apply', FULL)).stderr).toContain('mesh configuration');
    const said = {stdout: ''};
    const argv = ['mesh-config', 'generate', '-f', join(dir, 'intent.yaml'), '-o', 'mesh', '--merge', file];
    await main(argv, {stdout: (text) => void (said.stdout += text), stderr: () => undefined});
    expect(cluster.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], said.stdout)).toMatchObject({
      status: 0,
    });
    expect(await run('diff', FULL)).toEqual({code: 0, stdout: 'The cluster holds what is generated.\n', stderr: ''});
  }, 60_000);

  it('verify says what is in the way, and its fix', async () => {
    const unseen = (await run('verify', FULL)).stdout;
    expect(unseen).toContain(
      'FilterMatchesNothing: EnvoyFilter shop/sallyport-sidecar-tcp: there is no proxy in namespace shop',
    );
    // Without a controller manager nobody makes the account that a pod has.
    kubectl('create', 'serviceaccount', 'default', '-n', 'shop');
    const web = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {name: 'web', namespace: 'shop', labels: {'security.istio.io/tlsMode': 'istio'}},
      spec: {containers: [{name: 'istio-proxy', image: 'docker.io/istio/proxyv2:1.28.3'}]},
    };
    expect(cluster.kubectl(['apply', '--server-side', '-f', '-'], stringify(web))).toMatchObject({status: 0});
    expect((await run('verify', FULL)).stdout).toContain('VersionTooOld: Pod shop/web: it is Istio 1.28');
    web.spec.containers[0]!.image = 'docker.io/istio/proxyv2:1.31.0';
    expect(cluster.kubectl(['apply', '--server-side', '-f', '-'], stringify(web))).toMatchObject({status: 0});
    const without = await run('verify', FULL);
    expect(without.stdout).toBe(
      'NoExtauthz: Service sallyport/sallyport-extauthz: there is no such Service, so every question fails. Install sallyport extauthz, or correct spec.extauthz.\n',
    );
    const service = (name: string) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {name: 'sallyport-extauthz', namespace: 'other'},
      spec: {ports: [{name, port: 9000}]},
    });
    const there = {...FULL, extauthz: {namespace: 'other'}};
    expect((await run('apply', there)).code).toBe(0);
    expect(cluster.kubectl(['apply', '-f', '-'], stringify(service('api')))).toMatchObject({status: 0});
    expect((await run('verify', there)).stdout).toMatch(
      /^ExtauthzNotGrpc: Service other\/sallyport-extauthz: .* appProtocol: grpc\.\n$/,
    );
    expect(cluster.kubectl(['apply', '-f', '-'], stringify(service('grpc')))).toMatchObject({status: 0});
    expect(await run('verify', there)).toEqual({code: 0, stdout: 'Nothing is in the way.\n', stderr: ''});
    expect((await run('verify', {...there, proxies: []})).stdout).toContain('NotApplied: ');

    // What goes around, or is sent elsewhere, as the API server tells it.
    const namespaced = (kind: string, apiVersion: string, name: string, spec: object, metadata: object = {}) =>
      stringify({apiVersion, kind, metadata: {name, namespace: 'shop', ...metadata}, spec});
    const plain = {containers: [{name: 'app', image: 'none'}]};
    const others = [
      namespaced('Pod', 'v1', 'plain', plain),
      namespaced(
        'Pod',
        'v1',
        'around',
        {
          securityContext: {runAsGroup: 1337},
          containers: [...plain.containers, {name: 'istio-proxy', image: 'istio/proxyv2:1.31.0'}],
        },
        {annotations: {'traffic.sidecar.istio.io/excludeOutboundPorts': '443'}},
      ),
      namespaced('ServiceEntry', 'networking.istio.io/v1', 'evil', {
        hosts: ['evil.test'],
        ports: [{number: 80, name: 'http', protocol: 'HTTP'}],
        resolution: 'NONE',
      }),
      namespaced('VirtualService', 'networking.istio.io/v1', 'elsewhere', {
        hosts: ['good.test'],
        http: [{route: [{destination: {host: 'evil.test'}}]}],
      }),
      namespaced('WasmPlugin', 'extensions.istio.io/v1alpha1', 'code', {url: 'oci://registry.test/code'}),
      stringify({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: {name: 'istio-sidecar-injector', namespace: 'istio-system'},
        data: {values: JSON.stringify({global: {proxy: {excludeOutboundPorts: '5432'}}})},
      }),
    ].join('---\n');
    expect(cluster.kubectl(['apply', '-f', '-'], others)).toMatchObject({status: 0});
    kubectl('label', 'namespace', 'shop', 'team=a');
    const selecting = stringify({discoverySelectors: [{matchLabels: {team: 'a'}}]});
    const said = (await run('verify', there)).stdout.split('\n').filter((line) => line !== '');
    expect(said.map((line) => line.split(': ').slice(0, 2).join(': '))).toEqual([
      'WithoutSidecar: Pod shop/plain',
      'AroundSidecar: Pod shop/around',
      'AroundSidecar: Pod shop/around',
      "AroundSidecar: values of Istio's injector",
      'SentElsewhere: VirtualService shop/elsewhere',
      'SentElsewhere: WasmPlugin shop/code',
    ]);
    const mesh = cluster.kubectl([
      'get',
      'configmap',
      'istio',
      '-n',
      'istio-system',
      '-o',
      'jsonpath={.data.mesh}',
    ]).stdout;
    const configured = (text: string): void =>
      kubectl(
        'patch',
        'configmap',
        'istio',
        '-n',
        'istio-system',
        '--type=merge',
        '-p',
        JSON.stringify({data: {mesh: text}}),
      );
    configured(mesh + selecting);
    expect((await run('verify', there)).stdout).toContain('NotDiscovered: Namespace istio-system: ');
    configured(mesh);
    expect(cluster.kubectl(['delete', '--now', '-f', '-'], others)).toMatchObject({status: 0});
    expect(await run('verify', there)).toMatchObject({stdout: 'Nothing is in the way.\n'});
    expect((await run('apply', FULL)).code).toBe(0);
  }, 120_000);

  it('what somebody changed is shown by its path, refused, and taken over on demand', async () => {
    const patch = ['patch', 'serviceentry', 'sallyport-proxy-corp', '-n', 'istio-system', '--type=merge', '-p'];
    kubectl(...patch, '{"spec":{"location":"MESH_INTERNAL"}}');
    expect(await run('diff', FULL)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('spec.location: "MESH_INTERNAL" -> "MESH_EXTERNAL"'),
    });
    const refused = await run('apply', FULL);
    expect([refused.code, refused.stdout]).toEqual([3, '']);
    expect(refused.stderr).toContain('ApplyConflict: ServiceEntry istio-system/sallyport-proxy-corp');
    expect((await run('apply', FULL, '--force-conflicts')).stdout).toContain('changed ServiceEntry');
    expect((await run('diff', FULL)).code).toBe(0);
  }, 60_000);

  it('what is not generated any more is removed, and nothing of anybody else', async () => {
    const others = stringify({
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: {
        name: 'theirs',
        namespace: 'other',
        labels: {'app.kubernetes.io/managed-by': 'sallyport', 'sallyport.dev/mesh-egress': 'another'},
      },
      spec: {hosts: ['a.example'], ports: [{number: 443, name: 'tls', protocol: 'TLS'}], resolution: 'DNS'},
    });
    expect(cluster.kubectl(['apply', '-f', '-'], others)).toMatchObject({status: 0});
    expect((await run('diff', {enforcement: [SHOP]})).stdout).toBe(
      '- ServiceEntry istio-system/sallyport-proxy-corp\n- EnvoyFilter shop/sallyport-proxy-corp\n',
    );
    // A question is taken away only after the one that replaces it is there; what makes something reachable, at once.
    const scoped = {enforcement: [{...SHOP, selector: {matchLabels: {egress: 'asked'}}}]};
    const steps = (await run('apply', scoped)).stdout.split('\n').filter((line) => line !== '');
    expect(steps.map((step) => step.split('/')[0])).toEqual([
      'removed ServiceEntry istio-system',
      'created EnvoyFilter shop',
      'created EnvoyFilter shop',
      'removed EnvoyFilter shop',
      'removed EnvoyFilter shop',
      'removed EnvoyFilter shop',
    ]);
    expect(names()).toEqual([
      expect.stringContaining('shop/sallyport-sidecar-http-'),
      expect.stringContaining('shop/sallyport-sidecar-tcp-'),
      'ServiceEntry other/theirs',
    ]);
    await run('apply', {});
    expect(names()).toEqual(['ServiceEntry other/theirs']);
  }, 60_000);

  it('an object of somebody else under our name is not taken over', async () => {
    const text = stringify({
      apiVersion: 'networking.istio.io/v1alpha3',
      kind: 'EnvoyFilter',
      metadata: {name: 'sallyport-sidecar-tcp', namespace: 'shop'},
      spec: {priority: 1},
    });
    expect(cluster.kubectl(['apply', '-f', '-'], text)).toMatchObject({status: 0});
    const refused = await run('apply', FULL, '--force-conflicts');
    expect([refused.code, refused.stdout]).toEqual([3, '']);
    expect(refused.stderr).toContain('NotOurs: EnvoyFilter shop/sallyport-sidecar-tcp');
    kubectl('delete', 'envoyfilter', '-n', 'shop', 'sallyport-sidecar-tcp');
  }, 60_000);

  it('what the API server refuses leaves the cluster as it was', async () => {
    const before = names();
    const refused = await run('apply', {...FULL, enforcement: [SHOP, {at: 'Sidecar', namespace: 'nowhere'}]});
    expect([refused.code, refused.stdout]).toEqual([3, '']);
    expect(refused.stderr).toContain('namespaces "nowhere" not found');
    expect(names()).toEqual(before);
  }, 60_000);
});
