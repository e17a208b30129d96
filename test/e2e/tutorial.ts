/** The "transparent proxy and filtering on Kubernetes" tutorial, on today's Kubernetes: a free pod, and one that is locked. */
import type {Cluster} from './cluster/cluster.ts';
import {doctor, NAMESPACE} from './installation.ts';
import type {Internet} from './internet.ts';
import {curlIn, makePod, TOOLS} from './pods.ts';
import {eventually, expect, type Report} from './report.ts';

/** The pod's own word, as the tutorial wrote it; annotations count where the namespace says so. */
const TPROXY = {'initializer.kubernetes.io/tproxy': 'true'};
const APP = 'replay';

const policy = (paths: readonly string[]): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'storage-only', namespace: APP},
  spec: {
    podSelector: {matchLabels: {app: 'locked'}},
    rules: [{name: 'assets', to: {hosts: ['storage.googleapis.com']}, http: {methods: ['GET', 'HEAD'], paths}}],
    deny: {status: 418, contentType: 'text/html', body: 'Access Denied by Administrator'},
  },
});

export async function tutorial(cluster: Cluster, internet: Internet, report: Report): Promise<void> {
  report.suite('The tutorial');
  const curl = (name: string, url: string, ...more: string[]): Promise<string> =>
    curlIn(cluster, APP, name, url, ...more);
  const inPod = (name: string, ...argv: string[]) => cluster.kubectl(['exec', '-n', APP, name, '--', ...argv]);

  await report.step('a namespace that opts in, a policy, a free pod and a locked one', async () => {
    await cluster.must(['create', 'namespace', APP]);
    await cluster.must(['label', 'namespace', APP, 'sallyport.dev/injection=enabled']);
    await cluster.must(['apply', '-f', '-'], JSON.stringify(policy(['/public/**'])));
    await makePod(cluster, {namespace: APP, name: 'free', labels: {app: 'free'}});
    await makePod(cluster, {namespace: APP, name: 'locked', labels: {app: 'locked'}, annotations: TPROXY});
  });

  const object = 'https://storage.googleapis.com/public/index.html';
  const answers: readonly (readonly [string, string, string, string, ...string[]])[] = [
    ['an object of the allowed bucket', object, '200', '200'],
    ['another bucket of that host', 'https://storage.googleapis.com/private/index.html', '200', '418'],
    ['google', 'https://www.google.com/', '200', '418'],
    ['google in the clear', 'http://www.google.com/', '200', '418'],
    ['the metadata server', 'http://169.254.169.254/computeMetadata/v1/', '200', '418'],
  ];
  for (const [what, url, free, locked] of answers)
    await report.step(`${what}: ${free} for the free pod, ${locked} for the locked one`, async () => {
      const [seenFree, seenLocked] = [await curl('free', url, '-k'), await curl('locked', url)];
      expect(seenFree === free, `the free pod saw ${seenFree}`);
      expect(seenLocked === locked, `the locked pod saw ${seenLocked}`);
    });
  await report.step('ping: an answer for the free pod, none for the locked one', async () => {
    const address = internet.addresses.get('www.google.com')![0]!;
    const [free, locked] = [
      await inPod('free', 'ping', '-c1', '-W2', address),
      await inPod('locked', 'ping', '-c1', '-W2', address),
    ];
    expect(free.status === 0, free.stdout + free.stderr);
    expect(locked.status !== 0, 'the locked pod had an answer');
  });
  await report.step('the Kubernetes API: blocked for the locked pod', async () => {
    const free = await curl('free', 'https://kubernetes.default.svc/version', '-k');
    const locked = await curl('locked', 'https://kubernetes.default.svc/version', '-k');
    expect(free === '200' || free === '401' || free === '403', `the free pod saw ${free}`);
    expect(locked === '418', `the locked pod saw ${locked}`);
  });
  await report.step('DNS works in both', async () => {
    for (const name of ['free', 'locked']) {
      const {status, stderr} = await inPod(name, 'getent', 'hosts', 'storage.googleapis.com');
      expect(status === 0, `${name}: ${stderr}`);
    }
  });
  await report.step('the page of a refusal is the policy’s', async () => {
    const {stdout} = await inPod('locked', 'curl', '-s', 'https://www.google.com/');
    expect(stdout.includes('Access Denied by Administrator'), stdout);
  });
  await report.step('no service account token in the locked pod', async () => {
    const {status} = await inPod('locked', 'ls', '/var/run/secrets/kubernetes.io/serviceaccount');
    expect(status !== 0, 'there is one');
  });
  await report.step('a Job on every node sees what it should, and one that expects too much fails', async () => {
    const nodes = (await cluster.must(['get', 'nodes', '-o', 'jsonpath={.items[*].metadata.name}'])).split(' ');
    for (const node of nodes) {
      expect((await job(cluster, node, '418')) === 'Complete', `on ${node} the Job failed`);
      expect((await job(cluster, node, '200')) === 'Failed', `on ${node} a Job that had to fail did not`);
    }
    return `${nodes.length} of ${nodes.length} nodes`;
  });
  await report.step('a changed policy is in force', async () => {
    await cluster.must(['apply', '-f', '-'], JSON.stringify(policy(['/other/**'])));
    const ms = await eventually('the object is refused now', async () => (await curl('locked', object)) === '418');
    await cluster.must(['apply', '-f', '-'], JSON.stringify(policy(['/public/**'])));
    await eventually('the object is allowed again', async () => (await curl('locked', object)) === '200');
    return `${ms} ms after kubectl apply`;
  });
  await report.step(
    'kubectl logs of the agent shows what was allowed and what was refused, with policy and rule',
    async () => {
      const logs = await cluster.must(['-n', NAMESPACE, 'logs', 'daemonset/sallyport-node', '--tail=2000']);
      const lines = logs.split('\n').filter((line) => line.includes('egress.decision'));
      expect(
        lines.some((line) => line.includes('"allow"') && line.includes('storage-only')),
        'no allowed request',
      );
      expect(
        lines.some((line) => line.includes('"deny"') && line.includes('www.google.com')),
        'no refused request',
      );
    },
  );
  await report.step('kubectl get egresspolicies tells that it is accepted and enforced', async () => {
    let seen = '';
    await eventually('Accepted and Enforced', async () => {
      seen = await cluster.must([
        '-n',
        APP,
        'get',
        'egresspolicy',
        'storage-only',
        '-o',
        'jsonpath={.status.conditions[*].type}={.status.conditions[*].status}',
      ]);
      return seen === 'Accepted Enforced=True True';
    }).catch((error: Error) => {
      throw new Error(`${error.message}; ${seen}`);
    });
    return (await cluster.must(['-n', APP, 'get', 'egresspolicies']))
      .trim()
      .split('\n')
      .at(-1)!
      .replaceAll(/\s+/g, ' ');
  });
  await report.step('sallyport doctor finds nothing wrong with the installation', () => doctor(cluster));
}

/** Runs curl on the node as a captured pod's Job: `Complete` where google answers what is expected, `Failed` where it does not. */
async function job(cluster: Cluster, node: string, expected: string): Promise<string> {
  const name = `google-${expected}-${node}`;
  const script = `test "$(curl -s -o /dev/null -m 10 -w '%{http_code}' https://www.google.com/)" = ${expected}`;
  const object = {
    ...{apiVersion: 'batch/v1', kind: 'Job', metadata: {name, namespace: APP}},
    spec: {
      backoffLimit: 0,
      template: {
        metadata: {labels: {app: 'locked'}, annotations: TPROXY},
        spec: {
          ...{nodeName: node, restartPolicy: 'Never', automountServiceAccountToken: false},
          containers: [{name: 'app', ...TOOLS, command: ['sh', '-c', script]}],
        },
      },
    },
  };
  await cluster.must(['apply', '-f', '-'], JSON.stringify(object));
  let ended = '';
  await eventually(`the Job ${name}`, async () => {
    const path = 'jsonpath={.status.conditions[?(@.status=="True")].type}';
    const types = (await cluster.must(['-n', APP, 'get', 'job', name, '-o', path])).split(' ');
    ended = types.find((type) => type === 'Complete' || type === 'Failed') ?? '';
    return ended !== '';
  });
  return ended;
}
