/** Sallyport in the cluster, as its users install it: by the chart. */
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {PODS_CIDR, SERVICES} from './cluster/addresses.ts';
import type {Cluster} from './cluster/cluster.ts';
import {expect} from './report.ts';

export const NAMESPACE = 'sallyport';
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

/** The namespace with the roots of the internet that this cluster has. */
export async function prepare(cluster: Cluster, internetRootPem: string): Promise<void> {
  await cluster.must(['create', 'namespace', NAMESPACE]);
  const root = {
    ...{apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'internet-root', namespace: NAMESPACE}},
    data: {'ca.crt': internetRootPem},
  };
  await cluster.must(['apply', '-f', '-'], JSON.stringify(root));
}

/** `helm install` or `helm upgrade`; `more` are values over the usual ones. */
export async function helm(cluster: Cluster, verb: 'install' | 'upgrade', more: object = {}): Promise<void> {
  const files = [VALUES, more].map((values, i) => {
    const file = join(cluster.machine.dir, `values-${i}.yaml`);
    writeFileSync(file, stringify(values));
    return ['-f', file];
  });
  const ran = await cluster.helm([verb, 'sallyport', CHART, '-n', NAMESPACE, ...files.flat()]);
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
