/** etcd, the API server, its controllers and the scheduler: inside the machine, on the node's address. */
import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {programPath, type Program} from '../../cluster/binaries.ts';
import {makeAuthority, makeCertificate, makeSigningKey} from '../../cluster/certificates.ts';
import {NODE, PODS_CIDR, PORTS, SERVICES} from './addresses.ts';
import type {Machine} from './machine.ts';

export interface Identity {
  readonly user: string;
  readonly groups: readonly string[];
}

/** Who the parts of a cluster are, by the names that Kubernetes' own RBAC rules use. */
const IDENTITIES: Readonly<Record<string, Identity>> = {
  admin: {user: 'admin', groups: ['system:masters']},
  'controller-manager': {user: 'system:kube-controller-manager', groups: []},
  scheduler: {user: 'system:kube-scheduler', groups: []},
  proxy: {user: 'system:kube-proxy', groups: []},
  kubelet: {user: `system:node:${NODE.name}`, groups: ['system:nodes']},
};

export const pkiOf = (machine: Machine): string => join(machine.dir, 'pki');
export const kubeconfigOf = (machine: Machine, name: keyof typeof IDENTITIES): string =>
  join(machine.dir, `${name}.kubeconfig`);

/** Certificates and kubeconfigs of everybody. */
export function makePki(machine: Machine): void {
  const pki = pkiOf(machine);
  mkdirSync(pki, {mode: 0o700});
  makeAuthority(pki);
  const names = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'];
  makeCertificate(pki, 'apiserver', '/CN=kube-apiserver', [
    ...['127.0.0.1', NODE.ip, SERVICES.api].map((ip) => `IP:${ip}`),
    ...['localhost', ...names].map((name) => `DNS:${name}`),
  ]);
  makeCertificate(pki, 'kubelet-client', '/O=system:masters/CN=apiserver-kubelet-client');
  makeCertificate(pki, 'front-proxy', '/CN=front-proxy-client');
  makeSigningKey(pki, 'service-accounts');
  for (const [name, {user, groups}] of Object.entries(IDENTITIES)) {
    const sans = name === 'kubelet' ? [`DNS:${NODE.name}`, `IP:${NODE.ip}`, 'IP:127.0.0.1'] : [];
    makeCertificate(pki, name, `${groups.map((group) => `/O=${group}`).join('')}/CN=${user}`, sans);
    writeFileSync(kubeconfigOf(machine, name), kubeconfig(pki, name), {mode: 0o600});
  }
}

function kubeconfig(pki: string, name: string): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {name: 'e2e', cluster: {server: `https://127.0.0.1:${PORTS.api}`, 'certificate-authority': join(pki, 'ca.crt')}},
    ],
    users: [{name, user: {'client-certificate': join(pki, `${name}.crt`), 'client-key': join(pki, `${name}.key`)}}],
    contexts: [{name: 'e2e', context: {cluster: 'e2e', user: name}}],
    'current-context': 'e2e',
  });
}

export function startEtcd(machine: Machine): void {
  const [client, peer] = [`http://127.0.0.1:${PORTS.etcd}`, `http://127.0.0.1:${PORTS.etcdPeer}`];
  machine.daemon('etcd', [
    ...[programOf('etcd'), '--name', 'one', '--data-dir', join(machine.dir, 'etcd'), '--unsafe-no-fsync'],
    ...['--log-level', 'warn', '--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `one=${peer}`],
  ]);
}

export function startApiServer(machine: Machine): void {
  const pki = pkiOf(machine);
  machine.daemon('kube-apiserver', [
    programOf('kube-apiserver'),
    ...flags({
      'etcd-servers': `http://127.0.0.1:${PORTS.etcd}`,
      'bind-address': '0.0.0.0',
      'advertise-address': NODE.ip,
      'secure-port': String(PORTS.api),
      'service-cluster-ip-range': SERVICES.cidr,
      'tls-cert-file': join(pki, 'apiserver.crt'),
      'tls-private-key-file': join(pki, 'apiserver.key'),
      'client-ca-file': join(pki, 'ca.crt'),
      'authorization-mode': 'Node,RBAC',
      'enable-admission-plugins': 'NodeRestriction',
      'allow-privileged': 'true',
      'service-account-issuer': 'https://kubernetes.default.svc.cluster.local',
      'service-account-key-file': join(pki, 'service-accounts.key'),
      'service-account-signing-key-file': join(pki, 'service-accounts.key'),
      'kubelet-client-certificate': join(pki, 'kubelet-client.crt'),
      'kubelet-client-key': join(pki, 'kubelet-client.key'),
      'kubelet-certificate-authority': join(pki, 'ca.crt'),
      'kubelet-preferred-address-types': 'InternalIP',
      'proxy-client-cert-file': join(pki, 'front-proxy.crt'),
      'proxy-client-key-file': join(pki, 'front-proxy.key'),
      'requestheader-client-ca-file': join(pki, 'ca.crt'),
      'requestheader-allowed-names': 'front-proxy-client',
      'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
      'requestheader-group-headers': 'X-Remote-Group',
      'requestheader-username-headers': 'X-Remote-User',
      profiling: 'false',
    }),
  ]);
}

export function startControllers(machine: Machine): void {
  const pki = pkiOf(machine);
  const as = (name: string): Record<string, string> => {
    const file = kubeconfigOf(machine, name);
    return {kubeconfig: file, 'authentication-kubeconfig': file, 'authorization-kubeconfig': file};
  };
  machine.daemon('kube-controller-manager', [
    programOf('kube-controller-manager'),
    ...flags({
      ...as('controller-manager'),
      'bind-address': '127.0.0.1',
      'leader-elect': 'false',
      'use-service-account-credentials': 'true',
      'root-ca-file': join(pki, 'ca.crt'),
      'service-account-private-key-file': join(pki, 'service-accounts.key'),
      'cluster-signing-cert-file': join(pki, 'ca.crt'),
      'cluster-signing-key-file': join(pki, 'ca.key'),
      'allocate-node-cidrs': 'true',
      'cluster-cidr': PODS_CIDR,
      'node-cidr-mask-size': '24',
      'service-cluster-ip-range': SERVICES.cidr,
    }),
  ]);
  machine.daemon('kube-scheduler', [
    programOf('kube-scheduler'),
    ...flags({...as('scheduler'), 'bind-address': '127.0.0.1', 'leader-elect': 'false'}),
  ]);
}

const flags = (values: Readonly<Record<string, string>>): string[] =>
  Object.entries(values).map(([flag, value]) => `--${flag}=${value}`);

export function programOf(name: Program): string {
  const path = programPath(name);
  if (path === null) throw new Error(`${name} is not built: node cli/setup.mjs e2e`);
  return path;
}
