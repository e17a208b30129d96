/** Doors from a pod to its node: the node's own traffic is not captured, so whoever is on the node is out. */
import {posix} from 'node:path';
import type {Pod, Volume} from './pod.ts';

/** Every door, as a sentence with the fix; empty: none. */
export function hostDoors(pod: Pod): string[] {
  const {spec} = pod;
  return [
    ...(spec.hostNetwork === true
      ? ['hostNetwork is true: the pod would be the node, whose traffic is not captured. Leave hostNetwork out.']
      : []),
    ...(spec['hostPID'] === true
      ? [
          "hostPID is true: a process of the same user that has the node's network could be made to run the pod's code. Leave hostPID out.",
        ]
      : []),
    ...(spec.volumes ?? []).flatMap(hostPath),
  ];
}

/**
 * Folders of the node by which a pod reaches the network of others, or runs code there: namespaces and sockets (also
 * read-only: connecting to a socket is no writing), the kernel's files and devices, what the kubelet, the runtime and init
 * start from.
 */
const REACHING: readonly (readonly [path: string, why: string])[] = [
  ['/proc', "it holds every process's network namespace"],
  ['/sys', "it is the kernel's"],
  ['/dev', "it holds the node's devices"],
  ['/run', 'it holds network namespaces, and the sockets of the container runtime and of others'],
  ['/var/run', 'it is /run'],
  ['/tmp', 'programs of the node keep sockets in it'],
  ['/etc', 'the kubelet, the network plugins and init are configured there'],
  ['/opt/cni', 'the network plugins run from there'],
  ['/usr', 'programs of the node run from there'],
  ['/bin', 'programs of the node run from there'],
  ['/sbin', 'programs of the node run from there'],
  ['/lib', 'programs of the node run from there'],
  ['/lib64', 'programs of the node run from there'],
  ['/boot', 'the kernel starts from there'],
  ['/root', "it is the administrator's"],
  ['/home', "it is the administrators'"],
  ['/var/lib/kubelet', "it holds the kubelet's sockets, and other pods' volumes and tokens"],
  ['/var/lib/containerd', "it holds the containers' files"],
  ['/var/lib/containers', "it holds the containers' files"],
  ['/var/lib/docker', "it holds the containers' files"],
  ['/var/lib/cni', 'the network plugins keep what they gave to whom there'],
  ['/var/lib/sallyport', 'it is ours'],
  ['/var/spool/cron', 'the node runs what is written there'],
];

/** Inside of those, and only read by programs. */
const HARMLESS = [
  '/etc/localtime',
  '/etc/timezone',
  '/etc/ssl',
  '/etc/pki',
  '/etc/ca-certificates',
  '/usr/share/zoneinfo',
  '/usr/share/ca-certificates',
] as const;

/** What is no folder of files: sockets and devices lead out wherever they are. */
const DOORS: readonly unknown[] = ['Socket', 'CharDevice', 'BlockDevice'];

function hostPath(volume: Volume): string[] {
  const source = volume['hostPath'] as {path?: unknown; type?: unknown} | null | undefined;
  if (source === undefined || source === null) return [];
  const path = posix.normalize(`/${String(source.path)}/`).replace(/(.)\/$/, '$1');
  const named = `the volume ${volume.name} mounts the node's ${path}`;
  const fix = 'Use another kind of volume, or leave the pod uncaptured.';
  if (DOORS.includes(source.type)) return [`${named}, a ${String(source.type)}. ${fix}`];
  if (HARMLESS.some((folder) => isIn(path, folder))) return [];
  const found = REACHING.find(([folder]) => isIn(path, folder) || isIn(folder, path));
  return found === undefined ? [] : [`${named}${path === found[0] ? '' : ` (${found[0]})`}: ${found[1]}. ${fix}`];
}

const isIn = (path: string, folder: string): boolean =>
  folder === '/' || path === folder || path.startsWith(`${folder}/`);
