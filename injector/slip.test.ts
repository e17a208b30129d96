import {describe, expect, test} from '@jest/globals';
import type {Mode} from './choice.ts';
import type {Container, Pod} from './pod.ts';
import {waysToSlip} from './slip.ts';

const container = (securityContext: Container['securityContext'], name = 'app'): Container => ({
  name,
  ...(securityContext === undefined ? {} : {securityContext}),
});
const pod = (containers: Container[], spec: Partial<Pod['spec']> = {}, annotations = {}): Pod => ({
  metadata: {annotations},
  spec: {containers, ...spec},
});
const exclude = {'traffic.sidecar.istio.io/excludeOutboundPorts': '443'};

describe('a pod under guard is refused', () => {
  test.each<[string, Mode, Pod, RegExp]>([
    ["with the host's network", 'tproxy', pod([], {hostNetwork: true}), /hostNetwork/],
    ['when privileged', 'tproxy', pod([container({privileged: true})]), /app is privileged/],
    ['with NET_ADMIN', 'tproxy', pod([container({capabilities: {add: ['NET_ADMIN']}})]), /adds NET_ADMIN/],
    [
      'with NET_RAW in another spelling',
      'tproxy',
      pod([container({capabilities: {add: ['cap_net_raw']}})]),
      /adds NET_RAW/,
    ],
    [
      'with a capability behind one that does no harm',
      'tproxy',
      pod([container({capabilities: {add: ['CHOWN', 'NET_ADMIN']}})]),
      /adds NET_ADMIN/,
    ],
    ['with all capabilities', 'tproxy', pod([container({capabilities: {add: ['ALL']}})]), /adds ALL/],
    [
      'by an init container',
      'tproxy',
      pod([], {initContainers: [container({privileged: true}, 'setup')]}),
      /setup is privileged/,
    ],
    [
      'by an ephemeral container',
      'tproxy',
      pod([], {ephemeralContainers: [container({privileged: true}, 'debug')]}),
      /debug is privileged/,
    ],
    ["in the mesh as Istio's user", 'mesh', pod([container({runAsUser: 1337})]), /runs as 1337/],
    [
      "in the mesh as Istio's user by the pod",
      'mesh',
      pod([container(undefined)], {securityContext: {runAsUser: 1337}}),
      /runs as 1337/,
    ],
    ["in the mesh as Istio's group", 'mesh', pod([container({runAsGroup: 1337})]), /runs as 1337/],
    [
      'in the mesh with ports taken out of it',
      'mesh',
      pod([container(undefined)], {}, exclude),
      /excludeOutboundPorts/,
    ],
  ])('%s', (_title, mode, refused, message) => {
    expect(waysToSlip(refused, mode).join('\n')).toMatch(message);
  });
});

const mounting = (path: string, type?: string): Pod =>
  pod([container(undefined)], {volumes: [{name: 'v', hostPath: {path, ...(type === undefined ? {} : {type})}}]});

describe("a door to the node is refused in a captured pod: the node's traffic is not captured", () => {
  test.each<[string, Pod, RegExp]>([
    ["the node's processes", pod([], {hostPID: true}), /hostPID is true/],
    ['all of its files', mounting('/'), /the node's \/ \(\/proc\)/],
    ['its processes as files', mounting('/proc'), /every process's network namespace/],
    ['network namespaces', mounting('/var/run/netns'), /\/var\/run\/netns \(\/var\/run\)/],
    ['the socket of the runtime', mounting('/run/containerd/containerd.sock'), /sockets of the container runtime/],
    ['a socket anywhere', mounting('/srv/agent.sock', 'Socket'), /srv\/agent\.sock, a Socket/],
    ['a device anywhere', mounting('/srv/disk', 'BlockDevice'), /a BlockDevice/],
    ['where static pods are read from', mounting('/etc/kubernetes/manifests'), /the kubelet, the network plugins/],
    ['a folder that holds such a one', mounting('/var'), /\/var \(\/var\/run\)/],
    ['network plugins', mounting('/opt/cni/bin'), /the network plugins run from there/],
    ['one of these by another spelling', mounting('//var//lib/../run/'), /\/var\/run/],
    ['a path beside a harmless one', mounting('/etc/ssl/../cron.d'), /\/etc\/cron\.d \(\/etc\)/],
  ])('%s', (_title, refused, message) => {
    expect(waysToSlip(refused, 'tproxy').join()).toMatch(message);
    expect(waysToSlip(refused, 'mesh').join()).toMatch(message);
  });

  test.each(['/mnt/disks/ssd0', '/var/log', '/data', '/etc/localtime', '/etc/ssl/certs', '/varrun', '/etcetera'])(
    '%s is none',
    (path) => expect(waysToSlip(mounting(path, 'DirectoryOrCreate'), 'tproxy')).toEqual([]),
  );
});

describe('what the node would do over its own network on the word of the pod is refused', () => {
  const volume = (source: object): Pod => pod([container(undefined)], {volumes: [{name: 'v', ...source}]});
  const having = (fields: object): Pod => pod([{name: 'app', ...fields}]);
  test.each<[string, Pod, RegExp]>([
    ['a share of a server of its choice', volume({nfs: {server: '203.0.113.9', path: '/'}}), /the volume v \(nfs\)/],
    ['a disk of such a server', volume({iscsi: {targetPortal: '203.0.113.9'}}), /the volume v \(iscsi\)/],
    ['a repository', volume({gitRepo: {repository: 'https://a.test/r'}}), /the volume v \(gitRepo\)/],
    [
      'a probe of somebody else',
      having({readinessProbe: {httpGet: {host: 'a.test', port: 80}}}),
      /app has a host in readinessProbe\.httpGet/,
    ],
    [
      'a probe of what the node keeps for itself',
      having({startupProbe: {tcpSocket: {host: '127.0.0.1', port: 10250}}}),
      /app has a host in startupProbe\.tcpSocket/,
    ],
    [
      'a hook that calls out',
      having({lifecycle: {preStop: {httpGet: {host: 'a.test', port: 80}}}}),
      /app has a host in lifecycle\.preStop\.httpGet/,
    ],
  ])('%s', (_title, refused, message) => {
    expect(waysToSlip(refused, 'tproxy').join()).toMatch(message);
    expect(waysToSlip(refused, 'mesh').join()).toMatch(message);
  });

  test.each<[string, Pod]>([
    ['a claim', volume({persistentVolumeClaim: {claimName: 'c'}})],
    ['a probe of the pod itself', having({livenessProbe: {httpGet: {host: '', port: 80}}, lifecycle: {preStop: {}}})],
  ])('%s is nothing of the kind', (_title, fine) => {
    expect(waysToSlip(fine, 'tproxy')).toEqual([]);
  });
});

test.each(['SYS_PTRACE', 'SYS_RAWIO', 'SYS_BOOT', 'DAC_READ_SEARCH', 'PERFMON', 'CAP_BPF', 'sys_admin'])(
  'the capability %s reaches the node or the kernel and is refused',
  (name) => expect(waysToSlip(pod([container({capabilities: {add: [name]}})]), 'tproxy')).toHaveLength(1),
);

test.each(['NET_BIND_SERVICE', 'CHOWN', 'SYS_CHROOT', 'SYS_TIME', 'IPC_LOCK', 'SETUID'])(
  'the capability %s reaches nobody’s packets and is allowed',
  (name) => expect(waysToSlip(pod([container({capabilities: {add: [name]}})]), 'tproxy')).toEqual([]),
);

test('an unmasked /proc is refused', () => {
  expect(waysToSlip(pod([container({procMount: 'Unmasked'})]), 'tproxy').join()).toMatch(/procMount Unmasked/);
  expect(waysToSlip(pod([container({procMount: 'Default'})]), 'tproxy')).toEqual([]);
});

test.each(['k8s.v1.cni.cncf.io/networks', 'v1.multus-cni.io/default-network'])(
  'another network by %s is refused: nobody captures it',
  (name) => expect(waysToSlip(pod([], {}, {[name]: 'fast'}), 'tproxy').join()).toMatch(/traffic nobody captures/),
);

describe('an annotation that takes traffic out of the mesh is refused', () => {
  const ISTIO = 'traffic.sidecar.istio.io/';
  test.each<[string, string]>([
    [`${ISTIO}excludeOutboundIPRanges`, '0.0.0.0/0'],
    [`${ISTIO}excludeOutboundPorts`, '443'],
    [`${ISTIO}excludeInterfaces`, 'eth0'],
    [`${ISTIO}excludeSomethingNew`, 'x'],
    [`${ISTIO}includeOutboundIPRanges`, '10.0.0.0/8'],
    [`${ISTIO}includeOutboundIPRanges`, ''],
    [`${ISTIO}kubevirtInterfaces`, 'net1'],
    ['istio.io/reroute-virtual-interfaces', 'net1'],
    ['sidecar.istio.io/interceptionMode', 'NONE'],
  ])('%s: %s', (name, value) => {
    expect(waysToSlip(pod([], {}, {[name]: value}), 'mesh').join()).toContain(`the annotation ${name}: `);
  });

  test.each<[string, string]>([
    [`${ISTIO}excludeInboundPorts`, '8080'],
    [`${ISTIO}excludeOutboundPorts`, ''],
    [`${ISTIO}includeOutboundIPRanges`, '*'],
    [`${ISTIO}includeOutboundPorts`, '443'],
    [`${ISTIO}includeInboundPorts`, '*'],
    ['sidecar.istio.io/interceptionMode', 'TPROXY'],
    ['sidecar.istio.io/logLevel', 'debug'],
  ])('%s: %s takes none out', (name, value) => {
    expect(waysToSlip(pod([], {}, {[name]: value}), 'mesh')).toEqual([]);
  });
});

test("an author's container that takes the name of one of Istio's gets no more than Istio's would", () => {
  const dressed = pod([container({privileged: true, capabilities: {add: ['SYS_ADMIN', 'NET_ADMIN']}}, 'istio-proxy')]);
  expect(waysToSlip(dressed, 'mesh')).toEqual([
    expect.stringContaining('istio-proxy is privileged'),
    expect.stringContaining('istio-proxy adds SYS_ADMIN'),
  ]);
});

test("Istio's own containers are what they are in the mesh", () => {
  const istio = pod([container({runAsUser: 1337}, 'istio-proxy')], {
    initContainers: [container({capabilities: {add: ['NET_ADMIN', 'NET_RAW']}}, 'istio-init')],
  });
  expect(waysToSlip(istio, 'mesh')).toEqual([]);
});

test('a pod that is only told of a proxy is not under guard', () => {
  expect(waysToSlip(pod([container({privileged: true})], {hostNetwork: true}), 'proxy-env')).toEqual([]);
});

test('each way is named, not only the first', () => {
  const many = pod([container({privileged: true, capabilities: {add: ['BPF']}})], {hostNetwork: true});
  expect(waysToSlip(many, 'tproxy')).toHaveLength(3);
});
