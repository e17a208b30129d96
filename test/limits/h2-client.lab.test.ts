/** HTTP/2 clients that attack: each is ended, what it held is given back, and another workload is served meanwhile. */
import {afterAll, beforeAll, expect} from '@jest/globals';
import {labTest} from '../lab/require.ts';
import {
  data,
  FLAG,
  frame,
  get,
  headers,
  indexed,
  literals,
  ping,
  references,
  rst,
  settings,
  settingsAck,
  spread,
  TYPE,
  windowUpdate,
} from './frames.ts';
import {limitsWorld, type LimitsWorld} from './world.ts';

const it = labTest('nft');
let world: LimitsWorld;
beforeAll(async () => {
  world = await limitsWorld('h2client');
}, 60_000);
afterAll(() => world?.close());

const OK = get('site.test', '/ok/a');
const POST = literals([
  [':method', 'POST'],
  [':scheme', 'https'],
  [':authority', 'site.test'],
  [':path', '/ok/a'],
]);
const INITIAL_WINDOW_SIZE = 4;
const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({length: count}, (_, i) => make(i));
/** A client's stream numbers are odd, each once. */
const stream = (i: number): number => 2 * i + 1;

const ENDED: readonly (readonly [string, () => Buffer[]])[] = [
  [
    'rapid reset (CVE-2023-44487): streams that are opened and reset',
    () => times(3_000, (i) => Buffer.concat([headers(stream(i), OK), rst(stream(i))])),
  ],
  [
    'made-you-reset (CVE-2025-8671): streams that the proxy has to reset because of a window update of 0',
    () => times(3_000, (i) => Buffer.concat([headers(stream(i), OK), windowUpdate(stream(i), 0)])),
  ],
  [
    'CONTINUATION flood (CVE-2024-27316): a head that never ends, in pieces of one byte',
    () => [spread(1, Buffer.concat([OK, literals(times(10_000, () => ['x', 'y'] as const))]), 1, true)],
  ],
  [
    'CONTINUATION flood with empty frames',
    () => [frame(TYPE.headers, 0, 1, OK), ...times(10_000, () => frame(TYPE.continuation, 0, 1))],
  ],
  ['SETTINGS flood (CVE-2019-9515)', () => times(20_000, () => settings([INITIAL_WINDOW_SIZE, 65_535]))],
  ['acknowledgements of settings that were not sent', () => times(100, settingsAck)],
  ['PING flood (CVE-2019-9512)', () => times(20_000, ping)],
  ['answers to pings that were not sent', () => times(100, () => frame(TYPE.ping, FLAG.ack, 0, Buffer.alloc(8)))],
  [
    'empty DATA frames (CVE-2019-9518)',
    () => [headers(1, POST, false), ...times(20_000, () => data(1, Buffer.alloc(0)))],
  ],
  ['a window update of 0 on the connection', () => [windowUpdate(0, 0)]],
  ['a window update beyond 2^31-1 on the connection', () => [windowUpdate(0, 0x7fffffff)]],
  ['an initial window beyond 2^31-1', () => [settings([INITIAL_WINDOW_SIZE, 0x80000000])]],
  ['a frame larger than was agreed', () => [headers(1, POST, false), data(1, Buffer.alloc(16_385))]],
  ['a HEADERS frame with a table index that there is not', () => [headers(1, references(1))]],
  ['frames for streams that were never opened', () => times(100, (i) => data(stream(i), Buffer.from('x')))],
];

it.each(ENDED)(
  '%s: the client is ended, and another workload does not notice',
  async (_, attack) => {
    const before = world.served();
    const raw = await world.h2('app', 'site.test', settings(), ...attack());
    expect((await world.ask('other', 'https://site.test/ok/b')).status).toBe(200);
    await raw.end;
    // What came to the server of thousands of requests is what came before the end.
    expect(world.served() - before).toBeLessThan(500);
    await world.allGivenBack();
  },
  60_000,
);

it('a HPACK bomb, one large entry referred to again and again, is answered with 431 or an end, and costs no memory', async () => {
  const before = world.residentBytes();
  const bomb = Buffer.concat([OK, indexed('x-bomb', 'b'.repeat(3_900)), references(16_000)]);
  const raw = await world.h2('app', 'site.test', settings(), spread(1, bomb, 16_384));
  expect((await world.ask('other', 'https://site.test/ok/b')).status).toBe(200);
  await world.eventually('the stream is over', () => raw.ended() || over(raw.frames, 1));
  expect(world.residentBytes() - before).toBeLessThan(50_000_000);
  raw.socket.destroy();
  await world.allGivenBack();
}, 60_000);

it('a head of more lines than the limit reaches nobody', async () => {
  const before = world.served();
  const many = get(
    'site.test',
    '/ok/a',
    times(400, (i) => [`x-${i}`, 'y'] as const),
  );
  const raw = await world.h2('app', 'site.test', settings(), headers(1, many));
  await world.eventually('the stream is over', () => raw.ended() || over(raw.frames, 1));
  expect(world.served()).toBe(before);
  raw.socket.destroy();
}, 60_000);

it('a client that never opens its window holds a bounded part of an endless answer', async () => {
  const before = world.residentBytes();
  const BIG = get('site.test', '/ok/big');
  const raws = await Promise.all(
    times(8, () =>
      world.h2('app', 'site.test', settings([INITIAL_WINDOW_SIZE, 0]), ...times(100, (i) => headers(stream(i), BIG))),
    ),
  );
  await world.eventually('all requests are under way', async () => {
    const requests = (await world.metrics()).get('sallyport_held{what="requests"}');
    return requests === 800 || requests;
  });
  expect((await world.ask('other', 'https://site.test/ok/b')).status).toBe(200);
  // 800 streams of 64 KiB in each direction; unbounded it would be all that the server writes.
  expect(world.residentBytes() - before).toBeLessThan(400_000_000);
  for (const {socket} of raws) socket.destroy();
  await world.allGivenBack();
}, 60_000);

it('windows opened by one byte at a time cost no more than they carry', async () => {
  const raw = await world.h2(
    'app',
    'site.test',
    settings([INITIAL_WINDOW_SIZE, 0]),
    headers(1, get('site.test', '/ok/big')),
    ...times(2_000, () => windowUpdate(1, 1)),
  );
  expect((await world.ask('other', 'https://site.test/ok/b')).status).toBe(200);
  await world.eventually('the bytes came', () => {
    const bytes = raw.frames.reduce((sum, one) => sum + (one.type === TYPE.data ? one.payload.length : 0), 0);
    return bytes === 2_000 || bytes;
  });
  raw.socket.destroy();
  await world.allGivenBack();
}, 60_000);

it('more streams than one connection may have are refused, not queued', async () => {
  const BIG = get('site.test', '/ok/big');
  const raw = await world.h2(
    'app',
    'site.test',
    settings([INITIAL_WINDOW_SIZE, 0]),
    ...times(200, (i) => headers(stream(i), BIG)),
  );
  await world.eventually('the connection has at most its streams', async () => {
    const refused = raw.frames.filter((one) => one.type === TYPE.rstStream).length;
    const held = (await world.metrics()).get('sallyport_held{what="streams"}') ?? 0;
    return raw.ended() || (held <= 128 && refused >= 72) || `${held} held, ${refused} refused`;
  });
  raw.socket.destroy();
  await world.allGivenBack();
}, 60_000);

/** Whether a stream was answered to its end, or reset. */
function over(frames: LimitsFrames, id: number): boolean {
  return frames.some((one) => one.stream === id && (one.type === TYPE.rstStream || (one.flags & FLAG.endStream) !== 0));
}
type LimitsFrames = Awaited<ReturnType<LimitsWorld['h2']>>['frames'];
