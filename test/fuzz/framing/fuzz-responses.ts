/** The differential loop for responses. */
import {readCorpus} from '../corpus.ts';
import {HTTP_WORDS} from '../http-words.ts';
import {mutate} from '../mutate.ts';
import {createRandom} from '../random.ts';
import {RESPONSE_VARIANTS, readOurResponse, responseDisagreement} from './responses.ts';
import type {Asked, ResponseReaders} from './responses.ts';

const MAX_BYTES = 800;
const BATCH = 24;
const MAX_KINDS = 4_000;
const MAX_FOUND = 10;

export interface ResponsesReport {
  readonly executions: number;
  readonly kinds: number;
  /** With the first byte that chooses what was asked: H for HEAD. */
  readonly found: readonly {readonly input: Buffer; readonly message: string}[];
}

export async function fuzzResponses(
  readers: ResponseReaders,
  {seconds, seed}: {readonly seconds: number; readonly seed: number},
): Promise<ResponsesReport> {
  const random = createRandom(seed);
  const pool = [...RESPONSE_VARIANTS.map(({bytes}) => Buffer.concat([Buffer.from('G'), bytes])), ...readCorpus('http1-response', 'inputs')]; // prettier-ignore
  const material = {dictionary: HTTP_WORDS.map((word) => Buffer.from(word, 'latin1')), maxBytes: MAX_BYTES, other: () => random.pick(pool)}; // prettier-ignore
  const kinds = new Set<string>();
  const found: {input: Buffer; message: string}[] = [];
  let executions = 0;
  const attempt = async (input: Buffer): Promise<void> => {
    executions++;
    const asked: Asked = input[0] === 0x48 ? 'HEAD' : 'GET';
    const ours = readOurResponse(input.subarray(1), asked);
    const theirs = await readers.read(input.subarray(1), asked);
    theirs.forEach((read, i) => {
      const difference = responseDisagreement(ours, read);
      if (difference !== null)
        found.push({input, message: `${readers.names[i]} of the answer to ${asked}: ${difference}`});
    });
    const kind = [
      asked,
      'refused' in ours ? ours.refused : ours.body.length,
      ...theirs.map((read) => read?.body.length ?? '-'),
    ].join();
    if (kinds.has(kind) || kinds.size >= MAX_KINDS) return;
    kinds.add(kind);
    pool.push(input);
  };
  const until = performance.now() + seconds * 1000;
  let batch: Buffer[] = [...pool];
  do {
    for (let at = 0; at < batch.length; at += BATCH) await Promise.all(batch.slice(at, at + BATCH).map(attempt));
    batch = Array.from({length: BATCH}, () => mutate(random.pick(pool), random, material));
  } while (performance.now() < until && found.length < MAX_FOUND);
  return {executions, kinds: kinds.size, found};
}
