/** What the capture is told: facts of the installation, and who is captured. Plain data. */
import type {Address, Endpoint} from '../../policy/index.ts';
import type {Marks} from './marks.ts';

export interface CaptureConfig {
  /** TPROXY, or REDIRECT where the kernel has no nft_tproxy (docs/adr/0003). */
  readonly intercept: 'tproxy' | 'redirect';
  /** Where captured connections are handed to. */
  readonly capturedPort: number;
  /** Answers pod interfaces and this machine only; null: there is none. */
  readonly explicitPort: number | null;
  /** Our further ports (admin, ...): closed to captured pods on every address of the node. */
  readonly closedPorts: readonly number[];
  /** The one way out for DNS, over UDP and TCP. */
  readonly resolvers: readonly Endpoint[];
  /** The nodes' own addresses, which Audit refuses too. This node's are found by the kernel. */
  readonly nodeCidrs: readonly string[];
  /** Prefixes beside 64:ff9b::/96 whose addresses embed IPv4; only /96 can be told apart by the kernel. */
  readonly nat64Prefixes: readonly string[];
  /**
   * Names of pod interfaces, `cali*` for all that begin so. They may use the explicit port, and packets from them whose
   * interface and address are no member's are dropped: a pod gets nothing out before it is known. Empty: off.
   */
  readonly podInterfaces: readonly string[];
  /**
   * The same for addresses: what comes from one of the node's pod addresses (Capture.podCidrs) and is no member's is dropped,
   * whatever interface it comes by.
   */
  readonly lockPodAddresses: boolean;
  /** Where pods with a sidecar may go over TCP, by themselves: mesh peers, istiod, extauthz, gateways. */
  readonly meshDestinations: readonly Reach[];
  readonly marks: Marks;
  /** The routing table of `local default dev lo`. */
  readonly routeTable: number;
  /** The ip rule's place: before those of the CNI. */
  readonly rulePriority: number;
}

/** Addresses, and the one port there; null: all of them. */
export interface Reach {
  readonly cidr: string;
  readonly port: number | null;
}

/**
 * How a pod is held. `locked`: what is not handed to us is refused. `captured`: only Audit policies select it, so what
 * is not handed to us is counted and passes. `sidecar`: nothing is handed to us, its sidecar reaches the mesh's destinations and
 * the rest is refused. `free`: known and not ours; matters only with podInterfaces or lockPodAddresses.
 */
export type Hold = 'locked' | 'captured' | 'sidecar' | 'free';

/** Whether nothing leaves the pod but what a rule lets out. */
export const isShut = (mode: Hold): boolean => mode === 'locked' || mode === 'sidecar';

/** One address of a pod, as the supervisor knows it. */
export interface Member {
  readonly ip: Address;
  /** The pod's interface on the node (its veth, also where that is a bridge's port); null: the one its route names. */
  readonly interface: string | null;
  readonly mode: Hold;
  /** Told apart from the address's former owner by this; the same for all addresses of one pod. */
  readonly uid: string;
}

/** A member and its place. */
export interface PlacedMember {
  readonly ip: Address;
  readonly mode: Hold;
  readonly uid: string;
  /**
   * Where IP sees its packets arrive: the veth, or the bridge that it is a port of. null: there is no route to it yet;
   * its packets are dropped wherever they come from.
   */
  readonly interface: string | null;
  /** Its port of that bridge; null: the interface is no bridge, or which port is not known. */
  readonly port: string | null;
}

/** A bridge with members on it. */
export interface Bridge {
  readonly name: string;
  readonly mac: string;
  /** All ports there are now. */
  readonly ports: readonly string[];
}

/** Everything the ruleset is a function of. */
export interface Capture {
  readonly config: CaptureConfig;
  readonly members: readonly PlacedMember[];
  readonly bridges: readonly Bridge[];
  /** The addresses that this node gives to its pods; matters with lockPodAddresses. */
  readonly podCidrs: readonly string[];
}

/** Whether an address is IPv6, as text. */
export const isV6 = (ip: string): boolean => ip.includes(':');
