import {describe, expect, test} from '@jest/globals';
import type {NodeReport} from '../node-report/report.ts';
import {enforced, gapOf, nodeSays, notAccepted, type Gap, type PodGap, type Wanted} from './enforced.ts';
import {reportWith, runningPodOf} from './testing.ts';

const wanted: Wanted = {id: 'EgressPolicy a/p', uid: 'p-uid', generation: 2, mode: 'Enforce'};
const current = {kind: 'EgressPolicy', namespace: 'a', name: 'p', uid: 'p-uid', generation: 2} as const;
const holding: NodeReport = reportWith({policies: [current], locked: ['uid-web']});
const web = runningPodOf('web');

describe('a pod is held to a policy', () => {
  const gap = (report: NodeReport | null, of: Partial<Wanted> = {}, pod = web, bootId: string | null = 'boot') =>
    gapOf(pod, {...wanted, ...of}, report === null ? undefined : nodeSays(report, false), bootId);

  test('where the agent of its node is ready, has it locked, and has this version in force', () => {
    expect(gap(holding)).toBe(null);
  });

  test.each<[string, Gap, () => Gap | null]>([
    ['the node has no agent', 'noAgent', () => gap(null)],
    ['its agent is not ready', 'notReady', () => gap({...holding, ready: false})],
    ['the node was started anew since', 'rebooted', () => gap(holding, {}, web, 'another boot')],
    ['its agent is silent', 'silent', () => gapOf(web, wanted, nodeSays(holding, true), 'boot')],
    ['it is not in the sets', 'notCaptured', () => gap({...holding, locked: ['uid-other']})],
    ['another pod had its name', 'notCaptured', () => gap({...holding, locked: ['uid-web-before']})],
    ['it is only watched', 'notLocked', () => gap({...holding, locked: [], captured: ['uid-web']})],
    ['the agent has an older version', 'older', () => gap({...holding, policies: [{...current, generation: 1}]})],
    ['the agent has a newer version', 'older', () => gap({...holding, policies: [{...current, generation: 3}]})],
    ['another policy had its name', 'older', () => gap({...holding, policies: [{...current, uid: 'before'}]})],
    ['the agent does not have the policy', 'older', () => gap({...holding, policies: []})],
    ['it is on the network of the node', 'hostNetwork', () => gap(holding, {}, {...web, hostNetwork: true})],
    ['it has a sidecar, which nobody here sees', 'mesh', () => gap(reportWith(), {}, {...web, sidecar: true})],
    ['it has a sidecar and its node no agent', 'mesh', () => gap(null, {}, {...web, sidecar: true})],
  ])('not where %s', (_title, expected, found) => {
    expect(found()).toBe(expected);
  });

  test('to one that only audits where it is watched', () => {
    expect(gap({...holding, locked: [], captured: ['uid-web']}, {mode: 'Audit'})).toBe(null);
    expect(gap(holding, {mode: 'Audit'})).toBe(null);
  });

  test('where its node holds it in spite of its sidecar', () => {
    expect(gap(holding, {}, {...web, sidecar: true})).toBe(null);
  });

  test('where the boot of the node is not known', () => {
    expect(gap(holding, {}, web, null)).toBe(null);
  });
});

describe('the Enforced condition', () => {
  const gaps = (...of: readonly (readonly [string, Gap, string?])[]): PodGap[] =>
    of.map(([name, gap, node = 'one']) => ({pod: runningPodOf(name, {node}), gap}));

  test.each<[string, Wanted['mode'], number, PodGap[], string, string, string]>([
    ['every pod is held', 'Enforce', 3, [], 'True', 'AllPodsCaptured', '3/3'],
    ['it only audits', 'Audit', 3, [], 'True', 'AllPodsAudited', '3/3'],
    ['it selects nobody', 'Enforce', 0, [], 'True', 'NoPods', '0/0'],
    ['one is not', 'Enforce', 3, gaps(['w', 'notCaptured']), 'False', 'PodsNotCaptured', '2/3'],
    ['a node is silent', 'Enforce', 3, gaps(['w', 'silent']), 'Unknown', 'NodeSilent', '2/3'],
    ['one is in the mesh', 'Enforce', 3, gaps(['w', 'mesh']), 'Unknown', 'MeshNotSeen', '2/3'],
    // What is certain goes before what is not known.
    [
      'one is not, of others it is not known',
      'Enforce',
      3,
      gaps(['u', 'mesh'], ['v', 'silent'], ['w', 'older']),
      'False',
      'PodsNotCaptured',
      '0/3',
    ],
    ['silent and mesh', 'Enforce', 2, gaps(['u', 'mesh'], ['v', 'silent']), 'Unknown', 'NodeSilent', '0/2'],
  ])('where %s', (_title, mode, selected, of, status, reason, summary) => {
    const {condition, pods} = enforced({...wanted, mode}, selected, of);
    expect(condition).toMatchObject({type: 'Enforced', status, reason, observedGeneration: 2});
    expect(pods).toMatchObject({selected, summary});
  });

  test('of a policy that could not be loaded is False, and counts no pods', () => {
    expect(notAccepted(4)).toMatchObject({
      condition: {status: 'False', reason: 'NotAccepted', observedGeneration: 4},
      pods: null,
    });
  });

  test('names the first pods, by reason, with the nodes, in stable order', () => {
    const of = gaps(['z', 'notCaptured', 'two'], ['y', 'notCaptured', 'one'], ['h', 'hostNetwork'], ['m', 'mesh']);
    const message =
      '3 of 9 pods are not held to it: a/h (on the network of the node, from which they cannot be told); ' +
      'a/y, a/z (not captured on one, two: the posture of the agent leaves them out)';
    expect(enforced(wanted, 9, of).condition.message).toBe(message);
    expect(enforced(wanted, 9, [...of].reverse()).condition.message).toBe(message);
  });

  test('counts what it does not name: a thousand pods on a hundred nodes are a line', () => {
    const of = gaps(...Array.from({length: 1_000}, (_, i) => [`p${i}`, 'noAgent', `n${i % 100}`] as const));
    const {message} = enforced(wanted, 1_000, of).condition;
    expect(message).toMatch(/^1000 of 1000 .* a\/p0, .*, 995 more \(no agent on n0, n1, n10 and 97 more nodes\)$/);
    expect(message.length).toBeLessThan(300);
  });
});
