/** EnvoyFilters, ours or others', that match nothing: Istio applies them without a word, and nothing happens. */
import {isSeenIn, nameOf, type EnvoyFilter, type Proxy, type Surroundings} from './surroundings.ts';
import type {Conflict} from './verify.ts';

/** Names that filters had until Envoy 1.22; a match by them finds nothing. */
const OLD_NAMES: Readonly<Record<string, string>> = {
  'envoy.http_connection_manager': 'envoy.filters.network.http_connection_manager',
  'envoy.tcp_proxy': 'envoy.filters.network.tcp_proxy',
  'envoy.router': 'envoy.filters.http.router',
  'envoy.cors': 'envoy.filters.http.cors',
  'envoy.fault': 'envoy.filters.http.fault',
  'envoy.ext_authz': 'envoy.filters.network.ext_authz',
  'envoy.lua': 'envoy.filters.http.lua',
};

/** Listeners that Istio makes whatever the services are. */
const OWN_LISTENERS = ['virtualOutbound', 'virtualInbound', 'connect_originate', 'connect_terminate', 'main_internal'];

/** `rootNamespace`: an EnvoyFilter there is for the proxies of every namespace. */
export function matchesNothing(rootNamespace: string, around: Surroundings): readonly Conflict[] {
  return around.envoyFilters.flatMap((filter) => {
    const object = nameOf(filter);
    const code = 'FilterMatchesNothing';
    // Of gateways and waypoints by reference it is said elsewhere whom they are for.
    if (filter.spec.targetRefs !== undefined) return [];
    const selected = proxiesOf(filter, rootNamespace, around.proxies);
    if (selected.length === 0) {
      const labels = Object.entries(filter.spec.workloadSelector?.labels ?? {});
      const wanted = labels.length === 0 ? '' : ` with ${labels.map(([key, value]) => `${key}: ${value}`).join(', ')}`;
      const where = filter.metadata.namespace === rootNamespace ? 'the mesh' : `namespace ${filter.metadata.namespace}`;
      return [
        {
          ...{code, object},
          message: `there is no proxy${wanted} in ${where}`,
          fix: 'Correct its workloadSelector, or see to it that the pods are injected.',
        },
      ];
    }
    return (filter.spec.configPatches ?? []).flatMap((patch, i): readonly Conflict[] => {
      const why = patchFault(patch.match ?? {}, filter.metadata.namespace, rootNamespace, selected, around);
      return why === null ? [] : [{...{code, object}, message: `configPatches[${i}] ${why.message}`, fix: why.fix}];
    });
  });
}

function proxiesOf({metadata, spec}: EnvoyFilter, root: string, proxies: readonly Proxy[]): readonly Proxy[] {
  const labels = Object.entries(spec.workloadSelector?.labels ?? {});
  return proxies.filter(
    (proxy) =>
      (metadata.namespace === root || proxy.metadata.namespace === metadata.namespace) &&
      labels.every(([key, value]) => proxy.metadata.labels?.[key] === value),
  );
}

type Match = NonNullable<NonNullable<EnvoyFilter['spec']['configPatches']>[number]['match']>;
interface Fault {
  readonly message: string;
  readonly fix: string;
}

function patchFault(
  {context = 'ANY', proxy, listener, cluster}: Match,
  namespace: string,
  root: string,
  selected: readonly Proxy[],
  around: Surroundings,
): Fault | null {
  const version = proxy?.proxyVersion;
  if (version !== undefined && !selected.some((one) => one.version === null || fits(version, one.version)))
    return {
      message: `is for proxies of version ${version}, and there are ${[...new Set(selected.map((one) => one.version))].join(', ')}`,
      fix: 'Correct match.proxy.proxyVersion.',
    };
  const {filter} = listener?.filterChain ?? {};
  for (const name of [filter?.name, filter?.subFilter?.name]) {
    const now = OLD_NAMES[name ?? ''];
    if (now !== undefined)
      return {message: `looks for ${name}, a name that no filter has any more`, fix: `Write ${now}.`};
  }
  if (context !== 'SIDECAR_OUTBOUND') return null;
  const {services, serviceEntries} = around;
  const seen = serviceEntries.filter((entry) => isSeenIn(entry, namespace === root ? null : [namespace]));
  const ports = [
    ...seen.flatMap(({spec}) => (spec.ports ?? []).map(({number}) => number)),
    ...services.flatMap(({spec}) => (spec.ports ?? []).map(({port}) => port)),
  ];
  const unknownPort = (port: number | undefined, where: string): Fault | null =>
    port === undefined || ports.includes(port)
      ? null
      : {message: `is for port ${port}, and no service that its pods see has it`, fix: `Correct ${where}.`};
  const hosts = [
    ...seen.flatMap(({spec}) => spec.hosts ?? []),
    // Of a cluster domain that was never said only the part before it is known.
    ...services.map(({metadata}) => `${metadata.name}.${metadata.namespace}.svc.`),
  ];
  const named = cluster?.service ?? cluster?.name?.match(/^outbound\|\d+\|[^|]*\|(.+)$/)?.[1];
  if (
    named !== undefined &&
    !hosts.some((host) => host === named || (host.endsWith('.svc.') && named.startsWith(host)))
  )
    return {message: `is for the service ${named}, and its pods see none of that name`, fix: 'Correct match.cluster.'};
  return (
    unknownPort(listener?.portNumber, 'match.listener.portNumber') ??
    unknownPort(cluster?.portNumber, 'match.cluster.portNumber') ??
    listenerFault(listener?.name, seen, around)
  );
}

/** Outbound listeners are called ADDRESS_PORT, `0.0.0.0` where HTTP is on the port. */
function listenerFault(
  name: string | undefined,
  seen: Surroundings['serviceEntries'],
  {services}: Surroundings,
): Fault | null {
  if (name === undefined || OWN_LISTENERS.includes(name)) return null;
  const at = name.lastIndexOf('_');
  const [address, port] = [name.slice(0, at), Number(name.slice(at + 1))];
  const any = address === '0.0.0.0' || address === '::';
  const there =
    seen.some(
      ({spec: {addresses = [], ports = []}}) =>
        ports.some(({number}) => number === port) &&
        (any ||
          addresses.length === 0 ||
          addresses.some((one) => one.replace(/\/\d+$/, '') === address || !isSingle(one))),
    ) ||
    services.some(
      ({spec: {clusterIPs = [], ports = []}}) =>
        ports.some((one) => one.port === port) && (any || clusterIPs.includes(address)),
    );
  return there
    ? null
    : {
        message: `is for the listener ${name}, and no service that its pods see makes it`,
        fix: 'Correct match.listener.name.',
      };
}

/** One address, and no range, whose listener is called otherwise. */
const isSingle = (address: string): boolean => !/\/\d+$/.test(address) || /\/(32|128)$/.test(address);

/** A pattern that is none, matches nothing (Istio leaves the patch out). */
function fits(pattern: string, version: string): boolean {
  try {
    const expression = new RegExp(pattern);
    // Of `1.30` the patch is not known.
    return Array.from({length: 20}, (_, patch) => `${version}.${patch}`).some((one) => expression.test(one));
  } catch {
    return false;
  }
}
