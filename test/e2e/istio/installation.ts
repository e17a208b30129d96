/** istiod and its injector in the cluster, as `istioctl manifest generate` writes them, and gone again. */
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {parse, stringify} from 'yaml';
import {istioProgram} from '../../mesh/binaries.ts';
import type {Cluster} from '../cluster/cluster.ts';
import {expect} from '../report.ts';
import {HUB, TAG} from './images.ts';

export const ISTIO_NAMESPACE = 'istio-system';
/** What charts of the main branch say; a release's say their own version. */
const UNRELEASED = 'app.kubernetes.io/version: 1.0.0';

/** `values` is what `sallyport mesh-config generate -o values` says, as it is for the istiod chart. */
function installation(values: string): object {
  const {meshConfig} = parse(values) as {meshConfig: object};
  return {
    apiVersion: 'install.istio.io/v1alpha1',
    kind: 'IstioOperator',
    spec: {
      profile: 'minimal',
      hub: HUB,
      tag: TAG,
      // The world's metadata server is not that of a cloud, and what it answers would get into Envoy's configuration.
      meshConfig: {...meshConfig, defaultConfig: {proxyMetadata: {CLOUD_PLATFORM: 'none'}}},
      values: {
        global: {
          imagePullPolicy: 'Never',
          proxy: {resources: {requests: {cpu: '10m', memory: '64Mi'}}, readinessPeriodSeconds: 2},
        },
        pilot: {
          autoscaleEnabled: false,
          resources: {requests: {cpu: '50m', memory: '128Mi'}},
          // Filters that only Istio's own build of Envoy knows; and so are its statistics.
          env: {PILOT_ENABLE_METADATA_EXCHANGE: 'false', PILOT_ENABLE_ALPN_FILTER: 'false'},
        },
        telemetry: {enabled: false},
      },
    },
  };
}

/** The file with everything that was made, for `uninstallIstio`. Rejects with what istioctl or kubectl said. */
export async function installIstio(cluster: Cluster, values: string): Promise<string> {
  const operator = join(cluster.machine.dir, 'istio-operator.yaml');
  writeFileSync(operator, stringify(installation(values)));
  const {status, stdout, stderr} = await cluster.machine.run([
    ...[istioProgram('istioctl')!, 'manifest', 'generate', '-f', operator],
  ]);
  expect(status === 0, stderr);
  const manifest = join(cluster.machine.dir, 'istio.yaml');
  writeFileSync(manifest, stdout.replaceAll(UNRELEASED, `app.kubernetes.io/version: ${TAG}`));
  await cluster.must(['apply', '--server-side', '-f', manifest]);
  await cluster.must(['-n', ISTIO_NAMESPACE, 'rollout', 'status', 'deployment/istiod', '--timeout=180s']);
  return manifest;
}

/** Its definitions go too, and with them every object of Istio's. */
export async function uninstallIstio(cluster: Cluster, manifest: string): Promise<void> {
  await cluster.must(['delete', '-f', manifest, '--ignore-not-found', '--timeout=120s']);
  // Made by istiod itself; what is left would hold up everything that is written.
  const left = await cluster.must([
    'get',
    'mutatingwebhookconfigurations,validatingwebhookconfigurations',
    '-o',
    'name',
  ]);
  expect(!left.includes('istio'), left);
  await cluster.must(['delete', 'namespace', ISTIO_NAMESPACE, '--timeout=120s']);
}
