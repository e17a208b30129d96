import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {parse} from 'yaml';
import {loadDocuments} from '../../policy/index.ts';
import {startControlPlane, type ControlPlane, type Ran} from '../../test/cluster/control-plane.ts';
import {clusterTest} from '../../test/cluster/require.ts';
import {readPolicyFiles} from '../../sources/policy-store.ts';

const ROOT = join(import.meta.dirname, '../..');

let cluster: ControlPlane;
beforeAll(async () => {
  cluster = await startControlPlane();
  const applied = cluster.kubectl(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]);
  expect([applied.status, applied.stderr]).toEqual([0, '']);
  const established = ['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all'];
  expect(cluster.kubectl(established).status).toBe(0);
}, 180_000);
afterAll(() => cluster?.stop());

const policyOf = (rule: string): string => `apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: gate, namespace: default}
spec:
  podSelector: {}
  rules:
  - {${rule}}
`;
/** What the API server says, without keeping anything. */
const tried = (text: string): Ran => cluster.kubectl(['create', '--dry-run=server', '-f', '-'], text);
const refusedByCheck = (text: string): boolean =>
  loadDocuments([{file: 'p.yaml', text}]).findings.some(({severity}) => severity === 'error');

const to = 'to: {hosts: [a.test]}';

/** A rule and what the API server says of it; null: it cannot say it, and the controller's condition does. */
const RULES: readonly (readonly [string, string, RegExp | null])[] = [
  ['an unknown field', `name: r, ${to}, protocols: [https]`, /unknown field "spec.rules\[0\].protocols"/],
  ['no name', to, /spec.rules\[0\].name: Required/],
  ['no to', 'name: r', /spec.rules\[0\].to: Required/],
  ['an action in the wrong case', `name: r, action: allow, ${to}`, /Unsupported value: "allow"/],
  ['a text where a list belongs', 'name: r, to: {hosts: a.test}', /must be of type array/],
  ['an empty name', `name: "", ${to}`, /spec.rules\[0\].name/],
  ['a name with a slash', `name: a/b, ${to}`, /spec.rules\[0\].name/],
  ['an empty list of methods', `name: r, ${to}, http: {methods: []}`, /should have at least 1 items/],
  ['an empty list of ports', 'name: r, to: {hosts: [a.test], ports: []}', /should have at least 1 items/],
  ['to without a destination', 'name: r, to: {}', /names no destination/],
  ['to with empty lists', 'name: r, to: {hosts: [], cidrs: []}', /names no destination/],
  ['an IPv4 literal among the hosts', 'name: r, to: {hosts: [5.6.7.8]}', /hosts\[0\]/],
  ['an IPv6 literal among the hosts', 'name: r, to: {hosts: ["2001:db8::1"]}', /hosts\[0\]/],
  ['an IPv4 literal in disguise', 'name: r, to: {hosts: ["0x7f.1"]}', /hosts\[0\]/],
  ['an IPv4 literal in hexadecimal', 'name: r, to: {hosts: ["0x7f000001"]}', null],
  ['a U-label', 'name: r, to: {hosts: [bücher.test]}', /hosts\[0\]/],
  ['a star within a name', 'name: r, to: {hosts: ["a.*.test"]}', /hosts\[0\]/],
  ['two stars', 'name: r, to: {hosts: ["**.test"]}', /hosts\[0\]/],
  ['a URL', 'name: r, to: {hosts: ["https://a.test/"]}', /hosts\[0\]/],
  ['a host with a port', 'name: r, to: {hosts: ["a.test:443"]}', /hosts\[0\]/],
  ['a label that is too long', `name: r, to: {hosts: ["${'a'.repeat(64)}.test"]}`, /hosts\[0\]/],
  ['a name among the cidrs', 'name: r, to: {cidrs: [a.test]}', /cidrs\[0\]/],
  ['a prefix that is too long', 'name: r, to: {cidrs: [10.0.0.0/33]}', null],
  ['bits right of the prefix', 'name: r, to: {cidrs: [10.1.2.3/8]}', null],
  ['a port of 0', 'name: r, to: {hosts: [a.test], ports: [0]}', /ports\[0\]/],
  ['a port of 65536', 'name: r, to: {hosts: [a.test], ports: [65536]}', /ports\[0\]/],
  ['a named port', 'name: r, to: {hosts: [a.test], ports: [https]}', /ports\[0\]/],
  ['a range of ranges', 'name: r, to: {hosts: [a.test], ports: ["1-2-3"]}', /ports\[0\]/],
  ['a range that ends early', 'name: r, to: {hosts: [a.test], ports: ["9000-8000"]}', null],
  ['a scheme that is none', 'name: r, to: {hosts: [a.test], schemes: [udp]}', /Unsupported value: "udp"/],
  ['a scheme twice', 'name: r, to: {hosts: [a.test], schemes: [http, http]}', /Duplicate value: "http"/],
  ['tcp without ports', 'name: r, to: {hosts: [a.test], schemes: [tcp]}', /no default port/],
  ['tcp with a suffix', 'name: r, to: {hosts: ["*.test"], schemes: [tcp], ports: [22]}', /tcp reads no name/],
  ['a question mark in a path', `name: r, ${to}, http: {paths: ["/v?/x"]}`, /paths\[0\]/],
  ['braces in a path', `name: r, ${to}, http: {paths: ["/{a}"]}`, /paths\[0\]/],
  ['a path without a slash', `name: r, ${to}, http: {paths: [a]}`, /paths\[0\]/],
  ['three stars in a path', `name: r, ${to}, http: {paths: ["/***"]}`, null],
  ['a question mark in a header', `name: r, ${to}, http: {headers: {x-a: "a?"}}`, /headers.x-a/],
  ['a method with a space', `name: r, ${to}, http: {methods: ["GET "]}`, /methods\[0\]/],
  ['a method in lower case', `name: r, ${to}, http: {methods: [get]}`, null],
  ['a condition that does not parse', `name: r, ${to}, when: "request.method =="`, null],
  [
    'http conditions of tls',
    'name: r, to: {hosts: [a.test], schemes: [tls]}, http: {methods: [GET]}',
    /sees no request/,
  ],
  ['mutations of tls', 'name: r, to: {hosts: [a.test], schemes: [tls]}, request: {set: {x-a: a}}', /changes nothing/],
  ['mutations of a Deny', `name: r, action: Deny, ${to}, request: {set: {x-a: a}}`, /sends nothing on/],
  ['a Deny with via', `name: r, action: Deny, ${to}, via: corp`, /sends nothing on/],
  ['Host set', `name: r, ${to}, request: {set: {Host: b.test}}`, /no rule may change Host/],
  [
    'a hop-by-hop header removed',
    `name: r, ${to}, request: {remove: [Proxy-Authorization]}`,
    /no rule may change Host/,
  ],
  ['a header both set and removed', `name: r, ${to}, request: {set: {x-a: a}, remove: [x-a]}`, /both set and removed/],
  ['a line break in a header', `name: r, ${to}, request: {set: {x-a: "a\\nb"}}`, /set.x-a/],
];

describe('what `sallyport check` refuses, the API server refuses too', () => {
  clusterTest().each(RULES.filter(([, , said]) => said !== null))('%s', (_title, rule, said) => {
    const text = policyOf(rule);
    expect(refusedByCheck(text)).toBe(true);
    const {status, stderr} = tried(text);
    expect(stderr).toMatch(said!);
    expect(status).not.toBe(0);
  });

  clusterTest()('two rules of one name', () => {
    const text = `${policyOf(`name: r, ${to}`)}  - {name: r, ${to}}\n`;
    expect(refusedByCheck(text)).toBe(true);
    expect(tried(text).stderr).toMatch(/Duplicate value: .*"name":"r"/);
  });
});

describe('what the API server cannot say is left to the condition', () => {
  clusterTest().each(RULES.filter(([, , said]) => said === null))('%s', (_title, rule) => {
    const text = policyOf(rule);
    expect(refusedByCheck(text)).toBe(true);
    expect(tried(text)).toMatchObject({status: 0});
  });
});

/** Every policy that the samples and the conformance cases load. */
function goodDocuments(): string[] {
  const samples = readPolicyFiles(join(ROOT, 'samples/policies')).map(({text}) => text);
  const folder = join(ROOT, 'test/conformance/cases');
  const cases = readdirSync(folder).flatMap((file) => {
    const {policies = []} = parse(readFileSync(join(folder, file), 'utf8')) as {policies?: object[]};
    // JSON, since kubectl reads YAML 1.1, where an unquoted yes is true.
    return policies.map((policy) => JSON.stringify(policy));
  });
  return [...samples, ...cases].filter((text) => !refusedByCheck(text));
}

clusterTest()(
  'the API server never refuses what check accepts: all samples and conformance policies',
  () => {
    const documents = goodDocuments();
    expect(documents.length).toBeGreaterThan(40);
    const refused = documents.flatMap((text) => {
      const namespaced = text.replaceAll(/("?namespace"?: ?"?)[a-z0-9-]+/g, '$1default');
      const {status, stderr} = tried(namespaced);
      return status === 0 ? [] : [`${stderr}\n${text}`];
    });
    expect(refused).toEqual([]);
  },
  180_000,
);

describe('UpstreamProxies', () => {
  const proxy = (spec: string): string =>
    `apiVersion: sallyport.dev/v1alpha1\nkind: UpstreamProxy\nmetadata: {name: corp}\nspec: {${spec}}\n`;
  const endpoints = 'endpoints: [{url: "http://a.test:3128"}]';
  clusterTest().each<[string, string, RegExp]>([
    ['no endpoint', 'endpoints: []', /should have at least 1 items/],
    ['an endpoint without a port', 'endpoints: [{url: "http://a.test"}]', /endpoints\[0\].url/],
    ['an endpoint of another scheme', 'endpoints: [{url: "socks5://a.test:1080"}]', /endpoints\[0\].url/],
    ['a way to resolve that is none', `${endpoints}, resolve: Never`, /Unsupported value: "Never"/],
    ['a bundle that refers to nothing', `${endpoints}, caBundle: {}`, /one of the two/],
  ])('%s is refused', (_title, spec, said) => {
    expect(refusedByCheck(proxy(spec))).toBe(true);
    expect(tried(proxy(spec)).stderr).toMatch(said);
  });
});

/** What kubectl prints, by line and column. */
const table = (argv: readonly string[]): string[][] =>
  cluster
    .kubectl(argv)
    .stdout.trim()
    .split('\n')
    .map((line) => line.trim().split(/\s{2,}/));

describe('kubectl', () => {
  clusterTest()('finds them by short name and category, and shows what is known of each', () => {
    expect(cluster.kubectl(['apply', '-f', '-'], policyOf(`name: r, ${to}`)).status).toBe(0);
    const conditions = ['Accepted', 'Enforced'].map((type) => ({
      ...{type, status: 'True', reason: `Of${type}`, message: ''},
      lastTransitionTime: '2026-01-01T00:00:00Z',
    }));
    const pods = {selected: 4, enforced: 3, mesh: 1, summary: '3/4'};
    const status = JSON.stringify({status: {conditions, pods}});
    const patch = ['patch', 'egp', 'gate', '--subresource=status', '--type=merge', '-p', status];
    expect(cluster.kubectl(patch)).toMatchObject({status: 0});
    const [head, row] = table(['get', 'egp']);
    expect(head!.slice(0, 6)).toEqual(['NAME', 'MODE', 'ACCEPTED', 'ENFORCED', 'PODS', 'AGE']);
    // Where mode is not written its column is empty.
    expect(row!.slice(0, 4)).toEqual(['gate', 'True', 'True', '3/4']);
    const [, wide] = table(['get', 'egp', '-o', 'wide']);
    expect(wide!.slice(-2)).toEqual(['OfAccepted', 'OfEnforced']);
    expect(cluster.kubectl(['get', 'sallyport', '-o', 'name']).stdout).toContain('egresspolicy.sallyport.dev/gate');
  });

  clusterTest()('shows of a node what its agent says', () => {
    const node = {apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressNode', metadata: {name: 'node-1'}};
    const counts = {locked: 7, captured: 2, policies: 3};
    const status = {version: '1.2.3', bootID: 'b', ready: true, counts, heartbeatTime: '2026-01-01T00:00:00Z'};
    expect(cluster.kubectl(['apply', '-f', '-'], JSON.stringify(node))).toMatchObject({status: 0});
    const patch = ['patch', 'enode', 'node-1', '--subresource=status', '--type=merge', '-p', JSON.stringify({status})];
    expect(cluster.kubectl(patch)).toMatchObject({status: 0});
    const [head, row] = table(['get', 'egressnodes']);
    expect(head).toEqual(['NAME', 'READY', 'LOCKED', 'CAPTURED', 'VERSION', 'SEEN', 'AGE']);
    expect(row!.slice(0, 5)).toEqual(['node-1', 'true', '7', '2', '1.2.3']);
    expect(cluster.kubectl(['get', 'sallyport', '-o', 'name']).stdout).toContain('egressnode.sallyport.dev/node-1');
  });

  clusterTest()('a status cannot be written with the spec', () => {
    const text = `${policyOf(`name: r, ${to}`).replace('name: gate', 'name: own')}status: {pods: {selected: 7}}\n`;
    expect(cluster.kubectl(['create', '-f', '-'], text).status).toBe(0);
    expect(cluster.kubectl(['get', 'egp', 'own', '-o', 'jsonpath={.status.pods}']).stdout).toBe('');
  });
});

describe('MeshEgress', () => {
  const mesh = (spec: string): string =>
    `apiVersion: sallyport.dev/v1alpha1\nkind: MeshEgress\nmetadata: {name: mesh}\nspec: {${spec}}\n`;
  clusterTest().each<[string, string, RegExp]>([
    ['an Istio that is not known', 'istio: {version: "1.2"}', /Unsupported value: "1.2"/],
    ['an outbound policy that is none', 'outboundTrafficPolicy: Open', /Unsupported value: "Open"/],
    ['a place to ask that is none', 'enforcement: [{at: Ztunnel}]', /Unsupported value: "Ztunnel"/],
    ['a waypoint that is asked for nothing', 'enforcement: [{at: Waypoint, namespace: shop}]', /it needs them/],
    ['a gateway for all namespaces at once', 'enforcement: [{at: EgressGateway}]', /a namespace is needed/],
    ['a timeout of nothing', 'extauthz: {timeoutMs: 1}', /extauthz.timeoutMs/],
    ['a proxy without a name', 'proxies: [{addresses: [10.0.0.1]}]', /proxies\[0\].name/],
    ['a namespace that is no name', 'enforcement: [{at: Sidecar, namespace: Shop}]', /enforcement\[0\].namespace/],
    ['a Service that is no name', 'extauthz: {name: a.b}', /extauthz.name/],
    ['a revision that is no name', 'istio: {revision: "1_31"}', /istio.revision/],
    ['a label that is none', 'enforcement: [{at: Sidecar, selector: {matchLabels: {app: "-"}}}]', /matchLabels.app/],
    ['an address that is none', 'proxies: [{name: a, addresses: [10.0.0.0/8]}]', /addresses\[0\]/],
    ['an unknown field', 'gateway: {}', /unknown field "spec.gateway"/],
  ])('%s is refused', (_title, spec, said) => {
    expect(refusedByCheck(mesh(spec))).toBe(true);
    expect(tried(mesh(spec)).stderr).toMatch(said);
  });

  clusterTest().each(['registry-only', 'tinyproxy-auth', 'external-squid'])('the sample %s is taken', (sample) => {
    const text = readFileSync(join(ROOT, 'samples/istio', sample, 'mesh-egress.yaml'), 'utf8');
    expect(tried(text)).toMatchObject({status: 0, stderr: ''});
  });
});
