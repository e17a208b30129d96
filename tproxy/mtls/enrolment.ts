/**
 * Who speaks mTLS: which addresses are enrolled, how strictly, and as whom each must show itself. A pure function of the workload
 * table and of the options; asked for both ends of every connection.
 */
import {cidrHolds, parseAddress, type Address, type Cidr} from '../../policy/index.ts';
import {stricter, type MtlsMode} from '../../sources/mtls-words.ts';
import type {WorkloadEntry} from '../../sources/workload-table.ts';
import {formatSpiffeId} from '../../pki/spiffe.ts';

export type {MtlsMode} from '../../sources/mtls-words.ts';

export interface Enrolled {
  readonly mode: MtlsMode;
  /**
   * Who has this address, and so whose certificate is taken from it. Empty: nobody is known to have it, and verifyPeer takes
   * nobody's (an address of a Strict CIDR that the workload table does not know).
   */
  readonly spiffeId: string;
  /** Inbound ports that are left plain, for probes and scrapes from outside the set. */
  readonly plainPorts: ReadonlySet<number>;
}

/** Addresses with a mode of their own (`--mtls-cidr CIDR=MODE`). */
export interface MtlsCidr {
  readonly cidr: Cidr;
  readonly mode: MtlsMode;
}

export interface EnrolmentOptions {
  readonly trustDomain: string;
  /** Of pods that say nothing, and whose address is in no CIDR. */
  readonly defaultMode: MtlsMode;
  /** The most specific one that holds an address counts. */
  readonly cidrs: readonly MtlsCidr[];
}

export interface Enrolment {
  /** null: not enrolled (also where it says Off), and left alone. */
  of(this: void, address: Address): Enrolled | null;
}

const NO_PORTS: ReadonlySet<number> = new Set();

/**
 * In this order: 1. what the pod, or else its namespace, says; 2. the narrowest CIDR that holds the address; 3. the default.
 * A pod with names that make no SPIFFE id is enrolled and nobody is taken for it.
 */
export function enrolment(workloads: readonly WorkloadEntry[], options: EnrolmentOptions): Enrolment {
  const known = new Map<Address, Enrolled>();
  for (const {workload, ips, mtls} of workloads) {
    const spiffeId = idOf(options.trustDomain, workload.namespace, workload.serviceAccount);
    for (const ip of ips) {
      const mode = mtls?.mode ?? cidrMode(options.cidrs, ip) ?? options.defaultMode;
      const enrolled = {mode, spiffeId, plainPorts: mtls?.plainPorts ?? NO_PORTS};
      const other = known.get(ip);
      // Two claim one address: whoever it is, it is neither for certain.
      known.set(ip, other === undefined ? enrolled : contested(other, enrolled));
    }
  }
  return {
    of(address) {
      const enrolled = known.get(address);
      if (enrolled !== undefined) return enrolled.mode === 'Off' ? null : enrolled;
      // Nobody is known there. What may be plain is; what must not be is refused, since no certificate could be right.
      return cidrMode(options.cidrs, address) === 'Strict'
        ? {mode: 'Strict', spiffeId: '', plainPorts: NO_PORTS}
        : null;
    },
  };
}

function contested(a: Enrolled, b: Enrolled): Enrolled {
  return {
    mode: stricter(a.mode, b.mode),
    spiffeId: a.spiffeId === b.spiffeId ? a.spiffeId : '',
    plainPorts: new Set([...a.plainPorts].filter((port) => b.plainPorts.has(port))),
  };
}

function idOf(trustDomain: string, namespace: string, serviceAccount: string): string {
  try {
    return formatSpiffeId({trustDomain, namespace, serviceAccount});
  } catch {
    return '';
  }
}

/** Of the narrowest that holds it; null: none does. */
export function cidrMode(cidrs: readonly MtlsCidr[], address: Address): MtlsMode | null {
  if (cidrs.length === 0) return null;
  const ip = parseAddress(address);
  if (ip === null) return null;
  let narrowest: MtlsCidr | null = null;
  for (const one of cidrs)
    if (cidrHolds(one.cidr, ip) && (narrowest === null || one.cidr.prefix > narrowest.cidr.prefix)) narrowest = one;
  return narrowest?.mode ?? null;
}
