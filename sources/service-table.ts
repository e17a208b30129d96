/** Where Services lead, for whoever has to know it before kube-proxy translates their addresses. Pure. */
import type {Address, Endpoint} from '../policy/index.ts';

/** A Service with addresses of its own, which a pod cannot see behind. As large as what was written, not as its ports times its endpoints. */
export interface ServiceAddresses {
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  readonly ips: readonly Address[];
  /** Addresses that take connections, in the groups in which they are known. */
  readonly groups: readonly (readonly Address[])[];
  /** Its TCP ports, each with the groups behind it by their place in `groups`, and the port there. */
  readonly ports: readonly (readonly [number, readonly (readonly [number, number])[]])[];
}

export interface ServicePlace {
  readonly namespace: string;
  readonly groups: readonly (readonly Address[])[];
  readonly ports: ReadonlyMap<number, readonly (readonly [number, number])[]>;
}

/** By a Service's address. */
export type ServiceTable = ReadonlyMap<Address, ServicePlace>;

export function serviceTable(services: Iterable<ServiceAddresses>): ServiceTable {
  const table = new Map<Address, ServicePlace>();
  for (const {name, ips, groups, ports} of services) {
    const place = {namespace: name.slice(0, name.indexOf('/')), groups, ports: new Map(ports)};
    for (const ip of ips) table.set(ip, place);
  }
  return table;
}

const isV6 = (ip: Address): boolean => ip.includes(':');

/** What is behind a Service's address and port, of its family; empty where that is none, or nothing takes connections. */
export function endpointsOf({ip, port}: Endpoint, table: ServiceTable): Endpoint[] {
  const {groups, ports} = table.get(ip) ?? NOWHERE;
  return (ports.get(port) ?? []).flatMap(([group, at]) =>
    (groups[group] ?? []).filter((address) => isV6(address) === isV6(ip)).map((address) => ({ip: address, port: at})),
  );
}

const NOWHERE: Pick<ServicePlace, 'groups' | 'ports'> = {groups: [], ports: new Map<number, never>()};
