import {describe, expect, test} from '@jest/globals';
import {extauthzSettings, parsePlace} from './settings.ts';

const settings = (...argv: string[]) => extauthzSettings(['--policy', 'p', ...argv], {}, false);

test('what is not said has its default, and fails closed', () => {
  const config = settings();
  expect(config).toMatchObject({
    source: {kind: 'files', policyPaths: ['p'], workloadsFile: null},
    filtersDir: null,
    listen: {kind: 'tcp', ip: '127.0.0.1', port: 9000},
    admin: {ip: '127.0.0.1', port: 15084},
    tls: null,
    hops: [],
    dials: 'address',
    sds: null,
    workers: 1,
    resolver: null,
    logFormat: 'json',
    drainDeadlineMs: 5_000,
    installation: {defaultAction: 'Deny', clusterDomain: 'cluster.local'},
  });
  // No request leads to a port of ours.
  expect(config.installation.ownPorts).toEqual(expect.arrayContaining([9000, 15080, 15081, 15084]));
});

test('without client certificates only this machine may ask, unless --listen says otherwise', () => {
  const tls = ['--tls-cert', 'c', '--tls-key', 'k'];
  expect(settings(...tls).listen).toMatchObject({ip: '127.0.0.1'});
  expect(settings(...tls, '--client-ca', 'r').listen).toMatchObject({ip: null});
  expect(settings('--listen', '*:9000').listen).toMatchObject({ip: null});
});

test('a listening port of our own choice is one of ours', () => {
  expect(settings('--listen', '*:9443', '--sds', '127.0.0.1:9444').installation.ownPorts).toEqual(
    expect.arrayContaining([9443, 9444]),
  );
});

test('secrets are for those who are named, from keys in a folder', () => {
  expect(settings('--sds', 'unix:/run/x.sock', '--ca-dir', 'ca', '--sds-peer', 'a,b').sds).toEqual({
    place: {kind: 'unix', path: '/run/x.sock'},
    text: 'unix:/run/x.sock',
    nodeName: null,
    peers: ['a', 'b'],
    caDir: 'ca',
  });
});

test('several processes are one a core where that is said', () => {
  expect(settings('--workers', 'auto').workers).toBeGreaterThanOrEqual(1);
  expect(settings('--workers', '3').workers).toBe(3);
});

describe('a place', () => {
  test.each([
    ['unix:/run/sallyport/x.sock', {kind: 'unix', path: '/run/sallyport/x.sock'}],
    ['127.0.0.1:9000', {kind: 'tcp', ip: '127.0.0.1', port: 9000}],
    ['[::1]:9000', {kind: 'tcp', ip: '::1', port: 9000}],
    ['*:9000', {kind: 'tcp', ip: null, port: 9000}],
  ])('%s', (text, place) => expect(parsePlace(text, '--listen')).toEqual(place));

  test.each(['unix:', `unix:/${'x'.repeat(108)}`, '/run/x.sock', 'localhost:9000', '9000'])('%s is none', (text) =>
    expect(() => parsePlace(text, '--listen')).toThrow(
      expect.objectContaining({code: 'Usage', message: expect.stringContaining('--listen')}),
    ),
  );
});

test.each([
  [['--workers', '0'], '--workers'],
  [['--workers', 'all'], '--workers'],
  [['--dials', 'Name'], 'address, name'],
  [['--tls-cert', 'c'], '--tls-key is missing'],
  [['--hop', '10.0.0.0/33'], '--hop'],
  [['--filter-timeout', '0'], '--filter-timeout'],
  [['--service-cidr', '10.0.0.0/33'], 'no CIDR'],
])('%j is refused', (argv, message) => {
  const describe = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      return (error as {describe(): string}).describe();
    }
    return 'taken';
  };
  expect(describe(() => settings(...argv))).toContain(message);
});

describe('policies and workloads come from', () => {
  const POD = {KUBERNETES_SERVICE_HOST: '10.96.0.1'};
  const source = (argv: string[], env = {}) => extauthzSettings(argv, env, false).source;
  test.each<[string, string[], NodeJS.ProcessEnv, object]>([
    ['files', ['--policy', 'p', '--workloads', 'w'], {}, {kind: 'files', policyPaths: ['p'], workloadsFile: 'w'}],
    ['files in a pod too, where they are named', ['--policy', 'p'], POD, {kind: 'files', workloadsFile: null}],
    ['a cluster', ['--kubeconfig', 'k'], {}, {kind: 'cluster', kubeconfig: 'k'}],
    ['another cluster than the pod’s', ['--kubeconfig', 'k'], POD, {kind: 'cluster', kubeconfig: 'k'}],
    ['the cluster that it is a pod of', [], POD, {kind: 'cluster', kubeconfig: null}],
  ])('%s', (_, argv, env, expected) => expect(source(argv, env)).toMatchObject(expected));

  test.each<[string, string[], NodeJS.ProcessEnv, string]>([
    ['nowhere', [], {}, 'no --policy, no --kubeconfig'],
    ['two places', ['--kubeconfig', 'k', '--policy', 'p'], {}, '--kubeconfig and --policy'],
    ['two places for workloads', ['--kubeconfig', 'k', '--workloads', 'w'], {}, '--kubeconfig and --workloads'],
    ['a table beside the pods of the cluster', ['--workloads', 'w'], POD, '--workloads without --policy'],
  ])('not from %s', (_, argv, env, message) =>
    expect(() => source(argv, env)).toThrow(
      expect.objectContaining({code: 'Usage', message: expect.stringContaining(message)}),
    ),
  );
});
