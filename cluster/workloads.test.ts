import {describe, expect, test} from '@jest/globals';
import type {PodFacts} from './pod-facts.ts';
import {tableOf} from './workloads.ts';

const pod = (name: string, ips: string[], createdAt: string, more: Partial<PodFacts> = {}): PodFacts => ({
  ...{namespace: 'default', name, uid: name, labels: {}, serviceAccount: 'default', node: null, trustsCa: false},
  ...{ips, createdAt, asking: {}, injectedForTproxy: false, injectedMtls: null, sidecar: false, ...more},
});
const addresses = (pods: PodFacts[]): string[] =>
  tableOf(pods, new Map()).map(({workload, ips}) => [workload.name, ...ips].join(' '));

describe('the table', () => {
  test('has the labels of the namespace, and null where they are not known', () => {
    const known = new Map([['default', {team: 'a'}]]);
    const [of, other] = tableOf([pod('a', ['10.0.0.1'], ''), pod('b', ['10.0.0.2'], '', {namespace: 'new'})], known);
    expect([of!.workload.namespaceLabels, other!.workload.namespaceLabels]).toEqual([{team: 'a'}, null]);
  });

  test.each<[string, PodFacts[], string[]]>([
    [
      "an address that two have is the younger's",
      [pod('old', ['10.0.0.1'], '1'), pod('new', ['10.0.0.1'], '2')],
      ['old', 'new 10.0.0.1'],
    ],
    ['whichever came first', [pod('new', ['10.0.0.1'], '2'), pod('old', ['10.0.0.1'], '1')], ['new 10.0.0.1', 'old']],
    [
      'of two of the same second it is the one that was seen last',
      [pod('b', ['10.0.0.1'], '1'), pod('a', ['10.0.0.1'], '1')],
      ['b', 'a 10.0.0.1'],
    ],
    ['one without an address is there too', [pod('a', [], '1')], ['a']],
    [
      'the older one keeps its other address',
      [pod('old', ['10.0.0.1', 'fd00::1'], '1'), pod('new', ['10.0.0.1'], '2')],
      ['old fd00::1', 'new 10.0.0.1'],
    ],
  ])('%s', (_title, pods, expected) => {
    expect(addresses(pods)).toEqual(expected);
  });
});
