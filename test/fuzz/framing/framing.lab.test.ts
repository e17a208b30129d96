/** Known smuggling variants, read by us and by real servers: where two of them cut the bytes differently, we refuse. */
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {labTest} from '../../lab/require.ts';
import {startPeers} from './peers/index.ts';
import type {Peers} from './peers/index.ts';
import {readBy} from './peer.ts';
import {disagreement, lengthsOf, readOurs} from './reading.ts';
import {RESPONSE_VARIANTS, readOurResponse, responseDisagreement, startResponseReaders} from './responses.ts';
import type {ResponseReaders} from './responses.ts';
import {peersDiffer, rowOf} from './table.ts';
import type {Row} from './table.ts';
import {VARIANTS} from './variants.ts';

const test = labTest('nginx');
let peers: Peers | null = null;

beforeAll(async () => {
  // Those that a test machine has without building or downloading anything.
  peers = await startPeers(['llhttp', 'nginx']);
});
afterAll(() => peers?.close());

const rows = new Map<string, Row>();
const rowNamed = async (name: string): Promise<Row> => {
  const variant = VARIANTS.find((one) => one.name === name)!;
  const row = rows.get(name) ?? (await rowOf(variant, peers!.list));
  rows.set(name, row);
  return row;
};

describe('bytes that readers cut in different ways', () => {
  test.each(VARIANTS)('$name: $ours', async ({name, bytes, ours}) => {
    expect(readOurs(bytes).refused ?? 'taken').toBe(ours);
    expect((await rowNamed(name)).wrong).toEqual([]);
  });

  test('nginx and llhttp are asked, and do differ where we refuse', async () => {
    expect(peers!.list.map(({name}) => name)).toEqual(['llhttp (node:http)', 'nginx']);
    const all = await Promise.all(VARIANTS.map(({name}) => rowNamed(name)));
    const nginxTakes = all.filter(({theirs}) => theirs[1]!.length > 0 && theirs[0]!.length === 0);
    expect(nginxTakes.map(({variant}) => variant.name)).toEqual(
      expect.arrayContaining(['lines that end with LF', 'data that ends with LF', 'an LF in a quoted extension']),
    );
    expect(all.filter(peersDiffer).every(({variant}) => variant.ours !== 'taken')).toBe(true);
  });

  test('the comparison sees a difference: a reader by length beside one by chunks', async () => {
    const bytes = Buffer.from('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: b.test\r\n\r\n'); // prettier-ignore
    const theirs = await readBy(peers!.list[1]!, bytes);
    expect(lengthsOf(theirs)).toBe('POST 5 + GET 0');
    expect(disagreement(readOurs(bytes), theirs)).toBeNull();
    const byChunks = {requests: [{method: 'POST', body: ''}], open: false, refused: null, over: false};
    expect(disagreement(byChunks, theirs)).toMatch(/we read POST with 0 bytes .* it reads POST with 5 bytes/);
  });
});

describe('responses that readers cut in different ways', () => {
  let readers: ResponseReaders | null = null;
  beforeAll(async () => {
    readers = await startResponseReaders();
  });
  afterAll(() => readers?.close());

  test.each(RESPONSE_VARIANTS)('$name: $ours', async ({bytes, asked, ours}) => {
    const reading = readOurResponse(bytes, asked);
    expect('refused' in reading ? reading.refused : reading.body).toBe(ours);
    for (const read of await readers!.read(bytes, asked)) expect(responseDisagreement(reading, read)).toBeNull();
  });

  test('nginx and llhttp are asked, and take what we refuse', async () => {
    expect(readers!.names).toEqual(['nginx', 'llhttp (node:http)']);
    const variant = (name: string) => RESPONSE_VARIANTS.find((one) => one.name === name)!;
    const hello = {status: 200, body: 'hello'};
    expect(await readers!.read(variant('chunks').bytes, 'GET')).toEqual([hello, hello]);
    const [nginx, llhttp] = await readers!.read(variant('lines that end with LF').bytes, 'GET');
    expect([nginx, llhttp]).toEqual([{status: 200, body: 'hel'}, null]);
    expect(responseDisagreement(hello, nginx!)).toMatch(/we read .*hello.* it reads .*hel/);
  });
});
