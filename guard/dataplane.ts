/** Which CNI a pod's routes look like: a hint in a message, nothing is decided by it. Pure. */
import type {Surroundings} from './surroundings.ts';

/** Calico answers ARP for this gateway with ee:ee:ee:ee:ee:ee (its documented default). */
const CALICO_MAC = 'ee:ee:ee:ee:ee:ee';
const LINK_LOCAL_GATEWAY = '169.254.1.1';

/** `arp` is the text of /proc/net/arp. null: like many. */
export function dataplaneOf({addresses, gateways}: Surroundings, arp: string): string | null {
  const gateway = gateways.find(({ip}) => !ip.includes(':'));
  if (gateway === undefined) return null;
  if (gateway.ip === LINK_LOCAL_GATEWAY)
    return arp.toLowerCase().includes(CALICO_MAC) ? 'Calico' : 'Calico or the AWS VPC CNI';
  // Cilium gives a pod one address without a subnet, and a gateway that is an address of its node's pod range.
  const own = addresses.find(({family}) => family === 4);
  return own?.prefix === 32 && own.ip.split('.')[0] === gateway.ip.split('.')[0] ? 'Cilium' : null;
}
