/** What pods that speak mTLS by themselves are told of each other: rows, and what changed of them. Pure. */
import type {KubernetesObject, V1EndpointSlice, V1Service} from '@kubernetes/client-node';
import {canonicalAddress, type Address} from '../../../policy/index.ts';
import type {WorkloadEntry} from '../../../sources/workload-table.ts';

/** As it is written; `key` is the row's own. */
export interface PeerRow {
  readonly key: string;
  readonly ips: readonly Address[];
}
/** A pod with an address. */
export interface PodRow extends PeerRow {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Strict, Permissive, Off; absent: it says nothing. */
  readonly mtls?: string;
  readonly plainPorts?: readonly number[];
}
/** A Service with addresses of its own, which a pod cannot see behind: `ports` is [port, [[ip, port]...]]. */
export interface ServiceRow extends PeerRow {
  readonly ports: readonly (readonly [number, readonly (readonly [Address, number])[]])[];
}

export interface KeptService {
  readonly ips: readonly Address[];
  /** TCP ports by name, '' where it has none. */
  readonly ports: ReadonlyMap<string, number>;
}
export interface KeptSlice {
  /** `NAMESPACE/NAME` of its Service. */
  readonly service: string;
  readonly addresses: readonly Address[];
  readonly ports: ReadonlyMap<string, number>;
}

const isTcp = ({protocol = 'TCP'}: {protocol?: string}): boolean => protocol === 'TCP';

/** null: it has no address of its own (headless), or is a name elsewhere. */
export function keptService(object: KubernetesObject): KeptService | null {
  const {spec} = object as V1Service;
  const ips = (spec?.clusterIPs ?? []).flatMap((ip) => canonicalAddress(ip) ?? []);
  if (ips.length === 0 || spec?.type === 'ExternalName') return null;
  return {ips, ports: new Map((spec?.ports ?? []).filter(isTcp).map(({name = '', port}) => [name, port]))};
}

/** null: of no Service, or of names. Not ready ones are left out, as kube-proxy does it while others are there. */
export function keptSlice(object: KubernetesObject): KeptSlice | null {
  const {metadata, addressType, endpoints = [], ports = []} = object as V1EndpointSlice;
  const name = metadata?.labels?.['kubernetes.io/service-name'];
  if (name === undefined || metadata?.namespace === undefined || addressType === 'FQDN') return null;
  const ready = endpoints.filter(({conditions}) => conditions?.ready !== false);
  return {
    service: `${metadata.namespace}/${name}`,
    addresses: ready.flatMap(({addresses}) => addresses.flatMap((ip) => canonicalAddress(ip) ?? [])),
    ports: new Map(
      (ports as {name?: string; port?: number; protocol?: string}[])
        .filter(isTcp)
        .flatMap(({name = '', port}) => (port === undefined ? [] : [[name, port] as const])),
    ),
  };
}

/** Pods without an address are nobody's peers. */
export function podRows(entries: readonly WorkloadEntry[]): PodRow[] {
  return entries
    .filter(({ips}) => ips.length > 0)
    .map(({workload: {uid, namespace, serviceAccount}, ips, mtls}) => ({
      ...{key: `pod/${uid}`, ips, namespace, serviceAccount},
      ...(mtls === undefined || mtls.mode === null ? {} : {mtls: mtls.mode}),
      ...(mtls === undefined || mtls.plainPorts.size === 0 ? {} : {plainPorts: [...mtls.plainPorts]}),
    }));
}

export function serviceRows(
  services: ReadonlyMap<string, KeptService>,
  slices: ReadonlyMap<string, KeptSlice>,
): ServiceRow[] {
  const bySlices = Map.groupBy(slices.values(), ({service}) => service);
  return [...services].map(([key, {ips, ports}]) => ({
    ...{key: `service/${key}`, ips},
    ports: [...ports].map(([name, port]) => {
      const to = (bySlices.get(key) ?? []).flatMap((slice) => {
        const at = slice.ports.get(name);
        return at === undefined ? [] : slice.addresses.map((ip) => [ip, at] as const);
      });
      return [port, to] as const;
    }),
  }));
}

/** The texts of rows by key. */
export type RowTexts = ReadonlyMap<string, string>;
export const textsOf = (rows: readonly PeerRow[]): RowTexts =>
  new Map(rows.map((row) => [row.key, JSON.stringify(row)]));

/** One line: what is new or another, and whose rows are gone; null: nothing. */
export function changeOf(before: RowTexts, after: RowTexts): string | null {
  const put = [...after].filter(([key, text]) => before.get(key) !== text).map(([, text]) => text);
  const gone = [...before.keys()].filter((key) => !after.has(key));
  return put.length === 0 && gone.length === 0 ? null : line(false, put, gone);
}

/** One line: all of them. */
export const wholeOf = (rows: RowTexts): string => line(true, [...rows.values()], []);

const line = (whole: boolean, put: readonly string[], gone: readonly string[]): string =>
  `{"whole":${whole},"put":[${put.join(',')}],"gone":${JSON.stringify(gone)}}\n`;
