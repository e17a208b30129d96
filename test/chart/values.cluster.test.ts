/** The chart's values: each does something, and a wrong one is refused with its place. */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect} from '@jest/globals';
import {parse} from 'yaml';
import {clusterTest} from '../cluster/require.ts';
import {CHART, find, rendered, template} from './helm.ts';

type Path = readonly string[];
const VALUES = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as Record<string, unknown>;

/** Values under which every other one can be seen. */
const SEEN: Record<string, unknown> = {
  extauthz: {enabled: true, tls: {clientCa: {configMap: 'mesh-ca'}}},
  monitoring: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}},
  mtls: {enabled: true},
};

/** What else a value can be, where its kind does not tell; and beside which others it is seen. */
const OTHERWISE: Readonly<Record<string, readonly [value: unknown, beside?: object]>> = {
  'image.digest': [`sha256:${'a'.repeat(64)}`],
  'image.pullPolicy': ['Always'],
  imagePullSecrets: [[{name: 'regcred'}]],
  'cluster.ipFamily': ['IPv6'],
  defaultAction: ['Allow'],
  clusterPolicies: [{base: {podSelector: {}, rules: []}}],
  upstreamProxies: [{corp: {endpoints: [{url: 'http://p.example:3128'}]}}],
  'node.posture': ['all'],
  'node.intercept': ['redirect'],
  'node.resolver': ['10.96.0.10'],
  'node.upstreamCa.key': ['other.pem', {node: {upstreamCa: {configMap: 'corp'}}}],
  'node.filters.timeoutMs': [100, {node: {filters: {configMap: 'f'}}}],
  'node.updateStrategy.type': ['OnDelete'],
  'injector.defaultMode': ['mesh'],
  'injector.httpProxyEnvs': [{httpProxy: 'http://p.example:3128'}],
  'injector.namespaces': [{a: {httpProxyEnvs: {upstreamProxy: 'Node'}}}],
  'node.podInterfaces': [['cali*'], {node: {posture: 'all'}}],
  'node.meshDestinations': [['10.9.0.0/16:15012'], {node: {posture: 'all'}}],
  'node.runDir': ['/run/other'],
  'node.stateDir': ['/var/lib/other'],
  'node.cniResultsDir': ['/var/lib/other/results'],
  'injector.trust.mountPath': ['/other'],
  'injector.webhook.failurePolicy': ['Ignore'],
  'injector.webhook.caBundle': ['QUJD'],
  'controller.certificates': ['provided'],
  'controller.certManager.issuerRef': [{name: 'corp'}, {controller: {certificates: 'certManager'}}],
  'controller.extraCa.key': ['other.pem', {controller: {extraCa: {configMap: 'corp'}}}],
  'extauthz.dials': ['name'],
  'extauthz.plaintextFrom': [[{podSelector: {}}]],
  'extauthz.filters.timeoutMs': [100, {extauthz: {filters: {configMap: 'f'}}}],
  'extauthz.resolver': ['10.96.0.10'],
  'extauthz.tls.clientCa.secret': [
    'other',
    {extauthz: {plaintextFrom: [{podSelector: {}}], tls: {clientCa: {configMap: ''}}}},
  ],
  // Nobody speaks mTLS without them.
  'node.enabled': [false, {mtls: {enabled: false}}],
  'controller.enabled': [false, {mtls: {enabled: false}}],
  'mtls.mode': ['Strict'],
  'mtls.identityLife': ['1h'],
  'mtls.rootLife': ['30d'],
  'extauthz.tls.mesh': [true, {extauthz: {plaintextFrom: [{podSelector: {}}], tls: {clientCa: {configMap: ''}}}}],
  'networkPolicy.metricsFrom': [[{podSelector: {}}]],
  'monitoring.serviceMonitor.interval': ['7s'],
  'monitoring.prometheusRule.disabled': [['SallyportAgentDown']],
};
/** Kinds of lists, by the last part of the path. */
const ITEMS: Readonly<Record<string, unknown>> = {
  serviceCidrs: '10.9.0.0/16',
  podCidrs: '10.9.0.0/16',
  nodeCidrs: '10.9.0.0/16',
  nat64Prefixes: '2001:db8:64::/96',
  apiServerCidrs: '10.9.0.1/32',
  cidrs: '10.9.0.0/16=Permissive',
  tolerations: {key: 'x', operator: 'Exists'},
  topologySpreadConstraints: {maxSkew: 2, topologyKey: 'rack', whenUnsatisfiable: 'ScheduleAnyway'},
  extraArgs: '--log-format=text',
  extraEnv: {name: 'A', value: 'b'},
  extraVolumes: {name: 'x', emptyDir: {}},
  extraVolumeMounts: {name: 'x', mountPath: '/x'},
};

/** Where values stand: what has nothing below it. An empty map is one, a map that a user replaces whole is not looked into. */
function leaves(value: unknown, path: Path = []): Path[] {
  const whole = ['resources', 'nodeSelector'].includes(path.at(-1) ?? '');
  if (whole || typeof value !== 'object' || value === null || Array.isArray(value) || Object.keys(value).length === 0)
    return [path];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
}

const at = (path: Path, of: unknown): unknown =>
  path.reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], of);

function another(path: Path): unknown {
  // As it is where it is seen.
  const now = at(path, SEEN) ?? at(path, VALUES);
  const last = path.at(-1)!;
  const said = OTHERWISE[path.join('.')];
  if (said !== undefined) return said[0];
  if (last === 'logFormat') return 'text';
  if (last === 'resources') return {limits: {memory: '7Mi'}};
  if (last === 'maxUnavailable') return 3;
  if (Array.isArray(now)) return [ITEMS[last] ?? 'other', ...(last === 'tolerations' ? [] : (now as unknown[]))];
  switch (typeof now) {
    case 'boolean':
      return !now;
    case 'number':
      return now + 1;
    case 'object':
      return last === 'affinity' ? {nodeAffinity: {}} : last === 'image' ? {tag: 'other'} : {other: 'value'};
    default:
      return 'other';
  }
}

function merged(into: unknown, what: unknown): unknown {
  const isMap = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isMap(into) || !isMap(what)) return what;
  const keys = new Set([...Object.keys(into), ...Object.keys(what)]);
  return Object.fromEntries([...keys].map((key) => [key, key in what ? merged(into[key], what[key]) : into[key]]));
}

const nested = (path: Path, value: unknown): unknown => path.reduceRight((inner, key) => ({[key]: inner}), value);

describe('each value', () => {
  const paths = leaves(VALUES).filter((path) => path.at(-1) !== 'maxSurge');
  clusterTest('helm').each(paths.map((path) => [path.join('.'), path] as const))(
    '%s changes what is made',
    (name, path) => {
      const beside = merged(SEEN, OTHERWISE[name]?.[1] ?? {}) as object;
      const changed = merged(beside, nested(path, another(path))) as object;
      const before = template(beside);
      const after = template(changed);
      expect([before.status, after.status, after.stderr]).toEqual([0, 0, '']);
      expect(after.stdout === before.stdout).toBe(false);
    },
  );
});

describe('a value that is wrong is refused', () => {
  clusterTest('helm').each<[string, object, RegExp]>([
    ['unknown', {nodes: {}}, /additional properties 'nodes' not allowed/],
    ['unknown below', {node: {hostNetwork: false}}, /at '\/node': additional properties 'hostNetwork' not allowed/],
    [
      'a posture that is none',
      {node: {posture: 'some'}},
      /\/node\/posture': value must be one of 'annotated', 'selected', 'all'/,
    ],
    ['an action in lower case', {defaultAction: 'allow'}, /\/defaultAction': value must be one of 'Deny', 'Allow'/],
    ['a policy for failure that is none', {injector: {webhook: {failurePolicy: 'Open'}}}, /'Fail', 'Ignore'/],
    ['no CIDR', {cluster: {podCidrs: ['10.244.0.0']}}, /\/cluster\/podCidrs\/0/],
    ['a list that is a text', {cluster: {podCidrs: '10.244.0.0/16'}}, /\/cluster\/podCidrs': got string, want array/],
    ['a port of root', {node: {ports: {explicit: 80}}}, /\/node\/ports\/explicit': minimum/],
    ['two agents on a node', {node: {updateStrategy: {rollingUpdate: {maxSurge: 1}}}}, /maxSurge': value must be 0/],
    [
      'a ConfigMap that cannot be',
      {injector: {podCapture: {policies: 'No_Name'}}},
      /\/podCapture\/policies': '?No_Name/,
    ],
    ['no replicas', {injector: {replicas: 0}}, /\/injector\/replicas': minimum/],
    ['a timeout that the API server refuses', {injector: {webhook: {timeoutSeconds: 60}}}, /timeoutSeconds': maximum/],
    ['a resolver by name', {node: {resolver: 'kube-dns'}}, /\/node\/resolver/],
    ['a setting of another posture', {node: {podInterfaces: ['cali*']}}, /are for node.posture "all"/],
    ['two sources of one file', {node: {upstreamCa: {configMap: 'a', secret: 'b'}}}, /\/node\/upstreamCa/],
    ['arguments that are no flags', {node: {extraArgs: ['-x']}}, /\/node\/extraArgs\/0/],
    ['credentials in a key that is none', {injector: {httpProxyEnvs: {password: 'x'}}}, /'password' not allowed/],
    [
      'mTLS that nobody speaks',
      {mtls: {enabled: true}, node: {enabled: false}, injector: {enabled: false}},
      /enable controller, and node or injector/,
    ],
    ['mTLS that nobody issues for', {mtls: {enabled: true}, controller: {enabled: false}}, /enable controller/],
    ['a mode of mTLS in lower case', {mtls: {mode: 'strict'}}, /'Strict', 'Permissive', 'Off'/],
    ['an ext_authz that everybody may ask', {extauthz: {enabled: true}}, /nobody is named who may ask/],
    [
      'plain text without a wall',
      {extauthz: {enabled: true, plaintextFrom: [{podSelector: {}}]}, networkPolicy: {enabled: false}},
      /needs networkPolicy.enabled/,
    ],
  ])('%s', (_title, values, said) => {
    const {status, stderr} = template(values);
    expect(stderr).toMatch(said);
    expect(status).not.toBe(0);
  });
});

describe('what GitOps sees', () => {
  clusterTest('helm')('twice the same: nothing is drawn, dated or looked up', () => {
    expect(template(SEEN).stdout === template(SEEN).stdout).toBe(true);
    // What is drawn is often drawn only on an upgrade.
    expect(template(SEEN, ['--is-upgrade']).stdout === template(SEEN).stdout).toBe(true);
  });
});

describe('who is told what', () => {
  clusterTest('helm')('a Role for each object that an UpstreamProxy refers to, by its name, and for no other', () => {
    const objects = rendered({
      upstreamProxies: {
        corp: {
          endpoints: [{url: 'https://squid.corp.example:3128'}],
          auth: {secretRef: {namespace: 'infra', name: 'squid'}},
          caBundle: {configMapRef: {namespace: 'infra', name: 'corp-ca', key: 'ca.crt'}},
        },
      },
    });
    const rules = (name: string): unknown => find(objects, 'Role', name)['rules'];
    const read = (resource: string, name: string): unknown => [
      {apiGroups: [''], resources: [resource], resourceNames: [name], verbs: ['get', 'list', 'watch']},
    ];
    expect(rules('sallyport-node-secrets-squid')).toEqual(read('secrets', 'squid'));
    expect(rules('sallyport-node-configmaps-corp-ca')).toEqual(read('configmaps', 'corp-ca'));
    expect(find(objects, 'RoleBinding', 'sallyport-node-secrets-squid').metadata.namespace).toBe('infra');
  });
});
