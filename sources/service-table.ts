/** Where Services lead, for whoever has to know it before kube-proxy translates their addresses. Pure. */
import type {Address, Endpoint} from '../policy/index.ts';

/** A Service with addresses of its own, which a pod cannot see behind. */
export interface ServiceAddresses {
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  readonly ips: readonly Address[];
  /** Its TCP ports, and the endpoints behind each that are ready. */
  readonly ports: readonly (readonly [number, readonly (readonly [Address, number])[]])[];
}

/** By `serviceKey` of a Service's address and port; empty where nothing is ready. */
export type ServiceTable = ReadonlyMap<string, readonly Endpoint[]>;
export const serviceKey = ({ip, port}: Endpoint): string => `${ip} ${port}`;

const isV6 = (ip: Address): boolean => ip.includes(':');

export function serviceTable(services: Iterable<Omit<ServiceAddresses, 'name'>>): ServiceTable {
  const table = new Map<string, readonly Endpoint[]>();
  for (const {ips, ports} of services)
    for (const [port, to] of ports)
      for (const ip of ips)
        // A Service of both families has endpoints of both.
        table.set(
          serviceKey({ip, port}),
          to.filter(([address]) => isV6(address) === isV6(ip)).map(([address, at]) => ({ip: address, port: at})),
        );
  return table;
}
