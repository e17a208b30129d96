/** The fixed variants as every reader cuts them: the table of docs/FUZZING.md. */
import {readBy} from './peer.ts';
import type {Peer} from './peer.ts';
import {disagreement, lengthsOf, readOurs} from './reading.ts';
import type {ReadRequest} from './reading.ts';
import {VARIANTS} from './variants.ts';
import type {Variant} from './variants.ts';

export interface Row {
  readonly variant: Variant;
  readonly ours: string;
  /** By peer, in their order. */
  readonly theirs: readonly (readonly ReadRequest[])[];
  /** What we took and a peer reads otherwise: there must be none. */
  readonly wrong: readonly string[];
}

export async function rowOf(variant: Variant, peers: readonly Peer[]): Promise<Row> {
  const reading = readOurs(variant.bytes);
  const theirs = await Promise.all(peers.map((peer) => readBy(peer, variant.bytes)));
  const wrong = theirs.flatMap((requests, i) => {
    const difference = disagreement(reading, requests);
    return difference === null ? [] : [`${peers[i]!.name}: ${difference}`];
  });
  return {variant, ours: reading.refused ?? lengthsOf(reading.requests), theirs, wrong};
}

/** Whether two of the peers read these bytes in two ways, neither by refusing. */
export function peersDiffer({theirs}: Row): boolean {
  return new Set(theirs.filter((requests) => requests.length > 0).map(lengthsOf)).size > 1;
}

const PATIENCE = 50;

/** One row for each variant that somebody reads otherwise than the others, or that is refused by some and taken by others. */
export async function framingTable(peers: readonly Peer[]): Promise<string> {
  // What is written down is waited for longer: a busy machine must not make a reader look strict.
  const patient = peers.map((peer) => ({...peer, silenceMs: peer.silenceMs * PATIENCE}));
  const rows = await Promise.all(VARIANTS.map((variant) => rowOf(variant, patient)));
  const head = ['bytes', ...peers.map(({name}) => name), 'Sallyport'];
  const cells = rows
    .filter(({theirs}) => new Set(theirs.map(lengthsOf)).size > 1)
    .map((row) => [row.variant.name, ...row.theirs.map((one) => (one.length === 0 ? 'refused' : lengthsOf(one))), row.ours]); // prettier-ignore
  return [head, head.map(() => '---'), ...cells].map((row) => `| ${row.join(' | ')} |`).join('\n');
}
