import {describe, expect, test} from '@jest/globals';
import {parseWorkloads} from '../sources/workload-table.ts';
import {resolversIn} from './pod-rules.ts';
import {labelsIn, podTable, type PodFacts} from './pod-table.ts';

const FACTS: PodFacts = {
  uid: 'u-1',
  name: 'self',
  namespace: 'team-a',
  ips: ['10.0.1.7', 'fd00::7'],
  serviceAccount: 'web',
  mtls: null,
  labels: 'app="web"\napp.kubernetes.io/name="self"\nempty=""\n',
};

test('the table that is written is read as the pod', () => {
  expect(parseWorkloads(podTable(FACTS), 'workloads.yaml')).toEqual([
    {
      ips: ['10.0.1.7', 'fd00::7'],
      interface: null,
      guarded: 'listed',
      workload: {
        namespace: 'team-a',
        // Not known, which is not the same as none.
        namespaceLabels: null,
        name: 'self',
        uid: 'u-1',
        labels: {app: 'web', 'app.kubernetes.io/name': 'self', empty: ''},
        serviceAccount: 'web',
        node: null,
        trustsCa: true,
      },
      mtls: {mode: 'Off', plainPorts: new Set()},
    },
  ]);
});

test('its proxy does about mTLS as its rules do', () => {
  const mtls = {strict: true, plainPorts: [9090]};
  const [entry] = parseWorkloads(podTable({...FACTS, mtls}), 'workloads.yaml');
  expect(entry!.mtls).toEqual({mode: 'Strict', plainPorts: new Set([9090])});
});

test.each(['uid', 'name', 'namespace'] as const)('without the pod’s %s there is none', (field) => {
  expect(() => podTable({...FACTS, [field]: null})).toThrow(`--workload-file without --pod-${field}`);
});

describe('labels', () => {
  test('of a pod without any are none', () => expect(labelsIn('')).toEqual({}));
  test.each(['app', 'app=web', 'app="we\\"b"', '="x"', 'a b="x"'])('%j is none, and is not passed over', (line) => {
    expect(() => labelsIn(`ok="1"\n${line}\n`)).toThrow('line 2 of --labels-file is no label');
  });
});

test('resolvers are those of resolv.conf, and there must be one', () => {
  const text = '# nameserver 1.1.1.1\nsearch svc\nnameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5\n';
  expect(resolversIn(text).map(({ip}) => ip)).toEqual(['10.96.0.10', 'fd00::a']);
  expect(() => resolversIn('search svc\n')).toThrow('/etc/resolv.conf names no server');
});
