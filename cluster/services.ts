/** Where Services lead, as the API server has it: their own addresses, and what behind them takes connections. */
import type {
  KubeConfig,
  KubernetesObject,
  V1EndpointConditions,
  V1EndpointSlice,
  V1Service,
} from '@kubernetes/client-node';
import {canonicalAddress, type Address} from '../policy/index.ts';
import type {ServiceAddresses} from '../sources/service-table.ts';
import {startReflector} from './reflector.ts';

export interface ServicesOptions {
  readonly config: KubeConfig;
  readonly onChange: () => void;
  readonly onTrouble: (message: string, retryMs: number, kind: string) => void;
  readonly onWell?: (kind: string) => void;
}

export interface Services {
  /** As of now; null: not known as a whole yet. */
  list(): ServiceAddresses[] | null;
  stop(): void;
}

/** Starts at once. While the API server is away the last ones stay. */
export function watchServices({config, onChange, onTrouble, onWell}: ServicesOptions): Services {
  const watching = {config, onChange, onSynced: onChange, onTrouble, onWell};
  const services = startReflector({
    ...watching,
    resource: {apiVersion: 'v1', kind: 'Service', path: '/api/v1/services'},
    keep: keptService,
  });
  const slices = startReflector({
    ...watching,
    resource: {
      ...{apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice'},
      path: '/apis/discovery.k8s.io/v1/endpointslices',
    },
    keep: keptSlice,
  });
  return {
    list: () => (services.synced() && slices.synced() ? serviceAddresses(services.store, slices.store) : null),
    stop() {
      services.stop();
      slices.stop();
    },
  };
}

export interface KeptService {
  readonly ips: readonly Address[];
  /** TCP ports by name, '' where it has none. */
  readonly ports: ReadonlyMap<string, number>;
}
export interface KeptSlice {
  /** `NAMESPACE/NAME` of its Service. */
  readonly service: string;
  readonly ready: readonly Address[];
  /** Of pods that end, and still take connections. */
  readonly ending: readonly Address[];
  readonly ports: ReadonlyMap<string, number>;
}

/** In the watch's JSON an empty list of a slice is null. */
type NullableLists = Omit<V1EndpointSlice, 'endpoints' | 'ports'> & {
  readonly endpoints?: V1EndpointSlice['endpoints'] | null;
  readonly ports?: V1EndpointSlice['ports'] | null;
};

const isTcp = ({protocol = 'TCP'}: {protocol?: string}): boolean => protocol === 'TCP';

/** null: it has no address of its own (headless), or is a name elsewhere. */
export function keptService(object: KubernetesObject): KeptService | null {
  const {spec} = object as V1Service;
  const ips = (spec?.clusterIPs ?? []).flatMap((ip) => canonicalAddress(ip) ?? []);
  if (ips.length === 0 || spec?.type === 'ExternalName') return null;
  return {ips, ports: new Map((spec?.ports ?? []).filter(isTcp).map(({name = '', port}) => [name, port]))};
}

/** null: of no Service, or of names. */
export function keptSlice(object: KubernetesObject): KeptSlice | null {
  const {metadata, addressType, endpoints, ports} = object as NullableLists;
  const name = metadata?.labels?.['kubernetes.io/service-name'];
  if (name === undefined || metadata?.namespace === undefined || addressType === 'FQDN') return null;
  const addressesOf = (takes: (conditions: V1EndpointConditions) => boolean): Address[] =>
    (endpoints ?? [])
      .filter(({conditions}) => takes(conditions ?? {}))
      .flatMap(({addresses}) => addresses.flatMap((ip) => canonicalAddress(ip) ?? []));
  return {
    service: `${metadata.namespace}/${name}`,
    ready: addressesOf(({ready}) => ready !== false),
    ending: addressesOf(({ready, serving, terminating}) => ready === false && serving === true && terminating === true),
    ports: new Map(
      (ports ?? [])
        .filter(isTcp)
        .flatMap(({name: portName = '', port}) => (port === undefined ? [] : [[portName, port] as const])),
    ),
  };
}

/** What is ready; of a Service with nothing ready what still takes connections, as kube-proxy does it (KEP-1669). */
export function serviceAddresses(
  services: ReadonlyMap<string, KeptService>,
  slices: ReadonlyMap<string, KeptSlice>,
): ServiceAddresses[] {
  const bySlices = Map.groupBy(slices.values(), ({service}) => service);
  return [...services].map(([name, {ips, ports}]) => {
    const own = bySlices.get(name) ?? [];
    const anyReady = own.some(({ready}) => ready.length > 0);
    return {
      ...{name, ips},
      groups: own.map(({ready, ending}) => (anyReady ? ready : ending)),
      ports: [...ports].map(([portName, port]) => {
        const to = own.flatMap((slice, group) => {
          const at = slice.ports.get(portName);
          return at === undefined ? [] : [[group, at] as const];
        });
        return [port, to] as const;
      }),
    };
  });
}
