/** The differential loop: bytes changed at random, read by us and by every peer. What they read otherwise, we must refuse. */
import {encodeChunk, encodeLastChunk, encodeRequestHead, endToEnd} from '../../../tproxy/http1/index.ts';
import type {RequestHead} from '../../../tproxy/http1/index.ts';
import {requestsIn} from '../../../tproxy/http1/test-support.ts';
import {readCorpus} from '../corpus.ts';
import {HTTP_WORDS} from '../http-words.ts';
import {mutate} from '../mutate.ts';
import {createRandom} from '../random.ts';
import {messagesOf} from '../targets/http1-request.ts';
import {readBy} from './peer.ts';
import type {Peer} from './peer.ts';
import {disagreement, lengthsOf, readOurs} from './reading.ts';
import type {ReadRequest} from './reading.ts';
import {VARIANTS} from './variants.ts';

const MAX_BYTES = 1_200;
/** Inputs under way at once: the slowest peer waits, the others do not wait for it. */
const BATCH = 24;
const MAX_KINDS = 4_000;
/** Several ways to say the same thing; more is one bug. */
const MAX_FOUND = 10;

export interface FramingReport {
  readonly executions: number;
  /** Kinds of readings seen: our verdict with each peer's. */
  readonly kinds: number;
  readonly found: readonly {readonly input: Buffer; readonly message: string}[];
  /** Of what we refuse: one short input for each of our codes that two peers read in two ways. */
  readonly refusedOfTwoMinds: ReadonlyMap<string, Buffer>;
}

export async function fuzzFraming(
  peers: readonly Peer[],
  {seconds, seed}: {readonly seconds: number; readonly seed: number},
): Promise<FramingReport> {
  const random = createRandom(seed);
  const pool = [...VARIANTS.map(({bytes}) => bytes), ...readCorpus('http1-request', 'inputs'), ...readCorpus('framing', 'inputs')]; // prettier-ignore
  const dictionary = HTTP_WORDS.map((word) => Buffer.from(word, 'latin1'));
  const material = {dictionary, maxBytes: MAX_BYTES, other: () => random.pick(pool)};
  const kinds = new Set<string>();
  const found: {input: Buffer; message: string}[] = [];
  const ofTwoMinds = new Map<string, Buffer>();
  let executions = 0;

  const attempt = async (input: Buffer): Promise<void> => {
    executions++;
    const ours = readOurs(input);
    const theirs = await Promise.all(peers.map((peer) => readBy(peer, input)));
    theirs.forEach((requests, i) => {
      const difference = disagreement(ours, requests);
      if (difference !== null) found.push({input, message: `${peers[i]!.name}: ${difference}`});
    });
    const sent = sentOn(input);
    if (sent !== null)
      for (const peer of peers) {
        const difference = otherwise(sent.means, await readBy(peer, sent.bytes));
        if (difference !== null)
          found.push({input: sent.bytes, message: `${peer.name}, of what we send on: ${difference}`});
      }
    const readings = new Set(theirs.filter((one) => one.length > 0).map(lengthsOf));
    if (ours.refused !== null && readings.size > 1) {
      const before = ofTwoMinds.get(ours.refused);
      if (before === undefined || input.length < before.length) ofTwoMinds.set(ours.refused, input);
    }
    const kind = [ours.refused ?? lengthsOf(ours.requests), ...theirs.map((one) => one.map(({body}) => Math.min(9, body.length)).join('+'))].join('|'); // prettier-ignore
    if (kinds.has(kind) || kinds.size >= MAX_KINDS) return;
    kinds.add(kind);
    pool.push(input);
  };

  await each(pool.slice(), attempt);
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until && found.length < MAX_FOUND)
    await each(
      Array.from({length: BATCH}, () => mutate(random.pick(pool), random, material)),
      attempt,
    );
  return {executions, kinds: kinds.size, found, refusedOfTwoMinds: ofTwoMinds};
}

async function each(inputs: readonly Buffer[], attempt: (input: Buffer) => Promise<void>): Promise<void> {
  for (let at = 0; at < inputs.length; at += BATCH) await Promise.all(inputs.slice(at, at + BATCH).map(attempt));
}

/** What an upstream would be sent for the requests among the bytes, one after the other, and what is meant by it. */
function sentOn(input: Buffer): {bytes: Buffer; means: ReadRequest[]} | null {
  const parts: Buffer[] = [];
  const means: ReadRequest[] = [];
  for (const {head, body, trailers} of messagesOf(requestsIn([input]))) {
    const {method, target, host, framing, headers} = head as RequestHead;
    if (framing.kind === 'close' || method === 'CONNECT' || !target.startsWith('/')) break;
    parts.push(encodeRequestHead({method, target, authority: host ?? 'a.test', headers: endToEnd(headers), framing}));
    const bytes = Buffer.from(body, 'latin1');
    if (framing.kind === 'length') parts.push(bytes);
    if (framing.kind === 'chunked')
      parts.push(...(bytes.length > 0 ? [encodeChunk(bytes)] : []), encodeLastChunk(trailers));
    means.push({method, body});
  }
  return means.length === 0 ? null : {bytes: Buffer.concat(parts), means};
}

/** A peer may refuse what we send on; what it takes it must take as it is meant. */
function otherwise(means: readonly ReadRequest[], theirs: readonly ReadRequest[]): string | null {
  return disagreement({requests: means, open: false, refused: null, over: false}, theirs);
}
