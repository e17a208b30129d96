/** Pods where sidecars ask, that have none, or by whose own settings something gets past it. Pure. */
import {parse} from 'yaml';
import type {MeshEgressDocument} from '../policy/index.ts';
import {nameOf, type Pod, type Surroundings} from './surroundings.ts';
import type {Conflict} from './verify.ts';

/** Nothing of these is the applications': a mesh for every namespace is not for them. */
const SYSTEM = ['kube-system', 'kube-public', 'kube-node-lease'];

/** By this label of a pod or its namespace the capture on the node, or our own, takes what it sends. */
const OWN_MODE = 'sallyport.dev/mode';

/** More than these are not spelled out: a Deployment has many pods, and one mistake. */
const MAX_NAMED = 3;

export function aroundSidecar(mesh: MeshEgressDocument, around: Surroundings): readonly Conflict[] {
  if (!mesh.enforcement.some(({at}) => at === 'Sidecar')) return [];
  const asked = around.pods.filter((pod) => isToAsk(mesh, pod, around));
  return [
    ...grouped(asked, (pod) =>
      pod.hasProxy
        ? []
        : [
            {
              code: 'WithoutSidecar',
              message: `${pod.hostNetwork ? "on the node's network there is no sidecar" : 'there is no sidecar'}: what leaves is asked about by nobody`,
              fix: 'Let it be injected and started again, hold it by a NetworkPolicy, or capture it on the node.',
            },
          ],
    ),
    ...grouped(asked, (pod) => (pod.hasProxy ? ways(pod) : [])),
    ...injectorValues(around.injection),
  ];
}

/** Whether a sidecar that asks is to stand beside it. */
function isToAsk(mesh: MeshEgressDocument, pod: Pod, {namespaces}: Surroundings): boolean {
  const {namespace, labels = {}} = pod.metadata;
  const apart = [...SYSTEM, mesh.istio.rootNamespace, mesh.extauthz.namespace, mesh.egressGateway.namespace];
  const captured = labels[OWN_MODE] ?? namespaces.get(namespace)?.[OWN_MODE];
  const isForAll = ({namespace: of}: MeshEgressDocument['enforcement'][number]): boolean =>
    of === null || of === mesh.istio.rootNamespace;
  return mesh.enforcement.some(
    (one) =>
      one.at === 'Sidecar' &&
      (isForAll(one) ? !apart.includes(namespace) : one.namespace === namespace) &&
      Object.entries(one.labels).every(([key, value]) => labels[key] === value) &&
      (pod.hasProxy || captured === undefined),
  );
}

interface Fault {
  readonly code: string;
  readonly message: string;
  readonly fix: string;
}

/** One finding for all pods of a namespace of which the same is to be said. */
function grouped(pods: readonly Pod[], faultsOf: (pod: Pod) => readonly Fault[]): readonly Conflict[] {
  const groups = new Map<string, {fault: Fault; pods: Pod[]}>();
  for (const pod of pods)
    for (const fault of faultsOf(pod)) {
      const key = `${pod.metadata.namespace}\n${fault.code}\n${fault.message}`;
      const group = groups.get(key) ?? {fault, pods: []};
      group.pods.push(pod);
      groups.set(key, group);
    }
  return [...groups.values()].map(({fault, pods: [first, ...others]}) => {
    const named = others.slice(0, MAX_NAMED - 1).map(({metadata}) => metadata.name);
    const left = others.length - named.length;
    const more = named.length === 0 ? '' : `, ${named.join(', ')}${left > 0 ? ` and ${left} more` : ''}`;
    return {...fault, object: `${nameOf(first!)}${more}`};
  });
}

/** Istio's own words for what is not to come to the sidecar (istio.io: "Resource Annotations"). `harmless`: what changes nothing. */
const ANNOTATIONS: Readonly<Record<string, (value: string) => boolean>> = {
  'traffic.sidecar.istio.io/excludeOutboundPorts': isEmpty,
  'traffic.sidecar.istio.io/excludeOutboundIPRanges': isEmpty,
  'traffic.sidecar.istio.io/excludeInterfaces': isEmpty,
  'traffic.sidecar.istio.io/kubevirtInterfaces': isEmpty,
  'istio.io/reroute-virtual-interfaces': isEmpty,
  'traffic.sidecar.istio.io/includeOutboundIPRanges': (value) => value.trim() === '*',
  'sidecar.istio.io/interceptionMode': (value) => value !== 'NONE',
  'proxy.istio.io/config': (value) => !/interceptionMode["']?\s*:\s*["']?NONE/.test(value),
};

function isEmpty(value: string): boolean {
  return value.trim() === '';
}

function ways({metadata: {annotations = {}}, containers, proxyUser, proxyGroup}: Pod): readonly Fault[] {
  const code = 'AroundSidecar';
  return [
    ...Object.entries(ANNOTATIONS).flatMap(([name, isHarmless]): Fault[] => {
      const value = annotations[name];
      if (value === undefined || isHarmless(value)) return [];
      return [
        {
          code,
          message: `by its annotation ${name}: ${value} something leaves past the sidecar`,
          fix: 'Take the annotation out, and forbid it by admission.',
        },
      ];
    }),
    ...containers.flatMap(({name, user, group, mayRewire}): Fault[] => {
      const found: Fault[] = [];
      if (user === proxyUser || group === proxyGroup)
        found.push({
          code,
          message: `its container ${name} runs as ${user === proxyUser ? `user ${proxyUser}` : `group ${proxyGroup}`}, as its proxy does: what that sends is not redirected`,
          fix: 'Give it another user and group, and forbid this one by admission.',
        });
      if (mayRewire)
        found.push({
          code,
          message: `its container ${name} has NET_ADMIN or is privileged: it may take the redirection away`,
          fix: 'Take that from it (Pod Security Standard baseline or restricted).',
        });
      return found;
    }),
  ];
}

/** What the injector's own values leave out, of every pod (istiod chart: `global.proxy`). */
function injectorValues(injection: string | null): readonly Conflict[] {
  if (injection === null) return [];
  const object = "values of Istio's injector";
  let proxy: Readonly<Record<string, unknown>>;
  try {
    const values = parse(injection, {version: '1.1'}) as {global?: {proxy?: Readonly<Record<string, unknown>>}} | null;
    proxy = values?.global?.proxy ?? {};
  } catch (error) {
    const message = String((error as Error).message).split('\n')[0]!;
    return [{code: 'MeshUnreadable', object, message, fix: 'Install istiod again.'}];
  }
  const text = (key: string): string => {
    const value = proxy[key];
    return typeof value === 'string' || typeof value === 'number' ? String(value).trim() : '';
  };
  const wrong = [
    ...['excludeIPRanges', 'excludeOutboundPorts'].filter((key) => text(key) !== ''),
    ...['includeIPRanges'].filter((key) => text(key) !== '' && text(key) !== '*'),
  ];
  return wrong.map((key) => ({
    ...{code: 'AroundSidecar', object},
    message: `by global.proxy.${key}: ${text(key)} something of every pod leaves past its sidecar`,
    fix: 'Take it out of the values of the istiod chart, and start the pods again.',
  }));
}
