/** The chart's life under load: upgrade, an agent that is killed, an API server and a webhook that are away, uninstall. */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {startApiServer} from './cluster/control.ts';
import type {Cluster} from './cluster/cluster.ts';
import {agentPod, NAMESPACE, rolledOut, uninstall, upgrade} from './installation.ts';
import type {Internet} from './internet.ts';
import {curlIn, curlInContainer, makePod} from './pods.ts';
import {eventually, expect, type Report} from './report.ts';

const APP = 'life';
const LOCKED = {'sallyport.dev/mode': 'tproxy', app: 'locked'};
const OBJECT = 'https://storage.googleapis.com/public/index.html';
const STREAM_SERVER = 'storage.googleapis.com';
const STREAM = `https://${STREAM_SERVER}/bytes/200000000`;
const REFUSED = 'https://www.google.com/';
/** How long the API server is away. */
const AWAY_MS = 120_000;

interface Counts {
  readonly fresh: {readonly ok: number; readonly failed: number};
  readonly kept: {readonly ok: number; readonly failed: number};
  readonly h2: {readonly ok: number; readonly failed: number};
  readonly errors: Readonly<Record<string, number>>;
}

const NONE: Counts = {fresh: {ok: 0, failed: 0}, kept: {ok: 0, failed: 0}, h2: {ok: 0, failed: 0}, errors: {}};

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'storage', namespace: APP},
  spec: {
    podSelector: {matchLabels: {app: 'locked'}},
    rules: [
      {
        name: 'public',
        to: {hosts: ['storage.googleapis.com']},
        http: {methods: ['GET'], paths: ['/public/**', '/bytes/*']},
      },
    ],
    deny: {status: 418},
  },
};

export async function life(cluster: Cluster, internet: Internet, report: Report): Promise<void> {
  report.suite('The chart’s life');
  const counts = async (): Promise<Counts> => {
    const line = (await cluster.must(['-n', APP, 'logs', 'load', '--tail=1'])).trim();
    // Nothing yet in its first second.
    return line === '' ? NONE : (JSON.parse(line) as Counts);
  };
  /** Runs `change` under load: what was asked meanwhile, and what failed. */
  const under = async (change: () => Promise<void>): Promise<{asked: number; failed: string}> => {
    const before = await counts();
    await change();
    // What was under way at the end of it is counted by then.
    const settled = (before.fresh.ok + before.kept.ok + before.h2.ok) | 0;
    await eventually('the load goes on', async () => {
      const now = await counts();
      return now.fresh.ok + now.kept.ok + now.h2.ok > settled + 10;
    });
    const after = await counts();
    const asked = (['fresh', 'kept', 'h2'] as const).reduce(
      (sum, kind) => sum + after[kind].ok + after[kind].failed - before[kind].ok - before[kind].failed,
      0,
    );
    const failed = Object.entries(after.errors)
      .map(([text, n]) => [text, n - (before.errors[text] ?? 0)] as const)
      .filter(([, n]) => n > 0)
      .map(([text, n]) => `${n} of ${text}`)
      .join(', ');
    return {asked, failed};
  };

  await report.step('a client that asks all the time, by new, kept and HTTP/2 connections', async () => {
    await cluster.must(['create', 'namespace', APP]);
    await cluster.must(['label', 'namespace', APP, 'sallyport.dev/injection=enabled']);
    await cluster.must(['apply', '-f', '-'], JSON.stringify(POLICY));
    const script = {
      ...{apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'load', namespace: APP}},
      data: {'load.ts': readFileSync(join(import.meta.dirname, 'load.ts'), 'utf8')},
    };
    await cluster.must(['apply', '-f', '-'], JSON.stringify(script));
    await makePod(cluster, {namespace: APP, name: 'probe', labels: LOCKED});
    await makePod(cluster, {
      ...{namespace: APP, name: 'load', labels: LOCKED, configMap: 'load'},
      command: ['node', '/config/load.ts', 'https://storage.googleapis.com'],
    });
    await eventually('requests of each kind', async () => {
      const {fresh, kept, h2} = await counts();
      return fresh.ok > 5 && kept.ok > 5 && h2.ok > 5;
    });
    expect((await counts()).errors !== undefined, 'no counts');
  });
  await report.step('an upgrade of the agent under load', async () => {
    const {asked, failed} = await under(async () => {
      await upgrade(cluster, {node: {podAnnotations: {'e2e/version': 'next'}}});
      await rolledOut(cluster);
    });
    expect(failed === '', failed);
    return `${asked} requests, none failed`;
  });
  await report.step('an upgrade while a stream goes on that is longer than the drain deadline', async () => {
    const stream = curlIn(cluster, APP, 'probe', STREAM, '--max-time', '600', '--limit-rate', '100k');
    await eventually('the stream has begun', async () =>
      internet.ledger.take().some(({server}) => server === STREAM_SERVER),
    );
    // Gone with its pod: read while it lives.
    const said = cluster.kubectl(['-n', NAMESPACE, 'logs', '-f', await agentPod(cluster), '--tail=1']);
    const {asked, failed} = await under(async () => {
      await upgrade(cluster, {node: {podAnnotations: {'e2e/version': 'over-a-stream'}}});
      await rolledOut(cluster);
    });
    expect(failed === '', failed);
    expect(/^curl/.test(await stream), 'the stream was not cut');
    const cut = /"event":"tproxy\.cut","message":"(\d+) connections/.exec((await said).stdout);
    expect(cut?.[1] === '1', `cut: ${cut?.[0] ?? 'nothing was said'}`);
    return `${asked} requests, none failed; 1 stream cut, and counted`;
  });
  await report.step('an agent that is killed: nothing gets out meanwhile, and it goes on', async () => {
    const outside = internet.ledger;
    outside.take();
    let sawOpen = '';
    let recovered = 0;
    const {asked, failed} = await under(async () => {
      const agent = await agentPod(cluster);
      await cluster.killContainer(await cluster.containerOf(NAMESPACE, agent, 'tproxy'));
      const killed = Date.now();
      await eventually('the agent answers again', async () => {
        const refused = await curlIn(cluster, APP, 'probe', REFUSED, '--max-time', '2');
        if (refused === '200') sawOpen = refused;
        return refused === '418';
      });
      recovered = Date.now() - killed;
    });
    expect(sawOpen === '', 'a request that is refused got out');
    const reached = outside.take().filter(({server}) => server === 'www.google.com');
    expect(reached.length === 0, 'www.google.com saw bytes');
    return `refused requests are answered again after ${recovered} ms; of ${asked} requests failed: ${failed || 'none'}`;
  });
  await report.step(`the API server away for ${AWAY_MS / 1000} s: enforcement goes on`, async () => {
    const {asked, failed} = await under(async () => {
      const probe = await cluster.containerOf(APP, 'probe', 'app');
      const curl = (url: string): Promise<string> => curlInContainer(cluster, probe, url);
      await cluster.machine.end('kube-apiserver');
      const until = Date.now() + AWAY_MS;
      while (Date.now() < until) {
        const [allowed, refused] = [await curl(OBJECT), await curl(REFUSED)];
        expect(allowed === '200' && refused === '418', `allowed ${allowed}, refused ${refused}`);
        await new Promise((resolve) => setTimeout(resolve, 5_000));
      }
      startApiServer(cluster.machine);
      await eventually(
        'the API server',
        async () => (await cluster.kubectl(['get', '--raw', '/readyz'])).stdout === 'ok',
      );
    });
    expect(failed === '', failed);
    return `${asked} requests, none failed`;
  });
  await report.step('the webhook down: a pod that asks to be guarded is refused, another one starts', async () => {
    await cluster.must(['-n', NAMESPACE, 'scale', 'deployment/sallyport-injector', '--replicas=0']);
    await eventually(
      'no webhook',
      async () => {
        const {stdout} = await cluster.kubectl([
          '-n',
          NAMESPACE,
          'get',
          'pods',
          '-l',
          'app.kubernetes.io/component=injector',
          '-o',
          'name',
        ]);
        return stdout === '';
        // The kubelet hears of changes again up to a minute after the API server is back.
      },
      180_000,
    );
    await cluster.must(['create', 'namespace', 'elsewhere']);
    const refused = await makePod(cluster, {namespace: APP, name: 'late', labels: LOCKED}).then(
      () => 'created',
      (error: Error) => error.message,
    );
    expect(/failed calling webhook/.test(refused), refused);
    await makePod(cluster, {namespace: 'elsewhere', name: 'plain', labels: {}});
    await cluster.must(['-n', NAMESPACE, 'scale', 'deployment/sallyport-injector', '--replicas=1']);
    await rolledOut(cluster);
  });
  await report.step('uninstall: nothing is left that blocks pods, and they start free', async () => {
    await uninstall(cluster);
    const left = await cluster.must([
      'get',
      'mutatingwebhookconfigurations,validatingwebhookconfigurations',
      '-o',
      'name',
    ]);
    expect(left.trim() === '', left);
    // The agent finishes what it has begun, and captures meanwhile.
    await eventually('none of our pods', async () => {
      const {stdout} = await cluster.kubectl(['-n', NAMESPACE, 'get', 'pods', '-o', 'name']);
      return stdout === '';
    });
    await makePod(cluster, {namespace: APP, name: 'after', labels: LOCKED});
    const free = await curlIn(cluster, APP, 'after', REFUSED, '-k');
    expect(free === '200', `a pod made after it saw ${free}`);
  });
}
