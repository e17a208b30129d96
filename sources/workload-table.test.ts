import {describe, expect, test} from '@jest/globals';
import {indexWorkloads, parseWorkloads} from './workload-table.ts';

test('a workload has its defaults filled in and is found by each of its addresses', () => {
  const entries = parseWorkloads(
    '- {ips: [10.0.0.7, "FD00::7"], namespace: shop, name: web-1, labels: {app: web}}\n',
    'w.yaml',
  );
  const workload = {
    namespace: 'shop',
    namespaceLabels: {},
    name: 'web-1',
    uid: 'shop/web-1',
    labels: {app: 'web'},
    serviceAccount: 'default',
    node: null,
    trustsCa: false,
  };
  expect(entries).toEqual([{ips: ['10.0.0.7', 'fd00::7'], interface: null, guarded: 'listed', workload}]);
  const index = indexWorkloads(entries);
  expect([index.get('10.0.0.7'), index.get('fd00::7'), index.get('10.0.0.8')]).toEqual([workload, workload, undefined]);
});

test('an entry says how it speaks mTLS, and which ports stay plain', () => {
  const [entry, quiet] = parseWorkloads(
    '- {ips: [10.0.0.7], namespace: shop, name: a, mtls: Strict, mtlsPlainPorts: [9090]}\n- {ips: [10.0.0.8], namespace: shop, name: b}\n',
    'w.yaml',
  );
  expect([entry!.mtls, quiet!.mtls]).toEqual([{mode: 'Strict', plainPorts: new Set([9090])}, undefined]);
});

test('an empty file is an empty table', () => expect(parseWorkloads('', 'w.yaml')).toEqual([]));

describe('a bad table is refused with its place and the fix', () => {
  test.each([
    [
      'a word about mTLS that does not exist',
      '- {ips: [10.0.0.7], namespace: a, name: b, mtls: strict}',
      'w.yaml:1:50: mtls is "strict"',
      'Strict, Permissive, Off',
    ],
    [
      'a port that is none',
      '- {ips: [10.0.0.7], namespace: a, name: b, mtlsPlainPorts: [0]}',
      'w.yaml:1:60: mtlsPlainPorts is no list',
      '[9090]',
    ],
    ['no list', 'a: 1', 'w.yaml:1:1: no list', 'YAML list'],
    [
      'an unknown field',
      '- ips: [10.0.0.1]\n  namespac: a',
      'w.yaml:2:3: unknown field "namespac"',
      'Did you mean namespace?',
    ],
    ['no address', '- {namespace: a, name: b}', 'ips is missing', 'every address'],
    [
      'an address with a mask',
      '- {ips: [10.0.0.0/24], namespace: a, name: b}',
      '"10.0.0.0/24" is no IP address',
      'without a mask',
    ],
    [
      'one address for two workloads',
      '- {ips: [10.0.0.1], namespace: a, name: b}\n- {ips: [10.0.0.1], namespace: a, name: c}',
      'w.yaml:2:9: 10.0.0.1 belongs to a/b too',
      'its own',
    ],
    [
      'the same address in other letters',
      '- {ips: ["fd00::a"], namespace: a, name: b}\n- {ips: ["FD00::A"], namespace: a, name: c}',
      'fd00::a belongs to a/b too',
      'its own',
    ],
    ['no namespace', '- {ips: [10.0.0.1], name: b}', 'namespace is missing', 'namespace: NAME'],
    [
      'labels that are no texts',
      '- {ips: [10.0.0.1], namespace: a, name: b, labels: {paused: true}}',
      'labels is no mapping of texts',
      'Quote',
    ],
    [
      'trustsCa as a word',
      '- {ips: [10.0.0.1], namespace: a, name: b, trustsCa: "no"}',
      'trustsCa is neither',
      'trustsCa: true',
    ],
    ['broken YAML', '- {ips: [', 'w.yaml:', 'YAML list'],
  ])('%s', (_, text, message, fix) => {
    expect(() => parseWorkloads(text, 'w.yaml')).toThrow(
      expect.objectContaining({
        code: 'WorkloadsInvalid',
        message: expect.stringContaining(message),
        fix: expect.stringContaining(fix),
      }),
    );
  });
});
