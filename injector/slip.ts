/** What a pod under guard may not have: by each of these it could leave its guard. */
import type {Mode} from './choice.ts';
import {containersOf, type Container, type Pod} from './pod.ts';

/** Capabilities that reach the packets, the rules or the kernel beneath them, with what each would be used for. */
const SLIPPING: Readonly<Record<string, string>> = {
  ALL: 'it holds all of them',
  NET_ADMIN: 'it changes routes and rules in the pod',
  NET_RAW: 'it writes packets with any source address',
  SYS_ADMIN: 'it enters other namespaces',
  SYS_MODULE: 'it loads kernel modules',
  BPF: 'it loads programs into the kernel',
};

/** Istio's own: its proxy is not captured, which is what makes its UID the way around it. */
const ISTIO_UID = 1337;
const ISTIO_CONTAINERS = new Set(['istio-proxy', 'istio-init', 'istio-validation']);
const ISTIO_EXCLUDES = 'traffic.sidecar.istio.io/exclude';

/** Every way in which the pod could slip its guard, as a sentence with the fix; empty: none. */
export function waysToSlip(pod: Pod, mode: Mode): string[] {
  switch (mode) {
    case 'proxy-env':
      // Nothing holds such a pod but its own good will; lock-down is mode tproxy.
      return [];
    case 'tproxy':
      return [...hostNetwork(pod), ...containersOf(pod).flatMap(privileges)];
    case 'mesh':
      return [
        ...hostNetwork(pod),
        ...excludes(pod),
        ...containersOf(pod)
          .filter((container) => !ISTIO_CONTAINERS.has(container.name))
          .flatMap((container) => [...privileges(container), ...istioUser(container, pod)]),
      ];
  }
}

function hostNetwork(pod: Pod): string[] {
  return pod.spec.hostNetwork === true
    ? ['hostNetwork is true: the pod would be the node, whose traffic is not captured. Leave hostNetwork out.']
    : [];
}

function privileges(container: Container): string[] {
  const {privileged, capabilities} = container.securityContext ?? {};
  const found = (capabilities?.add ?? []).map(capabilityName).filter((name) => Object.hasOwn(SLIPPING, name));
  return [
    ...(privileged === true
      ? [`container ${container.name} is privileged: it could change the node's rules. Leave privileged out.`]
      : []),
    ...found.map((name) => `container ${container.name} adds ${name}: ${SLIPPING[name]}. Leave it out.`),
  ];
}

/** Runtimes take `net_raw` and `CAP_NET_RAW` for NET_RAW. */
export function capabilityName(written: string): string {
  const upper = written.toUpperCase();
  return upper.startsWith('CAP_') ? upper.slice(4) : upper;
}

function istioUser(container: Container, pod: Pod): string[] {
  const user = container.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser;
  const group = container.securityContext?.['runAsGroup'] ?? pod.spec.securityContext?.['runAsGroup'];
  return user === ISTIO_UID || group === ISTIO_UID
    ? [`container ${container.name} runs as ${ISTIO_UID}, whom Istio does not capture. Write another user and group.`]
    : [];
}

function excludes(pod: Pod): string[] {
  return Object.keys(pod.metadata.annotations ?? {})
    .filter((name) => name.startsWith(ISTIO_EXCLUDES) && name.includes('utbound'))
    .map((name) => `the annotation ${name} takes traffic out of the mesh. Remove it, or write a policy for it.`);
}
