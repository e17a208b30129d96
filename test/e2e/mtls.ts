/**
 * mTLS between pods that capture themselves, which on one node is all that a packet capture can show: two Deployments and a
 * headless StatefulSet, probed by the kubelet, restarted while they are asked.
 */
import {recordIn} from '../lab/mtls/labs.ts';
import {PODS_CIDR} from './cluster/addresses.ts';
import type {Cluster} from './cluster/cluster.ts';
import {doctor, rolledOut, upgrade} from './installation.ts';
import type {Internet} from './internet.ts';
import {curlIn, leave, makePod, TOOLS} from './pods.ts';
import {eventually, expect, type Report} from './report.ts';

const APP = 'shop';
const OUTSIDE = 'beside';
const STRICT = {'sallyport.dev/mode': 'tproxy', 'sallyport.dev/capture': 'pod', 'sallyport.dev/mtls': 'Strict'};
const ROLLOUT = '--timeout=240s';
/** What the programs say to each other and the probes do not. */
const SECRET = 'the-secret';
/** Of the requests during a rolling restart: a Service is told of a pod that goes a moment after it. */
const MOST_FAILED = 0.02;

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'shop', namespace: APP},
  spec: {
    podSelector: {},
    rules: [
      {name: 'web', to: {hosts: [`*.${APP}.svc.cluster.local`], schemes: ['http']}},
      {name: 'database', to: {cidrs: [PODS_CIDR], ports: [5432], schemes: ['tcp']}},
    ],
  },
};

interface Counts {
  readonly ok: number;
  readonly failed: number;
  /** What was answered, or went wrong, last. */
  readonly last: string;
}

export async function mtls(cluster: Cluster, _internet: Internet, report: Report): Promise<void> {
  report.suite('mTLS between pods');
  const counts = async (): Promise<Counts> => {
    const line = (await cluster.kubectl(['-n', APP, 'logs', 'deployment/client', '-c', 'app', '--tail=1'])).stdout;
    return line.trim() === '' ? {ok: 0, failed: 0, last: ''} : (JSON.parse(line) as Counts);
  };
  const moreThan = async (before: number): Promise<void> => {
    await eventually('the client is answered', async () => (await counts()).ok > before + 10);
  };
  const ipsOf = async (app: string): Promise<string[]> =>
    (
      await cluster.must(['-n', APP, 'get', 'pods', '-l', `app=${app}`, '-o', 'jsonpath={.items[*].status.podIP}'])
    ).split(' ');
  try {
    await report.step('mTLS is switched on, and the pods of a namespace capture themselves', async () => {
      await upgrade(cluster, {mtls: {enabled: true}, node: {exemptNamespaces: [APP]}});
      await rolledOut(cluster);
    });
    await report.step('two Deployments and a headless StatefulSet, Strict, with probes, are ready', () =>
      make(cluster),
    );
    await report.step('the web is reached by its Service’s address, the database by its headless name', async () => {
      await moreThan(0);
      const {last} = await counts();
      const [, seen] = /^the-secret-row for (\S+)$/.exec(last) ?? [];
      expect((await ipsOf('web')).includes(seen ?? ''), `the database saw ${last}`);
      return `the database saw the web’s own address, ${seen}`;
    });
    await report.step('sallyport doctor finds nothing wrong with mTLS on', () => doctor(cluster));
    await report.step('no payload crosses the node', async () => {
      const ended = await recordIn(cluster.machine.lab, 'node', 'cni0');
      await moreThan((await counts()).ok);
      const packets = await ended();
      expect(packets.includes('sallyport-mtls/1'), 'no handshake was recorded');
      expect(!packets.includes(SECRET), 'what the programs say was read');
      return `${packets.length} bytes recorded`;
    });
    await report.step('a pod outside of the set is refused', async () => {
      await cluster.must(['create', 'namespace', OUTSIDE]);
      await makePod(cluster, {namespace: OUTSIDE, name: 'free', labels: {}});
      for (const ip of await ipsOf('web')) {
        const status = await curlIn(cluster, OUTSIDE, 'free', `http://${ip}:8080/`);
        expect(status.startsWith('curl'), `answered ${status}`);
      }
    });
    await report.step('a rolling restart of the web while it is asked', async () => {
      const before = await counts();
      await cluster.must(['-n', APP, 'rollout', 'restart', 'deployment/web']);
      await cluster.must(['-n', APP, 'rollout', 'status', 'deployment/web', ROLLOUT]);
      const after = await counts();
      await moreThan(after.ok);
      const [asked, failed] = [after.ok + after.failed - before.ok - before.failed, after.failed - before.failed];
      expect(asked > 0 && failed <= asked * MOST_FAILED, `${failed} of ${asked} requests failed, last: ${after.last}`);
      return `${failed} of ${asked} requests failed`;
    });
    await report.step('a database that comes back under another address is its name’s again', async () => {
      const [before] = await ipsOf('db');
      await cluster.must(['-n', APP, 'rollout', 'restart', 'statefulset/db']);
      await cluster.must(['-n', APP, 'rollout', 'status', 'statefulset/db', ROLLOUT]);
      await moreThan((await counts()).ok);
      return `${before} before, ${(await ipsOf('db')).join()} now`;
    });
  } finally {
    await leave(cluster, [APP, OUTSIDE]);
    await upgrade(cluster, {});
    await rolledOut(cluster);
  }
}

async function make(cluster: Cluster): Promise<void> {
  const apply = (object: object): Promise<string> => cluster.must(['apply', '-f', '-'], JSON.stringify(object));
  await apply({
    ...{apiVersion: 'v1', kind: 'Namespace'},
    metadata: {name: APP, labels: {'sallyport.dev/injection': 'enabled'}},
  });
  await apply({
    ...{apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'sallyport-policies', namespace: APP}},
    data: {'policy.yaml': JSON.stringify(POLICY)},
  });
  for (const name of ['web', 'client', 'db'])
    await apply({apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name, namespace: APP}});
  const service = (name: string, spec: object): Promise<string> =>
    apply({
      ...{apiVersion: 'v1', kind: 'Service', metadata: {name, namespace: APP}},
      spec: {selector: {app: name}, ...spec},
    });
  await service('web', {ports: [{port: 80, targetPort: 8080}]});
  await service('db', {clusterIP: 'None', ports: [{port: 5432}]});
  await apply(workload('StatefulSet', 'db', 1, {readinessProbe: {tcpSocket: {port: 5432}}}));
  const web = {httpGet: {path: '/healthz', port: 'http'}};
  await apply(
    workload('Deployment', 'web', 2, {
      ...{ports: [{name: 'http', containerPort: 8080}], readinessProbe: web, livenessProbe: web},
      // It is asked for as long as others are not told that it goes.
      lifecycle: {preStop: {exec: {command: ['sleep', '5']}}},
    }),
  );
  await apply(workload('Deployment', 'client', 1, {}));
  for (const one of ['statefulset/db', 'deployment/web', 'deployment/client'])
    await cluster.must(['-n', APP, 'rollout', 'status', one, ROLLOUT]);
}

function workload(kind: 'Deployment' | 'StatefulSet', name: string, replicas: number, container: object): object {
  return {
    ...{apiVersion: 'apps/v1', kind, metadata: {name, namespace: APP}},
    spec: {
      ...{replicas, selector: {matchLabels: {app: name}}},
      ...(kind === 'StatefulSet' ? {serviceName: name} : {strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}}),
      template: {
        metadata: {labels: {app: name, ...STRICT}},
        spec: {
          ...{serviceAccountName: name, automountServiceAccountToken: false, terminationGracePeriodSeconds: 8},
          securityContext: {runAsUser: 1000, runAsGroup: 1000},
          containers: [
            {
              ...{name: 'app', ...TOOLS, command: ['node', '/programs/shop.mjs', name]},
              ...{env: [{name: 'NAMESPACE', value: APP}], ...container},
            },
          ],
        },
      },
    },
  };
}
