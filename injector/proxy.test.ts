import {describe, expect, test} from '@jest/globals';
import {loadDocuments, type UpstreamProxyDocument} from '../policy/index.ts';
import type {Container, EnvVar, Namespace, Pod} from './pod.ts';
import {proxyEnvironment, setProxy, type ProxyEnvironment} from './proxy.ts';
import {readInstallation, type Installation} from './settings.ts';

const PROXIES = loadDocuments([
  {
    file: 'proxies.yaml',
    text: `
apiVersion: sallyport.dev/v1alpha1
kind: UpstreamProxy
metadata: {name: corp}
spec: {endpoints: [{url: "http://10.1.2.3:3128"}], hosts: ["*"], except: ["*.corp.example"]}
---
apiVersion: sallyport.dev/v1alpha1
kind: UpstreamProxy
metadata: {name: six}
spec: {endpoints: [{url: "https://[fd00::3]:3128"}], hosts: ["*"]}
---
apiVersion: sallyport.dev/v1alpha1
kind: UpstreamProxy
metadata: {name: secret}
spec: {endpoints: [{url: "http://10.1.2.4:3128"}], hosts: ["*"], auth: {secretRef: {name: squid, namespace: sallyport}}}
`,
  },
]);
const upstreamProxies = new Map(
  PROXIES.documents.map((document) => [document.name, document as UpstreamProxyDocument]),
);

const UPSTREAM = 'sallyport.dev/upstream-proxy';
const installation = (text: string): Installation => readInstallation('config.yaml', text, upstreamProxies).value!;
const environment = (
  text: string,
  annotations: Record<string, string> = {},
  namespaceAnnotations: Record<string, string> = {},
): ReturnType<typeof proxyEnvironment> => {
  const pod: Pod = {metadata: {annotations}, spec: {containers: []}};
  const namespace: Namespace = {name: 'team-a', labels: {}, annotations: namespaceAnnotations};
  return proxyEnvironment(pod, namespace, installation(text));
};

describe('which proxy: the first of these that says one', () => {
  const MESH = 'httpProxyEnvs: {httpProxy: "http://mesh:1", httpsProxy: "http://mesh:2", noProxy: ".mesh"}\n';
  const TEAM = 'namespaces: {team-a: {httpProxyEnvs: {httpProxy: "http://team:1", noProxy: ".team"}}}\n';
  const OWN_NAMESPACE = {[UPSTREAM]: 'http://namespace:1', 'sallyport.dev/no-proxy': '.namespace'};
  const OWN_POD = {[UPSTREAM]: 'http://pod:1', 'sallyport.dev/no-proxy': '.pod'};
  test.each<[string, string, Record<string, string>, Record<string, string>, string, string, string]>([
    ['the pod', MESH + TEAM, OWN_POD, OWN_NAMESPACE, 'http://pod:1', 'http://pod:1', '.mesh,.team,.namespace,.pod'],
    [
      "its namespace's annotation",
      MESH + TEAM,
      {},
      OWN_NAMESPACE,
      'http://namespace:1',
      'http://namespace:1',
      '.mesh,.team,.namespace',
    ],
    ["its namespace's settings", MESH + TEAM, {}, {}, 'http://team:1', 'http://team:1', '.mesh,.team'],
    ["the mesh's, in the form that a mesh operator has", MESH, {}, {}, 'http://mesh:1', 'http://mesh:2', '.mesh'],
    [
      'Node, named over all of them',
      MESH + TEAM,
      {[UPSTREAM]: 'Node'},
      {},
      'http://$(SALLYPORT_NODE_IP):15081',
      'http://$(SALLYPORT_NODE_IP):15081',
      '.mesh,.team',
    ],
    [
      'our own port, where nobody says one',
      '',
      {},
      {},
      'http://$(SALLYPORT_NODE_IP):15081',
      'http://$(SALLYPORT_NODE_IP):15081',
      '',
    ],
    [
      'our own port where the agents have another one',
      'explicitPort: 15091',
      {},
      {},
      'http://$(SALLYPORT_NODE_IP):15091',
      'http://$(SALLYPORT_NODE_IP):15091',
      '',
    ],
    [
      'empty values of the form are none',
      'httpProxyEnvs: {httpProxy: "", httpsProxy: "", noProxy: ""}',
      {},
      {},
      'http://$(SALLYPORT_NODE_IP):15081',
      'http://$(SALLYPORT_NODE_IP):15081',
      '',
    ],
    [
      "an IPv6 node's address stands in brackets",
      "cluster: {nodeCidrs: ['fd00:7::/64']}",
      {},
      {},
      'http://[$(SALLYPORT_NODE_IP)]:15081',
      'http://[$(SALLYPORT_NODE_IP)]:15081',
      'fd00:7::/64',
    ],
    [
      "the configuration's word on the family is before what the ranges say",
      "cluster: {nodeCidrs: ['fd00:7::/64'], ipFamily: IPv4}",
      {},
      {},
      'http://$(SALLYPORT_NODE_IP):15081',
      'http://$(SALLYPORT_NODE_IP):15081',
      'fd00:7::/64',
    ],
    [
      'an UpstreamProxy and what it excepts',
      '',
      {[UPSTREAM]: 'corp'},
      {},
      'http://10.1.2.3:3128',
      'http://10.1.2.3:3128',
      '.corp.example',
    ],
    [
      "an UpstreamProxy's IPv6 address, asked by TLS",
      '',
      {[UPSTREAM]: 'six'},
      {},
      'https://[fd00::3]:3128',
      'https://[fd00::3]:3128',
      '',
    ],
  ])('%s', (_title, config, pod, namespace, httpProxy, httpsProxy, noProxy) => {
    const {value} = environment(config, pod, namespace) as {value: ProxyEnvironment};
    expect([value.httpProxy, value.httpsProxy]).toEqual([httpProxy, httpsProxy]);
    expect(value.noProxy.split('.cluster.local,')[1] ?? '').toBe(noProxy);
  });
});

describe('what cannot be done is refused with what to write', () => {
  test.each<[string, Record<string, string>, RegExp]>([
    ['a proxy that there is not', {[UPSTREAM]: 'none'}, /no UpstreamProxy "none": apply one, or write .*: Node/],
    ['another protocol', {[UPSTREAM]: 'socks5://a:1'}, /speaks http or https, not socks5:/],
    ['credentials', {[UPSTREAM]: 'http://u:hunter2@a:1'}, /name an UpstreamProxy and let pods use Node/],
    [
      'a list that no program could be started with',
      {
        'sallyport.dev/no-proxy': Array.from({length: 4_000}, (_, i) => `h${i}.example`).join(','),
      },
      /NO_PROXY would be \d+ characters long, and 32768 are the most/,
    ],
  ])('%s', (_title, annotations, message) => {
    const {kind, ...rest} = environment('', annotations);
    expect({kind, ...rest}).toEqual({kind: 'bad', message: expect.stringMatching(message)});
    expect(JSON.stringify(rest)).not.toContain('hunter2');
  });
});

test('an UpstreamProxy that wants credentials is warned of: pods are given none', () => {
  const {value} = environment('', {[UPSTREAM]: 'secret'}) as {value: ProxyEnvironment};
  expect(value.warnings).toEqual([expect.stringMatching(/wants credentials.*upstream-proxy: Node/)]);
});

describe('one container', () => {
  const set = (
    env: EnvVar[],
    annotations: Record<string, string> = {},
  ): {said: Record<string, unknown>; order: string[]; warnings: string[]} => {
    const container: Container = {name: 'app', env};
    const warnings: string[] = [];
    setProxy(container, (environment('', annotations) as {value: ProxyEnvironment}).value, warnings);
    return {
      said: Object.fromEntries(container.env!.map(({name, value}) => [name, value])),
      order: container.env!.map(({name}) => name),
      warnings,
    };
  };

  test("has the node's address before what refers to it", () => {
    const {order} = set([{name: 'A', value: '1'}]);
    expect(order[0]).toBe('SALLYPORT_NODE_IP');
    expect(set([], {[UPSTREAM]: 'corp'}).order).not.toContain('SALLYPORT_NODE_IP');
  });

  test('has ALL_PROXY where the pod asks for it', () => {
    expect(set([]).order).not.toContain('ALL_PROXY');
    const {said} = set([], {'sallyport.dev/all-proxy': 'true', [UPSTREAM]: 'corp'});
    expect([said['ALL_PROXY'], said['all_proxy']]).toEqual(['http://10.1.2.3:3128', 'http://10.1.2.3:3128']);
  });

  test('whose author set ALL_PROXY has its twin, and a warning that it comes second', () => {
    const {said, warnings} = set([{name: 'all_proxy', value: 'socks5://own:1080'}]);
    expect(said['ALL_PROXY']).toBe('socks5://own:1080');
    expect(warnings).toEqual([expect.stringMatching(/HTTP_PROXY and HTTPS_PROXY before its ALL_PROXY/)]);
  });

  test.each<[string, string, string]>([
    ['an address and a port', 'http://own.example:3128', '-Dhttp.proxyHost=own.example -Dhttp.proxyPort=3128'],
    ['no scheme', 'own.example:3128', '-Dhttp.proxyHost=own.example -Dhttp.proxyPort=3128'],
    ['no port', 'http://own.example', '-Dhttp.proxyHost=own.example -Dhttp.proxyPort=80'],
    ['no port, and TLS', 'https://own.example/', '-Dhttp.proxyHost=own.example -Dhttp.proxyPort=443'],
    ['an IPv6 address', 'http://[fd00::1]:3128/', '-Dhttp.proxyHost=[fd00::1] -Dhttp.proxyPort=3128'],
    ['an IPv6 address without a port', 'http://[fd00::1]', '-Dhttp.proxyHost=[fd00::1] -Dhttp.proxyPort=80'],
    [
      'credentials, which a JVM would print',
      'http://u:p@own.example:3128',
      '-Dhttp.proxyHost=own.example -Dhttp.proxyPort=3128',
    ],
  ])("tells Java of its author's proxy: %s", (_title, value, properties) => {
    const {said} = set([{name: 'http_proxy', value}]);
    expect(said['JAVA_TOOL_OPTIONS']).toContain(`${properties} -Dhttps.proxyHost=$(SALLYPORT_NODE_IP)`);
  });

  test('tells Java nothing of a proxy that its author took away', () => {
    const {said} = set([
      {name: 'http_proxy', value: ''},
      {name: 'https_proxy', value: ''},
    ]);
    expect(said['JAVA_TOOL_OPTIONS']).toBeUndefined();
  });
});
