/**
 * Who asks (DESIGN §5), in this order, and two that disagree are a conflict:
 *   1. the identity of the client's certificate, which Envoy verified;
 *   2. where that is a hop's: the last element of x-forwarded-client-cert;
 *   3. the source address, through the workload table, unless it is a hop's;
 *   4. what the configuration of the Envoy claims, where the Envoy's own certificate is of the claimed namespace.
 */
import type {HeaderLines, Workload} from '../../policy/index.ts';
import type {Claim} from '../check/asker.ts';
import type {Attributes} from '../check/attributes.ts';
import type {Directory} from './directory.ts';
import type {Hops} from './hops.ts';
import {readSpiffe, type Account} from './spiffe.ts';
import {lastUri} from './xfcc.ts';

export interface Conflict {
  readonly conflict: string;
}

/**
 * The attributes with the identity that a hop has verified of who came with a tunnel; null: who says so is no hop.
 * Of what is inside of the tunnel no x-forwarded-client-cert counts: nobody of ours wrote it.
 */
export function asVerified(
  attributes: Attributes,
  principal: string | null,
  peer: string | null,
  hops: Hops,
): Attributes | null {
  if (principal === null) return attributes;
  if (peer === null || !hops.isId(peer)) return null;
  return {...attributes, http: null, source: {...attributes.source, principal}};
}

interface Evidence {
  readonly what: string;
  readonly account: Account;
  /** The pod; null: only the account is known. */
  readonly workload: Workload | null;
}

/** `peer`: the identity of the Envoy that asks, by its client certificate; null: it showed none. */
export function identify(
  attributes: Attributes,
  claim: Claim | null,
  peer: string | null,
  hops: Hops,
  directory: Directory,
): Workload | 'unknown' | Conflict {
  const {ip, principal} = attributes.source;
  const fromHop = ip !== null && hops.isAddress(ip);
  const hop = principal !== null && (hops.isId(principal) || fromHop);
  const workload = ip === null || fromHop || hop ? undefined : directory.at(ip);
  // Nearly always there is the address alone.
  if (principal === null && claim === null) return workload ?? 'unknown';

  const evidence: Evidence[] = [];
  if (principal !== null) {
    const uri = hop ? lastUri(xfccLines(attributes.http?.fields.lines ?? [])) : principal;
    // A hop's own identity is nobody's: the chain is longer than what it tells.
    const account = uri === null || (hop && (uri === principal || hops.isId(uri))) ? null : readSpiffe(uri);
    if (account !== null)
      evidence.push({what: hop ? 'x-forwarded-client-cert' : 'the client certificate', account, workload: null});
  }
  if (workload !== undefined) evidence.push({what: 'the source address', account: workload, workload});
  if (claim !== null && peer !== null && readSpiffe(peer)?.namespace === claim.namespace) {
    const claimed = claimedBy(claim, directory);
    if (claimed !== null) evidence.push(claimed);
  }
  return agreed(evidence, directory);
}

function claimedBy({namespace, serviceAccount, pod}: Claim, directory: Directory): Evidence | null {
  const what = "the Envoy's configuration";
  if (pod !== null) {
    const workload = directory.pod(namespace, pod);
    return workload === undefined ? null : {what, account: workload, workload};
  }
  return serviceAccount === null ? null : {what, account: {namespace, serviceAccount}, workload: null};
}

function agreed(evidence: readonly Evidence[], directory: Directory): Workload | 'unknown' | Conflict {
  const first = evidence[0];
  if (first === undefined) return 'unknown';
  let pod: Evidence | null = null;
  for (const one of evidence) {
    const {namespace, serviceAccount} = one.account;
    if (namespace !== first.account.namespace || serviceAccount !== first.account.serviceAccount)
      return disagree(first, one);
    if (one.workload === null) continue;
    if (pod !== null && pod.workload !== one.workload) return disagree(pod, one);
    pod = one;
  }
  return pod?.workload ?? directory.account(first.account) ?? 'unknown';
}

const disagree = (a: Evidence, b: Evidence): Conflict => ({
  conflict: `${a.what} says ${text(a)}, ${b.what} says ${text(b)}.`,
});

const text = ({account, workload}: Evidence): string =>
  workload === null
    ? `service account ${account.namespace}/${account.serviceAccount}`
    : `pod ${workload.namespace}/${workload.name} (service account ${account.serviceAccount})`;

function xfccLines(lines: HeaderLines): string[] {
  const found: string[] = [];
  for (let i = 0; i + 1 < lines.length; i += 2)
    if (lines[i]!.length === 'x-forwarded-client-cert'.length && lines[i]!.toLowerCase() === 'x-forwarded-client-cert')
      found.push(lines[i + 1]!);
  return found;
}
