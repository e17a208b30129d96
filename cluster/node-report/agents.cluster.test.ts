/** One agent cannot speak for another node: the chart's admission policy, with tokens that the API server made. */
import {spawnSync} from 'node:child_process';
import {join} from 'node:path';
import {afterAll, beforeAll, expect} from '@jest/globals';
import {programPath} from '../../test/cluster/binaries.ts';
import {startControlPlane, type ControlPlane} from '../../test/cluster/control-plane.ts';
import {clusterTest} from '../../test/cluster/require.ts';

const ROOT = join(import.meta.dirname, '../..');
const LONG_MS = 120_000;

let cluster: ControlPlane;
const done = (argv: readonly string[], input?: string): string => {
  const ran = cluster.kubectl(argv, input);
  expect(ran).toMatchObject({status: 0});
  return ran.stdout;
};

beforeAll(async () => {
  cluster = await startControlPlane();
}, LONG_MS);
afterAll(() => cluster?.stop());

clusterTest('helm')(
  'an agent writes the EgressNode of the node that its token is of, and no other; without such a token none',
  () => {
    done(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]);
    done(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
    done(['create', 'namespace', 'sallyport']);
    done(['create', 'serviceaccount', 'sallyport-node', '-n', 'sallyport']);
    for (const name of ['one', 'two']) {
      done(['apply', '-f', '-'], JSON.stringify({apiVersion: 'v1', kind: 'Node', metadata: {name}}));
      const spec = {
        ...{nodeName: name, serviceAccountName: 'sallyport-node', automountServiceAccountToken: false},
        containers: [{name: 'agent', image: 'a'}],
      };
      const metadata = {name: `agent-${name}`, namespace: 'sallyport'};
      done(['apply', '-f', '-'], JSON.stringify({apiVersion: 'v1', kind: 'Pod', metadata, spec}));
    }
    const shown = ['node/rbac', 'node/agents'].flatMap((name) => ['--show-only', `templates/${name}.yaml`]);
    const chart = join(ROOT, 'charts/sallyport');
    const argv = ['template', 'x', chart, '--namespace', 'sallyport', '--kube-version', '1.34.2', ...shown];
    const rendered = spawnSync(programPath('helm')!, argv, {encoding: 'utf8'});
    expect([rendered.status, rendered.stderr]).toEqual([0, '']);
    done(['apply', '-f', '-'], rendered.stdout);

    const token = (...bound: readonly string[]): string =>
      done(['create', 'token', 'sallyport-node', '-n', 'sallyport', ...bound]).trim();
    const write = (as: string, node: string, path = ''): number => {
      const body = {
        apiVersion: 'sallyport.dev/v1alpha1',
        kind: 'EgressNode',
        metadata: {name: node},
        status: {ready: true},
      };
      const ran = cluster.kubectl(
        [
          ...['--kubeconfig', '/dev/null', '--server', cluster.url, '--token', as],
          ...['--certificate-authority', join(cluster.dir, 'pki', 'ca.crt')],
          ...['apply', '--server-side', '--field-manager', 'sallyport-tproxy', '--validate=false', '-f', '-'],
          ...(path === '' ? [] : ['--subresource', path]),
        ],
        JSON.stringify(body),
      );
      return ran.status;
    };
    const one = token('--bound-object-kind', 'Pod', '--bound-object-name', 'agent-one');
    // The policy is in force a moment after it was made.
    const deadline = Date.now() + 60_000;
    while (write(one, 'two') === 0 && Date.now() < deadline) done(['delete', 'enode', 'two']);
    expect(write(one, 'two')).not.toBe(0);
    expect(write(one, 'one')).toBe(0);
    expect(write(one, 'one', 'status')).toBe(0);
    const two = token('--bound-object-kind', 'Pod', '--bound-object-name', 'agent-two');
    expect(write(two, 'one', 'status')).not.toBe(0);
    expect(write(token(), 'one', 'status')).not.toBe(0);
    expect(done(['get', 'enode', '-o', 'name']).trim()).toBe('egressnode.sallyport.dev/one');
  },
  LONG_MS,
);
