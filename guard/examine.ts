/**
 * One examination of the pod's way out, in this order, the first finding ends it:
 *
 * 1. there is one interface with the pod's addresses, and no other
 * 2. for each family with a route: the proof, on the named port and on one that nobody names
 * 3. where the pod is locked: UDP and ICMP to the proof's address, to the gateways and to the node are refused by the lock;
 *    TCP to the gateways and the node is taken; nobody next door answers
 */
import type {SecureContext} from 'node:tls';
import type {CaptureProof} from '../runtime/capture-proof.ts';
import {PROOF} from '../runtime/names.ts';
import {askForProof, reach} from './dial.ts';
import type {Finding} from './findings.ts';
import {probe, type Fate, type Probe} from './probe.ts';
import type {Place} from './sockets.ts';
import {nextTo, type OwnAddress, type Surroundings} from './surroundings.ts';

export interface Examined {
  readonly context: SecureContext;
  /** From the downward API. */
  readonly podUid: string;
  /** status.podIPs; empty: not said. */
  readonly podIps: readonly string[];
  /** status.hostIPs; empty: not said. */
  readonly nodeIps: readonly string[];
}

/** What asks the network. */
export interface Means {
  readonly askForProof: typeof askForProof;
  readonly probe: typeof probe;
  readonly reach: typeof reach;
}
const REAL: Means = {askForProof, probe, reach};

export interface Passed {
  readonly proofs: readonly CaptureProof[];
  /** What was looked at, for the log. */
  readonly families: readonly (4 | 6)[];
  /** What could not be tried here, and is therefore not known. */
  readonly untried: readonly string[];
}

export type Examination = {readonly passed: Passed} | {readonly finding: Finding};

/** From connect to the end of the answer: a turn of the worker's line and a mint on a busy node. */
const ANSWER_MS = 2_000;
/** The lock answers in microseconds; six answers a destination are free, then the kernel holds back to one a second. */
const REFUSAL_MS = 2_500;
/** A neighbour on a bridge that nobody guards answers within a few milliseconds, ARP included; most have none. */
const NEIGHBOUR_MS = 300;
/** TCP that is captured is taken at once. */
const REACH_MS = 1_000;

/** RFC 863: where something listens at all on a node, it is not there. */
const DISCARD = 9;
/** tcpmux (RFC 1078): nobody listens. */
const NOBODYS_PORT = 1;

export async function examine(examined: Examined, around: Surroundings, means = REAL): Promise<Examination> {
  const {addresses} = around;
  if (addresses.length === 0) return {finding: {kind: 'no-address'}};
  const second = secondInterface(examined, addresses);
  if (second !== null) return {finding: second};
  const proofs: CaptureProof[] = [];
  const families: (4 | 6)[] = [];
  const untried: string[] = [];
  for (const family of [4, 6] as const) {
    const own = addresses.find((address) => address.family === family);
    if (own === undefined) continue;
    const proved = await prove(means, examined, own);
    if ('finding' in proved) return proved;
    if (proved.proof === null) continue;
    families.push(family);
    proofs.push(proved.proof);
    if (proved.proof.hold === 'captured') continue;
    const finding = await closed(means, examined, own, around, untried);
    if (finding !== null) return {finding};
  }
  if (families.length === 0) return {finding: {kind: 'no-family'}};
  return {passed: {proofs, families, untried}};
}

/** Multus and the like: another interface's packets do not come from the pod's place, and are nobody's to capture. */
function secondInterface({podIps}: Examined, addresses: readonly OwnAddress[]): Finding | null {
  const own = addresses.find(({ip}) => podIps.includes(ip)) ?? addresses[0]!;
  const other = addresses.find((address) => address.interface !== own.interface);
  return other === undefined ? null : {kind: 'second-interface', name: other.interface, ip: other.ip};
}

/** null: this family has no route, so that nothing leaves by it. */
async function prove(
  means: Means,
  {context, podUid}: Examined,
  own: OwnAddress,
): Promise<{readonly proof: CaptureProof | null} | {readonly finding: Finding}> {
  const ip = proofAddress(own.family);
  let proof: CaptureProof | null = null;
  for (const port of [PROOF.port, 1024 + Math.floor(Math.random() * 64512)]) {
    const at = `${own.family === 6 ? `[${ip}]` : ip}:${port}`;
    const answer = await means.askForProof({ip, port, from: own.ip, context, timeoutMs: ANSWER_MS});
    if (answer.kind === 'no-connection' && answer.code === 'ENETUNREACH') return {proof: null};
    if (answer.kind !== 'proved') return {finding: {kind: 'unproved', at, answer}};
    ({proof} = answer);
    if (proof.pod.uid !== podUid) return {finding: {kind: 'wrong-pod', at, proof, uid: podUid}};
  }
  return {proof};
}

async function closed(
  means: Means,
  {nodeIps}: Examined,
  own: OwnAddress,
  {gateways}: Surroundings,
  untried: string[],
): Promise<Finding | null> {
  const ofFamily = (ip: string): boolean => ip.includes(':') === (own.family === 6);
  const near: {readonly what: string; readonly to: Omit<Place, 'port'>}[] = [
    ...gateways.filter(({ip}) => ofFamily(ip)).map(({ip, scope}) => ({what: `the gateway ${ip}`, to: {ip, scope}})),
    ...nodeIps.filter(ofFamily).map((ip) => ({what: `the node's address ${ip}`, to: {ip, scope: 0}})),
  ];
  const far = {what: proofAddress(own.family), to: {ip: proofAddress(own.family), scope: 0}};
  // One after the other: the kernel answers a host only so many times a second.
  for (const {what, to} of [far, ...near]) {
    for (const protocol of ['udp', 'icmp'] as const) {
      const fate = await means.probe({protocol, from: own.ip, to: {...to, port: DISCARD}}, REFUSAL_MS);
      const named = `${protocol === 'udp' ? 'UDP' : 'ICMP'} to ${what}`;
      if (fate.kind === 'impossible') untried.push(`${named} (${fate.code})`);
      else if (fate.kind !== 'refused' && fate.kind !== 'kept') return {kind: 'open', what: named, fate};
    }
  }
  for (const {what, to} of near)
    if (to.scope === 0 && (await means.reach(to.ip, NOBODYS_PORT, own.ip, REACH_MS)) === 'reset')
      return {kind: 'tcp-open', what};
  return neighbours(means, own, new Set(near.map(({to}) => to.ip)));
}

/** Whoever is there answers or bounces; where nobody is, nothing comes, so that silence says nothing here. */
async function neighbours(means: Means, own: OwnAddress, known: ReadonlySet<string>): Promise<Finding | null> {
  const asked = nextTo(own).filter((ip) => !known.has(ip));
  const fates = await Promise.all(
    asked.map((ip) => {
      const ask: Probe = {protocol: 'udp', from: own.ip, to: {ip, scope: 0, port: DISCARD}};
      return means.probe(ask, NEIGHBOUR_MS);
    }),
  );
  const at = fates.findIndex((fate) => isFromNeighbour(fate));
  return at < 0 ? null : {kind: 'open', what: `UDP to the neighbour ${asked[at]}`, fate: fates[at]!};
}

/** Port unreachable is said by who has the address; host unreachable by our own kernel, when nobody answers ARP. */
function isFromNeighbour(fate: Fate): boolean {
  if (fate.kind === 'answered') return true;
  if (fate.kind !== 'bounced') return false;
  const {family, type, code} = fate.error;
  return family === 4 ? type === 3 && code === 3 : type === 1 && code === 4;
}

const proofAddress = (family: 4 | 6): string => (family === 4 ? PROOF.ip4 : PROOF.ip6);
