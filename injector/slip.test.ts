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
