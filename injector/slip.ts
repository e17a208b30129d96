/**
 * What a pod under guard may not have: by each of these it could leave its guard. docs/GUARD.md has the table, with what
 * was looked at and is allowed.
 */
import type {Mode} from './choice.ts';
import {containersOf, type Container, type Pod} from './pod.ts';
import {
  capturesItself,
  otherResolvers,
  POD_CAPTURE_CONTAINERS,
  RULES_NEED,
  sharedProcesses,
  waysToBeTheProxy,
} from './pod-capture.ts';
import {nodeErrands} from './slip-deputy.ts';
import {hostDoors} from './slip-host.ts';
import {ISTIO_CONTAINERS, ISTIO_NEEDS, outOfTheMesh, wearsIstiosUser} from './slip-mesh.ts';

/** Capabilities that reach the packets, the rules, the node or the kernel beneath them, with what each would be used for. */
const SLIPPING: Readonly<Record<string, string>> = {
  ALL: 'it holds all of them',
  NET_ADMIN: 'it changes routes and rules in the pod',
  NET_RAW: 'it writes packets with any source address',
  SYS_ADMIN: 'it enters other namespaces',
  SYS_PTRACE: 'it enters other processes',
  SYS_MODULE: 'it loads kernel modules',
  SYS_RAWIO: "it writes to the machine's memory and devices",
  SYS_BOOT: 'it starts another kernel',
  DAC_READ_SEARCH: "it opens the node's files by their handles (open_by_handle_at(2))",
  BPF: 'it loads programs into the kernel',
  PERFMON: 'it reads the memory of the kernel',
};

const OURS: ReadonlySet<string> = new Set([...POD_CAPTURE_CONTAINERS, 'sallyport-guard']);

/** Every way in which the pod could slip its guard, as a sentence with the fix; empty: none. */
export function waysToSlip(pod: Pod, mode: Mode): string[] {
  switch (mode) {
    case 'proxy-env':
      // Nothing holds such a pod but its own good will; lock-down is mode tproxy.
      return [];
    case 'tproxy':
      return [
        ...hostDoors(pod),
        ...nodeErrands(pod),
        ...otherNetworks(pod),
        ...(capturesItself(pod) ? [...otherResolvers(pod), ...sharedProcesses(pod)] : []),
        ...containersOf(pod).flatMap((one) => {
          if (!capturesItself(pod)) return privileges(one);
          // Ours are compared with what we write (placed.ts).
          return OURS.has(one.name)
            ? privileges(one, RULES_NEED.get(one.name))
            : [...privileges(one), ...waysToBeTheProxy(one, pod)];
        }),
      ];
    case 'mesh':
      return [
        ...hostDoors(pod),
        ...nodeErrands(pod),
        ...otherNetworks(pod),
        ...outOfTheMesh(pod),
        ...containersOf(pod).flatMap((one) =>
          ISTIO_CONTAINERS.has(one.name)
            ? privileges(one, ISTIO_NEEDS)
            : [...privileges(one), ...wearsIstiosUser(one, pod)],
        ),
      ];
  }
}

function privileges(container: Container, needed: ReadonlySet<string> = new Set()): string[] {
  const {privileged, capabilities, procMount} = container.securityContext ?? {};
  const found = (capabilities?.add ?? [])
    .map(capabilityName)
    .filter((name) => Object.hasOwn(SLIPPING, name) && !needed.has(name));
  return [
    ...(privileged === true
      ? [`container ${container.name} is privileged: it could change the node's rules. Leave privileged out.`]
      : []),
    ...(procMount === 'Unmasked'
      ? [
          `container ${container.name} has procMount Unmasked: it could write to the kernel through /proc. Leave procMount out.`,
        ]
      : []),
    ...found.map((name) => `container ${container.name} adds ${name}: ${SLIPPING[name]}. Leave it out.`),
  ];
}

/** Runtimes take `net_raw` and `CAP_NET_RAW` for NET_RAW. */
export function capabilityName(written: string): string {
  const upper = written.toUpperCase();
  return upper.startsWith('CAP_') ? upper.slice(4) : upper;
}

/** By these Multus gives a pod more interfaces, or another first one, than the cluster's network has. */
const NETWORKS = ['k8s.v1.cni.cncf.io/networks', 'v1.multus-cni.io/default-network'] as const;

function otherNetworks({metadata: {annotations = {}}}: Pod): string[] {
  return NETWORKS.filter((name) => (annotations[name] ?? '') !== '').map(
    (name) => `the annotation ${name} gives the pod an interface whose traffic nobody captures. Remove it.`,
  );
}
