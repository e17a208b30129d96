/** What helm renders is what this Kubernetes knows: helm lint, and kubeconform with the API server's own schemas. */
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {programPath} from '../cluster/binaries.ts';
import {startControlPlane, type ControlPlane} from '../cluster/control-plane.ts';
import {clusterTest} from '../cluster/require.ts';
import {schemaLocation, writeSchemas} from './schemas.ts';
import {CHART, EVERYTHING, helm, template, withValues} from './helm.ts';

let cluster: ControlPlane;
let schemas: string;
beforeAll(async () => {
  cluster = await startControlPlane();
  schemas = mkdtempSync(join(tmpdir(), 'sallyport-schemas-'));
  expect(cluster.kubectl(['apply', '--server-side', '-f', join(CHART, 'crds')]).status).toBe(0);
  expect(cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']).status).toBe(0);
  // The document follows the definitions a moment later.
  const kinds = readdirSync(join(CHART, 'crds')).length;
  for (const deadline = Date.now() + 120_000; ;) {
    const text = cluster.kubectl(['get', '--raw', '/openapi/v2']).stdout;
    const ours = new Set(
      text.match(/"dev\.sallyport\.v1alpha1\.[A-Za-z]+"/g)?.filter((name) => !name.endsWith('List"')),
    );
    if (ours.size >= kinds) {
      expect(writeSchemas(text, schemas)).toBeGreaterThan(100);
      break;
    }
    if (Date.now() > deadline) throw new Error('the API server does not tell our kinds');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}, 180_000);
afterAll(async () => {
  await cluster?.stop();
  if (schemas !== undefined) rmSync(schemas, {recursive: true, force: true});
});

/** Kinds of others, whose schemas are not here. */
const OTHERS = 'ServiceMonitor,PrometheusRule,Certificate,Issuer';

function conforms(manifests: string): {status: number | null; said: string} {
  const argv = ['-strict', '-summary', '-skip', OTHERS, '-schema-location', schemaLocation(schemas), '-'];
  const {status, stdout, stderr} = spawnSync(programPath('kubeconform')!, argv, {input: manifests, encoding: 'utf8'});
  return {status, said: `${stdout}${stderr}`};
}

const VALUES: readonly (readonly [string, object])[] = [
  ['the defaults', {}],
  ['everything', EVERYTHING],
  [
    'everything else',
    {
      image: {registry: 'registry.corp.example', tag: 'v1', pullPolicy: 'Always'},
      imagePullSecrets: [{name: 'regcred'}],
      monitoring: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}},
      controller: {certificates: 'certManager', extraCa: {configMap: 'corp-ca'}},
      node: {
        upstreamCa: {secret: 'corp-ca'},
        filters: {configMap: 'filters'},
        workers: 2,
        resolver: '10.233.0.10',
        searchDomains: ['corp.example'],
        extraEnv: [{name: 'A', value: 'b'}],
        extraVolumes: [{name: 'x', emptyDir: {}}],
        extraVolumeMounts: [{name: 'x', mountPath: '/x'}],
        podAnnotations: {a: 'b'},
        podLabels: {c: 'd'},
      },
      mtls: {enabled: true},
      extauthz: {enabled: true, plaintextFrom: [{namespaceSelector: {}}], filters: {configMap: 'filters'}},
      networkPolicy: {apiServerCidrs: ['10.0.0.1/32'], metricsFrom: [{namespaceSelector: {}}]},
      injector: {httpProxyEnvs: {upstreamProxy: 'Node'}, namespaces: {a: {httpProxyEnvs: {httpProxy: 'http://p:1'}}}},
    },
  ],
];

describe('the chart', () => {
  clusterTest('helm').each(VALUES)('%s: helm lint --strict has nothing to say', (_title, values) => {
    const {status, stdout} = withValues(values, (file) => helm(['lint', '--strict', '--quiet', CHART, '-f', file]));
    expect([status, stdout.trim()]).toEqual([0, '']);
  });

  clusterTest('helm', 'kubeconform').each(VALUES)('%s: kubeconform -strict finds nothing', (_title, values) => {
    const {status, stdout, stderr} = template(values);
    expect([status, stderr]).toEqual([0, '']);
    expect(conforms(stdout)).toEqual({status: 0, said: expect.stringMatching(/Invalid: 0, Errors: 0/)});
  });

  clusterTest('helm', 'kubeconform')('the definitions conform too', () => {
    const files = readdirSync(join(CHART, 'crds')).map((file) => readFileSync(join(CHART, 'crds', file), 'utf8'));
    expect(conforms(files.join('---\n'))).toMatchObject({status: 0});
  });

  clusterTest('helm', 'kubeconform').each([
    ['a misspelt field', 'automountServiceAccountToken', 'automountServiceAccountTokens'],
    ['a field of the wrong kind', /replicas: 2/, 'replicas: two'],
    ['an unknown field of ours', 'podSelector: {}', 'podSelektor: {}'],
  ])('and would find %s', (_title, good, bad) => {
    const {stdout} = template(EVERYTHING);
    const broken = stdout.replace(good, bad);
    expect(broken).not.toBe(stdout);
    expect(conforms(broken)).toMatchObject({status: 1});
  });
});
