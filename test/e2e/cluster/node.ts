/** The node itself: containerd, kubelet, kube-proxy, and a bridge for its pods. */
import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {RESOLVER} from '../../conformance/world/world.ts';
import {NODE, PODS_CIDR, SERVICES} from './addresses.ts';
import {kubeconfigOf, pkiOf, programOf} from './control.ts';
import type {Machine} from './machine.ts';

export const containerdSocket = (machine: Machine): string => join(machine.dir, 'containerd.sock');

/** Pods' packets leave with the node's address, as on most clusters. */
export async function allowPodsOut(machine: Machine): Promise<void> {
  const rules = `table ip pods {
  chain post {
    type nat hook postrouting priority srcnat;
    ip saddr ${PODS_CIDR} ip daddr != ${PODS_CIDR} masquerade
  }
}\n`;
  const ran = await machine.run(['nft', '-f', '-'], rules);
  if (ran.status !== 0) throw new Error(`nft: ${ran.stderr}`);
}

export function startContainerd(machine: Machine): void {
  const {dir} = machine;
  const network = join(dir, 'cni/net.d');
  mkdirSync(network, {recursive: true});
  writeFileSync(
    join(network, '10-pods.conflist'),
    JSON.stringify({
      cniVersion: '1.0.0',
      name: 'pods',
      plugins: [
        {
          ...{type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq: false, hairpinMode: true},
          ipam: {
            type: 'host-local',
            dataDir: join(dir, 'cni/ipam'),
            ranges: [[{subnet: PODS_CIDR}]],
            routes: [{dst: '0.0.0.0/0'}],
          },
        },
        {type: 'portmap', capabilities: {portMappings: true}},
      ],
    }),
  );
  writeFileSync(
    join(dir, 'containerd.toml'),
    `version = 2
root = "${dir}/containerd"
state = "${dir}/containerd-state"
[grpc]
  address = "${containerdSocket(machine)}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  # This machine need not have CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${network}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`,
  );
  machine.daemon('containerd', ['containerd', '-c', join(dir, 'containerd.toml')]);
}

export function startKubelet(machine: Machine): void {
  const {dir} = machine;
  const pki = pkiOf(machine);
  for (const folder of ['kubelet', 'podlogs']) mkdirSync(join(dir, folder), {recursive: true});
  writeFileSync(join(dir, 'upstream-resolv.conf'), `nameserver ${RESOLVER}\n`);
  const config = {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: '0.0.0.0',
    authentication: {
      anonymous: {enabled: false},
      webhook: {enabled: true},
      x509: {clientCAFile: join(pki, 'ca.crt')},
    },
    authorization: {mode: 'Webhook'},
    tlsCertFile: join(pki, 'kubelet.crt'),
    tlsPrivateKeyFile: join(pki, 'kubelet.key'),
    containerRuntimeEndpoint: `unix://${containerdSocket(machine)}`,
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: machine.cgroup,
    makeIPTablesUtilChains: false,
    failSwapOn: false,
    enforceNodeAllocatable: [],
    resolvConf: join(dir, 'upstream-resolv.conf'),
    clusterDNS: [SERVICES.dns],
    clusterDomain: 'cluster.local',
    podLogsDir: join(dir, 'podlogs'),
    // How soon a changed ConfigMap is seen in a volume.
    syncFrequency: '5s',
    configMapAndSecretChangeDetectionStrategy: 'Watch',
    nodeStatusUpdateFrequency: '5s',
    // Images cannot be pulled again.
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    evictionHard: {'memory.available': '100Mi', 'nodefs.available': '1%', 'imagefs.available': '1%'},
    registerNode: true,
  };
  writeFileSync(join(dir, 'kubelet.yaml'), stringify(config));
  machine.daemon('kubelet', [
    ...[
      programOf('kubelet'),
      `--config=${join(dir, 'kubelet.yaml')}`,
      `--kubeconfig=${kubeconfigOf(machine, 'kubelet')}`,
    ],
    ...[`--hostname-override=${NODE.name}`, `--node-ip=${NODE.ip}`, `--root-dir=${join(dir, 'kubelet')}`, '--v=2'],
  ]);
}

export function startKubeProxy(machine: Machine): void {
  const config = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    clientConnection: {kubeconfig: kubeconfigOf(machine, 'proxy')},
    hostnameOverride: NODE.name,
    clusterCIDR: PODS_CIDR,
    // Zero: left as they are.
    conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s'},
  };
  writeFileSync(join(machine.dir, 'kube-proxy.yaml'), stringify(config));
  machine.daemon('kube-proxy', [programOf('kube-proxy'), `--config=${join(machine.dir, 'kube-proxy.yaml')}`, '--v=2']);
}
