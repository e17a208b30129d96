/** Sallyport in the cluster, as its users install it: by the chart. */
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {PODS_CIDR, SERVICES} from './cluster/addresses.ts';
import type {Cluster} from './cluster/cluster.ts';
import {kubeconfigOf} from './cluster/control.ts';
import {expect} from './report.ts';

export const NAMESPACE = 'sallyport';
const CLI = join(import.meta.dirname, '../../cli/main.ts');
const CHART = join(import.meta.dirname, '../../charts/sallyport');

/** What an operator fills in for this cluster; the images are local, and there is one node. */
const VALUES = {
  image: {registry: 'localhost', repository: 'sallyport', tag: '1', pullPolicy: 'Never'},
  cluster: {
    serviceCidrs: [SERVICES.cidr],
    podCidrs: [PODS_CIDR],
    nodeCidrs: ['10.78.0.0/24'],
    apiServers: [SERVICES.api],
  },
  // A bridge CNI with br_netfilter, where TPROXY cannot work.
  node: {image: {repository: 'sallyport'}, workers: 1, intercept: 'redirect', upstreamCa: {configMap: 'internet-root'}},
  injector: {replicas: 1},
  controller: {replicas: 1, extraCa: {configMap: 'internet-root'}},
};

/** What the installation finds there: the roots of the internet that this cluster has. */
export async function prepare(cluster: Cluster, internetRootPem: string): Promise<void> {
  const root = {
    ...{apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'internet-root', namespace: NAMESPACE}},
    data: {'ca.crt': internetRootPem},
  };
  await cluster.must(['apply', '-f', '-'], JSON.stringify(root));
}

/** The flags by which helm is given this cluster's values, and `more` over them. */
export function valuesFlags(cluster: Cluster, more: object = {}): string[] {
  return [VALUES, more].flatMap((values, i) => {
    const file = join(cluster.machine.dir, `values-${i}.yaml`);
    writeFileSync(file, stringify(values));
    return ['-f', file];
  });
}

/** `helm upgrade`; `more` are values over the usual ones. */
export async function upgrade(cluster: Cluster, more: object): Promise<void> {
  const ran = await cluster.helm(['upgrade', 'sallyport', CHART, '-n', NAMESPACE, ...valuesFlags(cluster, more)]);
  expect(ran.status === 0, ran.stderr);
}

export async function uninstall(cluster: Cluster): Promise<void> {
  const ran = await cluster.helm(['uninstall', 'sallyport', '-n', NAMESPACE, '--wait']);
  expect(ran.status === 0, ran.stderr);
}

/** Every workload of the chart is up. */
export async function rolledOut(cluster: Cluster): Promise<void> {
  const workloads = ['deployment/sallyport-controller', 'deployment/sallyport-injector', 'daemonset/sallyport-node'];
  for (const workload of workloads)
    await cluster.must(['-n', NAMESPACE, 'rollout', 'status', workload, '--timeout=120s']);
}

/** `sallyport doctor cluster`, which is to find nothing; its last line. */
export async function doctor(cluster: Cluster): Promise<string> {
  const argv = [process.execPath, CLI, 'doctor', 'cluster', '--kubeconfig', kubeconfigOf(cluster.machine, 'admin')];
  const ran = await cluster.machine.run(argv);
  expect(ran.status === 0, ran.stdout + ran.stderr);
  return ran.stdout.trim().split('\n').at(-1)!;
}

/** What the agent said last of a workload, for a step that failed. */
export async function lastWords(cluster: Cluster, workload: string, lines = 4): Promise<string> {
  const {stdout} = await cluster.kubectl(['-n', NAMESPACE, 'logs', await agentPod(cluster), '--tail=2000']);
  return stdout
    .split('\n')
    .filter((line) => line.includes(`"${workload}"`))
    .slice(-lines)
    .join('\n');
}

/** The name of the node's agent. */
export function agentPod(cluster: Cluster): Promise<string> {
  return cluster.must([
    ...['-n', NAMESPACE, 'get', 'pods', '-l', 'app.kubernetes.io/component=node'],
    ...['-o', 'jsonpath={.items[0].metadata.name}'],
  ]);
}
