/** A kubeconfig with a service account's token as the kubelet mounts it: bound to a pod, and so to the pod's node. */
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {parse, stringify} from 'yaml';
import type {ControlPlane} from './control-plane.ts';

export interface BoundToken {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Both are made where they are not there; null: the token is bound to nothing, as of `kubectl create token`. */
  readonly pod: {readonly name: string; readonly node: string} | null;
}

/** Makes the namespace, the account, the node and the pod too; throws with kubectl's words where one is refused. */
export function kubeconfigOfToken(cluster: ControlPlane, {namespace, serviceAccount, pod}: BoundToken): string {
  const ensure = (object: object): void => {
    const {status, stderr} = cluster.kubectl(['create', '-f', '-'], JSON.stringify(object));
    if (status !== 0 && !stderr.includes('AlreadyExists')) throw new Error(stderr);
  };
  ensure({apiVersion: 'v1', kind: 'Namespace', metadata: {name: namespace}});
  ensure({apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: serviceAccount, namespace}});
  const argv = ['create', 'token', serviceAccount, '-n', namespace];
  if (pod !== null) {
    ensure({apiVersion: 'v1', kind: 'Node', metadata: {name: pod.node}});
    ensure({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {name: pod.name, namespace},
      spec: {
        ...{serviceAccountName: serviceAccount, automountServiceAccountToken: false, nodeName: pod.node},
        containers: [{name: 'agent', image: 'example/agent'}],
      },
    });
    const uid = cluster.kubectl(['get', 'pod', '-n', namespace, pod.name, '-o', 'jsonpath={.metadata.uid}']).stdout;
    argv.push('--bound-object-kind=Pod', `--bound-object-name=${pod.name}`, `--bound-object-uid=${uid}`);
  }
  const token = cluster.kubectl(argv);
  if (token.status !== 0) throw new Error(token.stderr);
  const value = parse(readFileSync(cluster.kubeconfig, 'utf8')) as {contexts: {context: object}[]};
  const file = join(cluster.dir, `token-${namespace}-${serviceAccount}-${pod?.name ?? 'unbound'}.kubeconfig`);
  const contexts = [{name: 'lab', context: {...value.contexts[0]!.context, user: 'token', namespace}}];
  const users = [{name: 'token', user: {token: token.stdout.trim()}}];
  writeFileSync(file, stringify({...value, users, contexts}), {mode: 0o600});
  return file;
}
