import {afterAll, beforeAll, expect} from '@jest/globals';
import {KubeConfig} from '@kubernetes/client-node';
import type {WorkloadEntry} from '../sources/workload-table.ts';
import {startControlPlane, type ControlPlane} from '../test/cluster/control-plane.ts';
import {clusterTest} from '../test/cluster/require.ts';
import {watchWorkloads} from './workloads.ts';
import {found, within} from '../test/waiting.ts';

let cluster: ControlPlane;
beforeAll(async () => {
  cluster = await startControlPlane();
}, 180_000);
afterAll(() => cluster?.stop());

const apply = (object: object): void =>
  expect(cluster.kubectl(['apply', '-f', '-'], JSON.stringify(object))).toMatchObject({status: 0});
function addPod(name: string, node: string): void {
  const spec = {nodeName: node, containers: [{name: 'app', image: 'a'}], automountServiceAccountToken: false};
  apply({apiVersion: 'v1', kind: 'Pod', metadata: {name, namespace: 'default', labels: {app: name}}, spec});
}
const status = (name: string, value: object): void =>
  expect(
    cluster.kubectl([
      'patch',
      'pod',
      name,
      '--subresource=status',
      '--type=merge',
      '-p',
      JSON.stringify({status: value}),
    ]),
  ).toMatchObject({status: 0});

clusterTest()(
  'the pods of a node come with their address, follow their namespace, and go when they end',
  async () => {
    const config = new KubeConfig();
    config.loadFromFile(cluster.kubeconfig);
    cluster.kubectl(['create', 'serviceaccount', 'default']);
    let table: readonly WorkloadEntry[] = [];
    const workloads = watchWorkloads({
      config,
      node: 'here',
      onChange: (entries) => (table = entries),
      onTrouble: () => {},
    });
    const until = async (holds: () => boolean): Promise<void> => {
      await found(holds, {said: () => JSON.stringify(table, null, 1)});
    };
    const shown = (): string[] =>
      table.map(({workload, ips}) => `${workload.name} ${ips[0]} ${workload.namespaceLabels!['team'] ?? '-'}`);
    try {
      await within(workloads.synced, 'pods and namespaces are whole');
      expect(table).toEqual([]);
      addPod('web', 'here');
      addPod('elsewhere', 'there');
      status('elsewhere', {phase: 'Running', podIP: '10.1.0.8', podIPs: [{ip: '10.1.0.8'}]});
      status('web', {phase: 'Running', podIP: '10.1.0.7', podIPs: [{ip: '10.1.0.7'}]});
      await until(() => table.some(({ips}) => ips.length > 0));
      expect(shown()).toEqual(['web 10.1.0.7 -']);
      cluster.kubectl(['label', 'namespace', 'default', 'team=a']);
      await until(() => shown()[0] === 'web 10.1.0.7 a');
      status('web', {phase: 'Succeeded'});
      await until(() => table.length === 0);
    } finally {
      workloads.stop();
    }
  },
  60_000,
);
