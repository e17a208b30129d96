/** A kubeconfig of a service account, by a token as the kubelet would mount it. */
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {parse, stringify} from 'yaml';
import type {ControlPlane} from '../cluster/control-plane.ts';
import {NAMESPACE} from './helm.ts';

interface Kubeconfig {
  users: {name: string; user: object}[];
}

/** `node`: whom the token is bound to, as that of a pod on it is. The file goes with the control plane. */
export function kubeconfigOfAccount(cluster: ControlPlane, account: string, node?: string): string {
  const bound = node === undefined ? [] : ['--bound-object-kind', 'Node', '--bound-object-name', node];
  const {status, stdout, stderr} = cluster.kubectl(['create', 'token', account, '-n', NAMESPACE, ...bound]);
  if (status !== 0) throw new Error(stderr);
  const config = parse(readFileSync(cluster.kubeconfig, 'utf8')) as Kubeconfig;
  const file = join(cluster.dir, `${account}-${node ?? 'pod'}.kubeconfig`);
  const users = config.users.map(({name}) => ({name, user: {token: stdout.trim()}}));
  writeFileSync(file, stringify({...config, users}), {mode: 0o600});
  return file;
}
