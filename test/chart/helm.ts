/** The chart as helm renders it, for tests. */
import {spawnSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseAllDocuments, stringify} from 'yaml';
import {programPath} from '../cluster/binaries.ts';
import type {Ran} from '../cluster/control-plane.ts';

export const CHART = join(import.meta.dirname, '../../charts/sallyport');
export const NAMESPACE = 'sallyport';

/** A rendered object; what it holds is looked at as it is. */
export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- any kind's fields; a test names those that it means.
  readonly [field: string]: any;
}

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Runs helm with a home of its own, so that nobody's repositories and plugins have a say. */
export function helm(argv: readonly string[], kubeconfig = '/dev/null'): Ran {
  const home = mkdtempSync(join(tmpdir(), 'sallyport-helm-'));
  try {
    const env = {HOME: home, PATH: process.env['PATH'], KUBECONFIG: kubeconfig};
    const ran = spawnSync(programPath('helm')!, argv, {env, encoding: 'utf8', maxBuffer: MAX_OUTPUT_BYTES});
    return {status: ran.status ?? 1, stdout: ran.stdout, stderr: ran.stderr};
  } finally {
    rmSync(home, {recursive: true, force: true});
  }
}

/** Calls `use` with a file of these values. */
export function withValues<T>(values: object, use: (file: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-values-'));
  try {
    const file = join(dir, 'values.yaml');
    writeFileSync(file, stringify(values));
    return use(file);
  } finally {
    rmSync(dir, {recursive: true, force: true});
  }
}

/** `helm template` with values; what it says of bad ones is in stderr. */
export function template(values: object = {}, more: readonly string[] = []): Ran {
  return withValues(values, (file) => helm(['template', 'sallyport', CHART, '-n', NAMESPACE, '-f', file, ...more]));
}

/** The objects of the chart. Throws with helm's words where it does not render. */
export function rendered(values: object = {}, more: readonly string[] = []): Rendered[] {
  const {status, stdout, stderr} = template(values, more);
  if (status !== 0) throw new Error(stderr);
  return parseAllDocuments(stdout)
    .map((document) => {
      if (document.errors.length > 0) throw document.errors[0]!;
      return document.toJS() as Rendered | null;
    })
    .filter((object) => object !== null);
}

/** Whether an object is made by `helm test` and not by `helm install`. */
export const isHook = ({metadata}: Rendered): boolean => metadata.annotations?.['helm.sh/hook'] !== undefined;

/** The one object of this kind and name. Throws where there is none. */
export function find(objects: readonly Rendered[], kind: string, name: string): Rendered {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
}

/** Values with which everything is there. */
export const EVERYTHING = {
  cluster: {serviceCidrs: ['10.233.0.0/16'], podCidrs: ['10.244.0.0/16'], nodeCidrs: ['192.168.7.0/24']},
  extauthz: {enabled: true, tls: {clientCa: {configMap: 'istio-ca-root-cert', key: 'root-cert.pem'}}},
  mtls: {enabled: true},
  clusterPolicies: {
    baseline: {podSelector: {}, rules: [{name: 'services', to: {hosts: ['*.svc.cluster.local']}}]},
  },
  upstreamProxies: {
    corp: {
      endpoints: [{url: 'http://squid.corp.example:3128'}],
      auth: {secretRef: {namespace: 'sallyport', name: 'squid-credentials'}},
    },
  },
} as const;
