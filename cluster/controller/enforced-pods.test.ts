import {describe, expect, test} from '@jest/globals';
import {runningPod} from './enforced-pods.ts';

const pod = (spec: object = {}, status: object = {}, metadata: object = {}): object => ({
  metadata: {name: 'web', namespace: 'a', uid: 'u', ...metadata},
  spec: {nodeName: 'one', containers: [{name: 'app'}], ...spec},
  status: {phase: 'Running', podIP: '10.0.0.1', ...status},
});

describe('a pod counts', () => {
  test.each<[string, object, boolean]>([
    ['that runs', pod(), true],
    ['that is being deleted: it still sends', pod({}, {}, {deletionTimestamp: '2026-01-01T00:00:00Z'}), true],
    ['that is pending with an address: its init containers send', pod({}, {phase: 'Pending'}), true],
    ['not before it has an address', pod({}, {podIP: undefined}), false],
    ['not before it has a node', pod({nodeName: undefined}), false],
    ['not when it has succeeded', pod({}, {phase: 'Succeeded'}), false],
    ['not when it has failed', pod({}, {phase: 'Failed'}), false],
  ])('%s', (_title, object, counts) => {
    expect(runningPod(object) !== null).toBe(counts);
  });

  test('on the network of the node too: that it cannot be held has to be said', () => {
    expect(runningPod(pod({hostNetwork: true}))).toMatchObject({hostNetwork: true});
  });

  test.each(['containers', 'initContainers'])('in the mesh by its sidecar among its %s, not by a label', (list) => {
    expect(runningPod(pod({[list]: [{name: 'istio-proxy'}]}))).toMatchObject({sidecar: true});
    const labels = {'sallyport.dev/mode': 'mesh'};
    expect(runningPod(pod({}, {}, {labels}))).toMatchObject({sidecar: false});
  });
});
