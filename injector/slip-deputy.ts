/** What a node does over its own network on a pod's word: the node's traffic is not captured, so nothing holds it. */
import {containersOf, type Container, type Pod} from './pod.ts';

/** Every such errand, as a sentence with the fix; empty: none. */
export function nodeErrands(pod: Pod): string[] {
  return [
    ...(pod.spec.volumes ?? []).flatMap((volume) =>
      REMOTE.filter((kind) => (volume[kind] ?? null) !== null).map(
        (kind) =>
          `the volume ${volume.name} (${kind}) is on a server that the pod names, and what is written there leaves by the node, whom nobody captures. Use a PersistentVolumeClaim, whose server the cluster's administrators name.`,
      ),
    ),
    ...containersOf(pod).flatMap(foreignProbes),
  ];
}

/** Volumes whose server stands in the pod (Kubernetes API, Volume); the restricted Pod Security Standard has none of them either. */
const REMOTE = [
  'nfs',
  'iscsi',
  'cephfs',
  'rbd',
  'glusterfs',
  'quobyte',
  'scaleIO',
  'azureFile',
  'gitRepo',
  'flexVolume',
] as const;

const PROBES = ['livenessProbe', 'readinessProbe', 'startupProbe'] as const;
const HOOKS = ['postStart', 'preStop'] as const;
const ACTIONS = ['httpGet', 'tcpSocket'] as const;

/** The kubelet asks whom they name, and tells the pod's author what came of it (Pod Security Standards, host probes and hooks). */
function foreignProbes(container: Container): string[] {
  const lifecycle = fieldOf(container, 'lifecycle');
  const handlers = [
    ...PROBES.map((name) => [name, fieldOf(container, name)] as const),
    ...HOOKS.map((name) => [`lifecycle.${name}`, fieldOf(lifecycle, name)] as const),
  ];
  return handlers.flatMap(([name, handler]) =>
    ACTIONS.filter((action) => (fieldOf(fieldOf(handler, action), 'host') ?? '') !== '').map(
      (action) =>
        `container ${container.name} has a host in ${name}.${action}: the node would speak to it for the pod. Leave host out: the pod itself is asked.`,
    ),
  );
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
