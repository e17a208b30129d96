import {describe, expect, test} from '@jest/globals';
import {parseListen} from '../runtime/listen.ts';
import {tproxySettings} from './settings.ts';

const settings = (...argv: string[]) => tproxySettings(['--policy', 'p', ...argv], {}, false);

test('what is not said has its default', () => {
  const config = settings();
  expect(config).toMatchObject({
    source: {kind: 'files', policyPaths: ['p'], workloadsFile: null, refsDir: null},
    nodeName: null,
    capture: 'none',
    intercept: 'tproxy',
    listen: {ip: null, port: 15080},
    explicit: {ip: '127.0.0.1', port: 15081},
    admin: {ip: '127.0.0.1', port: 15084},
    logFormat: 'json',
    logLinesPerSecond: 2_000,
    drainDeadlineMs: 25_000,
    resolver: null,
    installation: {defaultAction: 'Deny', clusterDomain: 'cluster.local'},
  });
  expect(config.installation.ownPorts).toEqual(expect.arrayContaining([15080, 15081, 15082, 15083, 15084]));
});
test('with capture the explicit port answers pods, and the text log is for terminals', () => {
  expect(settings('--capture', 'node').explicit).toEqual({ip: null, port: 15081});
  expect(tproxySettings(['--policy', 'p'], {}, true).logFormat).toBe('text');
});
test('every setting is a variable too', () => {
  expect(tproxySettings([], {SALLYPORT_POLICY: 'a,b', SALLYPORT_DEFAULT_ACTION: 'Allow'}, false)).toMatchObject({
    source: {policyPaths: ['a', 'b']},
    installation: {defaultAction: 'Allow'},
  });
});

test.each([
  ['127.0.0.1:80', {ip: '127.0.0.1', port: 80}],
  ['[::1]:80', {ip: '::1', port: 80}],
  ['*:80', {ip: null, port: 80}],
  [':80', {ip: null, port: 80}],
  ['0.0.0.0:80', {ip: null, port: 80}],
  ['[::]:80', {ip: null, port: 80}],
])('%s is an address to listen at', (text, listen) => expect(parseListen(text, '--listen')).toEqual(listen));

describe('what is wrong is said with the flag and what to write', () => {
  test.each([
    [['--listen', '10.1.2.3:x'], '--listen: "10.1.2.3:x" is no ADDR:PORT', '*:15081'],
    [['--listen', 'host:80'], '"host:80" is no ADDR:PORT', '127.0.0.1:15081'],
    [['--admin', '127.0.0.1:70000'], 'is no ADDR:PORT', ''],
    [['--workers', 'zero'], '--workers is "zero"', 'from 1 to 256'],
    [['--service-cidr', '10.0.0/8'], '--service-cidr: "10.0.0/8" is no CIDR', '10.96.0.0/12'],
    [['--capture', 'pods'], '--capture is "pods"', 'none, node'],
    [['--intercept', 'dnat'], '--intercept is "dnat"', 'tproxy, redirect'],
    [['--default-action', 'allow'], '--default-action is "allow"', 'Deny, Allow'],
    [['--resolver', 'dns.test'], '--resolver: "dns.test"', ''],
    [['--drain-deadline', '-1'], '--drain-deadline is "-1"', 'from 0 to 3600'],
  ])('%j', (argv, message, fix) => {
    // `--flag=value`, since a value that begins with a dash is no value otherwise.
    const [flag, value] = argv as [string, string];
    expect(() => settings(`${flag}=${value}`)).toThrow(
      expect.objectContaining({
        code: 'Usage',
        message: expect.stringContaining(message),
        fix: expect.stringContaining(fix),
      }),
    );
  });
  const IN_A_POD = {KUBERNETES_SERVICE_HOST: '10.96.0.1'};
  test.each<[string, string[], NodeJS.ProcessEnv, string]>([
    ['neither files nor a cluster', [], {}, 'no --policy, no --kubeconfig, and this is no pod'],
    ['a cluster without the node', ['--kubeconfig', 'k'], {}, 'no --node-name'],
    ['a pod without the node', [], IN_A_POD, 'no --node-name'],
    ['a node beside files', ['--policy', 'p', '--node-name', 'n'], {}, '--node-name with --policy'],
    ['a folder of refs beside a cluster', ['--refs', 'r', '--node-name', 'n'], IN_A_POD, '--refs without --policy'],
  ])('%s', (_, argv, env, message) => {
    expect(() => tproxySettings(argv, env, false)).toThrow(
      expect.objectContaining({code: 'Usage', message: expect.stringContaining(message)}),
    );
  });
});

test('in a cluster the node is named, by a flag or by the variable that the pod has of its spec', () => {
  const source = {kind: 'cluster', kubeconfig: 'k'};
  expect(tproxySettings(['--kubeconfig', 'k', '--node-name', 'n'], {}, false)).toMatchObject({source, nodeName: 'n'});
  const env = {SALLYPORT_NODE_NAME: 'm', KUBERNETES_SERVICE_HOST: '10.96.0.1'};
  const inPod = {source: {kind: 'cluster', kubeconfig: null}, nodeName: 'm'};
  expect(tproxySettings([], env, false)).toMatchObject(inPod);
});

describe('who is captured in a cluster', () => {
  const inCluster = (...argv: string[]) =>
    tproxySettings(['--kubeconfig', 'k', '--node-name', 'n', ...argv], {}, false);
  test('whoever a policy selects, but in what a cluster needs to come up', () => {
    expect(inCluster()).toMatchObject({
      ...{posture: 'selected', exemptNamespaces: ['kube-system', 'kube-node-lease', 'sallyport']},
      ...{podInterfaces: [], meshDestinations: [], stateDir: 'sallyport-state'},
      cniResultsDir: '/var/lib/cni/results',
    });
  });
  test('namespaces that are named replace these', () => {
    expect(inCluster('--exempt-namespace', 'kube-system,mine').exemptNamespaces).toEqual(['kube-system', 'mine']);
  });
  test('with the posture all, sidecars reach the cluster’s own addresses, or what is named instead', () => {
    const all = ['--posture', 'all', '--pod-cidr', '10.244.0.0/16', '--service-cidr', '10.96.0.0/12'];
    const anywhere = ['10.244.0.0/16', '10.96.0.0/12'].map((cidr) => ({cidr, port: null}));
    expect(inCluster(...all).meshDestinations).toEqual(anywhere);
    const named = inCluster(...all, '--mesh-destination', '10.244.3.0/24:15012').meshDestinations;
    expect(named).toEqual([{cidr: '10.244.3.0/24', port: 15012}]);
  });
  test.each<[string, string[], string]>([
    ['a posture that does not exist', ['--posture', 'some'], 'annotated, selected, all'],
    ['interfaces of pods without the posture that locks them', ['--pod-interface', 'cali*'], '--posture all'],
    ['the mesh without the posture that holds its pods', ['--mesh-destination', '10.0.0.0/8'], '--posture all'],
    ['an interface that is none', ['--posture', 'all', '--pod-interface', 'a b'], 'ip link'],
  ])('%s is refused', (_title, argv, fix) => {
    expect(() => inCluster(...argv)).toThrow(expect.objectContaining({fix: expect.stringContaining(fix)}));
  });
  test.each(['posture', 'exempt-namespace', 'pod-interface', 'mesh-destination', 'state-dir'])(
    '--%s is not for files',
    (flag) => {
      expect(() => settings(`--${flag}`, 'all')).toThrow(
        expect.objectContaining({message: expect.stringContaining(`--${flag} with --policy`)}),
      );
    },
  );
});
