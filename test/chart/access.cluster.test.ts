/** What each role may do: enough to run, as its own service account, and no more. */
import {afterAll, afterEach, beforeAll, describe, expect} from '@jest/globals';
import {freePorts} from '../cluster/ports.ts';
import {startControlPlane, type ControlPlane} from '../cluster/control-plane.ts';
import {clusterTest} from '../cluster/require.ts';
import {startRole, type LogLine, type Role} from '../cluster/role.ts';
import {CHART, EVERYTHING, helm, NAMESPACE, withValues} from './helm.ts';
import {kubeconfigOfAccount} from './service-account.ts';

const LONG_MS = 90_000;
const NODE = 'worker-1';

let cluster: ControlPlane;
beforeAll(async () => {
  cluster = await startControlPlane();
  const {status, stderr} = withValues(EVERYTHING, (file) =>
    helm(['install', 'sallyport', CHART, '-n', NAMESPACE, '--create-namespace', '-f', file], cluster.kubeconfig),
  );
  expect([status, stderr]).toEqual([0, '']);
  for (const name of [NODE, 'worker-2'])
    apply({apiVersion: 'v1', kind: 'Node', metadata: {name}, spec: {taints: [taint, {...taint, key: 'other'}]}});
  apply({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {name: 'team', labels: {'sallyport.dev/injection': 'enabled'}},
  });
  apply({apiVersion: 'v1', kind: 'Secret', metadata: {name: 'theirs', namespace: 'team'}});
  apply({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressPolicy',
    metadata: {name: 'p', namespace: 'team'},
    spec: {podSelector: {}, rules: [{name: 'r', to: {hosts: ['a.test']}}]},
  });
}, 240_000);
afterAll(() => cluster?.stop());

const taint = {key: 'sallyport.dev/agent-not-ready', effect: 'NoSchedule'};
const apply = (object: object): void =>
  expect(cluster.kubectl(['apply', '-f', '-'], JSON.stringify(object))).toMatchObject({status: 0});

const running: Role[] = [];
afterEach(async () => {
  for (const role of running.splice(0)) await role.stop();
});

function started(account: string, argv: readonly string[], node?: string): Role {
  const role = startRole([
    ...argv,
    '--kubeconfig',
    kubeconfigOfAccount(cluster, account, node),
    '--admin',
    '127.0.0.1:0',
  ]);
  running.push(role);
  return role;
}

const event =
  (name: string, text = '') =>
  (line: LogLine): boolean =>
    line.event === name && line.message.includes(text);
const forbidden = (role: Role): string[] =>
  role.lines
    .map(({message}) => message ?? '')
    .filter((message) => /forbidden|403|cannot (get|list|watch|create|patch|update|delete)/i.test(message));
const field = (argv: readonly string[], path: string): string =>
  cluster.kubectl(['get', ...argv, '-o', `jsonpath=${path}`]).stdout;

describe('with the rights of its own service account', () => {
  clusterTest('helm')(
    'the controller leads, keeps CA, certificates, caBundle, bundles and conditions',
    async () => {
      const controller = started('sallyport-controller', ['controller', '--namespace', NAMESPACE, '--identity', 'one']);
      await controller.logged(event('trust.applied', 'team'));
      await controller.logged(event('status.written', 'EgressPolicy team/p: Accepted=True'));
      expect(field(['secret', '-n', NAMESPACE, 'sallyport-ca'], '{.data.root\\.crt}')).not.toBe('');
      for (const kind of ['mutatingwebhookconfiguration', 'validatingwebhookconfiguration'])
        await until(() => {
          const bundles = field([kind, 'sallyport'], '{.webhooks[*].clientConfig.caBundle}').split(' ');
          return bundles.length === 3 && bundles.every((bundle) => bundle !== '');
        });
      await until(() => field(['secret', '-n', NAMESPACE, 'sallyport-injector-tls'], '{.data.tls\\.crt}') !== '');
      expect(forbidden(controller)).toEqual([]);
    },
    LONG_MS,
  );
});

async function until(holds: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 60_000; !holds();) {
    if (Date.now() > deadline) throw new Error(`not so in time: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
