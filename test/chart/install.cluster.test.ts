/** The chart on a real API server: installed, upgraded, taken away. */
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {startControlPlane, type ControlPlane} from '../cluster/control-plane.ts';
import {clusterTest} from '../cluster/require.ts';
import {CHART, EVERYTHING, helm, isHook, NAMESPACE, rendered, withValues} from './helm.ts';

let cluster: ControlPlane;
beforeAll(async () => {
  cluster = await startControlPlane();
  const {status, stderr} = run('install', EVERYTHING, ['--create-namespace']);
  expect([status, stderr]).toEqual([0, '']);
}, 240_000);
afterAll(() => cluster?.stop());

function run(command: 'install' | 'upgrade', values: object, more: readonly string[] = []) {
  return withValues(values, (file) =>
    helm([command, 'sallyport', CHART, '-n', NAMESPACE, '-f', file, ...more], cluster.kubeconfig),
  );
}

const get = (kind: string, name: string): {status: number; stdout: string} =>
  cluster.kubectl(['get', kind, name, '-n', NAMESPACE, '-o', 'json']);

describe('installed', () => {
  clusterTest('helm')('every object is there, and as it was rendered', () => {
    const objects = rendered(EVERYTHING).filter((object) => !isHook(object));
    expect(objects.length).toBeGreaterThan(30);
    const missing = objects.filter(({kind, metadata}) => get(kind, metadata.name).status !== 0);
    expect(missing.map(({kind, metadata}) => `${kind} ${metadata.name}`)).toEqual([]);
  });

  clusterTest('helm')('a server-side dry run of the same objects warns of nothing', () => {
    const text = helm(['get', 'manifest', 'sallyport', '-n', NAMESPACE], cluster.kubeconfig).stdout;
    const {status, stderr} = cluster.kubectl(
      ['apply', '--dry-run=server', '--server-side', '--force-conflicts', '--validate=strict', '-f', '-'],
      text,
    );
    expect([status, stderr]).toEqual([0, '']);
  });
});
