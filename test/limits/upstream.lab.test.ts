/** Servers that attack their clients' proxy: the request fails readably, what it held is given back, and another workload is served. */
import {gzipSync} from 'node:zlib';
import type {TLSSocket} from 'node:tls';
import {afterAll, beforeAll, beforeEach, describe, expect} from '@jest/globals';
import {labTest} from '../lab/require.ts';
import {
  answer,
  data,
  FLAG,
  frame,
  FrameReader,
  headers,
  indexed,
  literals,
  ping,
  PREFACE,
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
  world = await limitsWorld('h2server');
}, 60_000);
afterAll(() => world?.close());

const INITIAL_WINDOW_SIZE = 4;
const MB = 1_000_000;
const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({length: count}, (_, i) => make(i));

/** What requests over HTTP/2 are answered with now, on whatever connection they come; and how many were. */
let answerTo: (stream: number) => readonly Buffer[] = () => [];
let attacked = 0;

function overH2(socket: TLSSocket): void {
  const reader = new FrameReader();
  let preface = true;
  socket.write(settings());
  socket.on('data', (chunk: Buffer) => {
    const bytes = preface ? chunk.subarray(PREFACE.length) : chunk;
    preface = false;
    for (const one of reader.feed(bytes)) {
      if (one.type === TYPE.settings && (one.flags & FLAG.ack) === 0) socket.write(settingsAck());
      if (one.type !== TYPE.headers || socket.destroyed) continue;
      attacked++;
      socket.write(Buffer.concat([...answerTo(one.stream)]));
    }
  });
}

/** One request over HTTP/2 to the server that attacks: its status and how many bytes came, by node:http2's own frames. */
async function askEvil(): Promise<{status: string; bytes: number; cut: boolean}> {
  const raw = await world.h2('app', 'evil.test', settings(), windowUpdate(0, 0x3fffffff));
  raw.socket.write(
    headers(
      1,
      literals([
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'evil.test'],
        [':path', '/'],
      ]),
    ),
  );
  const of = (): typeof raw.frames => raw.frames.filter((one) => one.stream === 1);
  const finished = (): boolean =>
    raw.ended() || of().some((one) => one.type === TYPE.rstStream || (one.flags & FLAG.endStream) !== 0);
  await world.eventually('the request is over', finished);
  const bytes = of().reduce((sum, one) => sum + (one.type === TYPE.data ? one.payload.length : 0), 0);
  const head = of().find((one) => one.type === TYPE.headers);
  const cut = raw.ended() || of().some((one) => one.type === TYPE.rstStream);
  raw.socket.destroy();
  return {status: statusOf(head?.payload), bytes, cut};
}

/** The status of a head of ours: an entry of the static table, or a literal of three digits (RFC 7541 appendix A). */
function statusOf(block: Buffer | undefined): string {
  if (block === undefined || block.length === 0) return 'none';
  const known: Record<number, string> = {0x88: '200', 0x8d: '404', 0x8e: '500'};
  const first = known[block[0]!];
  if (first !== undefined) return first;
  // Index 8 with a value, Huffman-coded in two or three bytes: all that matters is that it is no success.
  return 'other';
}

describe('over HTTP/2', () => {
  beforeEach(() => {
    world.alpn = ['h2'];
  });
  const ok = (id: number): Buffer => headers(id, answer(200), false);

  it.each<[string, (id: number) => readonly Buffer[]]>([
    ['SETTINGS flood (CVE-2019-9515)', () => times(20_000, () => settings([INITIAL_WINDOW_SIZE, 65_535]))],
    ['PING flood (CVE-2019-9512)', () => times(20_000, ping)],
    ['interim responses without end', (id) => times(2_000, () => headers(id, answer(103), false))],
    [
      'CONTINUATION flood (CVE-2024-28182)',
      (id) => [spread(id, Buffer.concat([answer(200), literals(times(10_000, () => ['x', 'y'] as const))]), 1, true)],
    ],
    ['empty DATA frames (CVE-2019-9518)', (id) => [ok(id), ...times(20_000, () => data(id, Buffer.alloc(0)))]],
    ['a window update of 0 on the connection', () => [windowUpdate(0, 0)]],
    ['a window update beyond 2^31-1', () => [windowUpdate(0, 0x7fffffff), windowUpdate(0, 0x7fffffff)]],
    [
      'a HPACK bomb',
      (id) => [
        spread(id, Buffer.concat([answer(200), indexed('x-bomb', 'b'.repeat(3_900)), references(16_000)]), 16_384),
      ],
    ],
    [
      'a head of a thousand lines',
      (id) => [
        headers(
          id,
          answer(
            200,
            times(1_000, (i) => [`x-${i}`, 'y'] as const),
          ),
          true,
        ),
      ],
    ],
    [
      'a pushed stream',
      (id) => [frame(5, FLAG.endHeaders, id, Buffer.concat([Buffer.from([0, 0, 0, 2]), answer(200)]))],
    ],
    ['streams opened by the server', () => times(100, (i) => headers(2 * i + 2, answer(200), false))],
    ['a reset in place of an answer', (id) => [rst(id)]],
    ['a GOAWAY that says the request was not done, each time', () => [frame(TYPE.goaway, 0, 0, Buffer.alloc(8))]],
    ['HTTP/1.1 instead', () => [Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')]],
    [
      'more DATA than its content-length',
      (id) => [headers(id, answer(200, [['content-length', '1']]), false), data(id, Buffer.from('xx'), true)],
    ],
  ])(
    '%s: nothing whole comes of it, and another workload does not notice',
    async (_, attack) => {
      answerTo = attack;
      world.attack = overH2;
      const before = attacked;
      const evil = askEvil();
      expect((await world.ask('other', 'https://site.test/ok/b')).status).toBe(200);
      const {status, cut} = await evil;
      expect(attacked).toBeGreaterThan(before);
      expect(status !== '200' || cut).toBe(true);
      await world.allGivenBack();
    },
    60_000,
  );

  it('an endless answer to clients that do not read is bounded, and is cut when they go', async () => {
    const before = world.residentBytes();
    const piece = Buffer.alloc(16_384, 'x');
    answerTo = (id) => [ok(id), ...times(30, () => data(id, piece))];
    world.attack = overH2;
    const block = literals([
      [':method', 'GET'],
      [':scheme', 'https'],
      [':authority', 'evil.test'],
      [':path', '/'],
    ]);
    // 1,000 streams of 480 KB each, none of which the clients take.
    const raws = await Promise.all(
      times(10, () =>
        world.h2(
          'app',
          'evil.test',
          settings([INITIAL_WINDOW_SIZE, 0]),
          ...times(100, (i) => headers(2 * i + 1, block)),
        ),
      ),
    );
    expect((await world.ask('other', 'https://site.test/ok/b')).status).toBe(200);
    // 128 MiB may wait, which is 280 of these answers, and each byte of them costs up to four (docs/LIMITS.md).
    await world.eventually('what waits is bounded', async () => {
      const active = (await world.metrics()).get('sallyport_held{what="requests"}') ?? 0;
      return active < 400 || `${active} requests`;
    });
    expect((world.residentBytes() - before) / MB).toBeLessThan(4 * 128 * 1.05);
    for (const {socket} of raws) socket.destroy();
    await world.allGivenBack();
  }, 60_000);
});

describe('over HTTP/1.1', () => {
  beforeEach(() => {
    world.alpn = ['http/1.1'];
  });
  const says =
    (...pieces: readonly (string | Buffer)[]) =>
    (socket: TLSSocket): void => {
      socket.once('data', () => {
        for (const piece of pieces) if (!socket.destroyed) socket.write(piece);
      });
    };

  it.each<[string, (socket: TLSSocket) => void, number]>([
    ['interim responses without end', says('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(1_000)), 502],
    [
      'a 101 that nobody asked for',
      says('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
      502,
    ],
    ['a head that never ends', says('HTTP/1.1 200 OK\r\n', `X: ${'y'.repeat(100_000)}`), 502],
    ['a head of a thousand lines', says('HTTP/1.1 200 OK\r\n', 'X: y\r\n'.repeat(1_000), '\r\n'), 502],
    [
      'a chunk line that never ends',
      says('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', `5;${'x'.repeat(100_000)}`),
      200,
    ],
    [
      'trailers that never end',
      says('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n', 'X: y\r\n'.repeat(10_000)),
      200,
    ],
    ['bytes that are no HTTP', says(Buffer.alloc(100_000, 0xff)), 502],
  ])(
    '%s: the request fails, and another workload does not notice',
    async (_, attack, status) => {
      world.attack = attack;
      const evil = world.ask('app', 'https://evil.test/');
      expect((await world.ask('other', 'https://site.test/ok/b')).status).toBe(200);
      expect((await evil).status).toBe(status);
      await world.allGivenBack();
    },
    60_000,
  );

  it('a compressed bomb is passed on as the bytes that came: nothing is decompressed here', async () => {
    const bomb = gzipSync(Buffer.alloc(200 * MB));
    const before = world.residentBytes();
    world.attack = says(
      `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${bomb.length}\r\nConnection: close\r\n\r\n`,
      bomb,
    );
    const {status, body} = await world.ask('app', 'https://evil.test/');
    expect([status, Buffer.from(body, 'latin1').equals(bomb)]).toEqual([200, true]);
    expect(world.residentBytes() - before).toBeLessThan(50 * MB);
  }, 60_000);

  it('an endless answer to a client that stops reading stands still, bounded', async () => {
    let sent = 0;
    world.attack = (socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n');
        const piece = Buffer.alloc(64 * 1024, 'x');
        const more = (): void => {
          let room = true;
          while (room && !socket.destroyed) {
            room = socket.write(piece);
            sent += piece.length;
          }
        };
        socket.on('drain', more);
        more();
      });
    };
    const before = world.residentBytes();
    const clients = await Promise.all(times(20, () => world.secure('app', 'evil.test', 'http/1.1')));
    for (const client of clients) {
      client.pause();
      client.write('GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n');
    }
    // It has come to a stand when several looks in a row see nothing more sent.
    let last = -1;
    let same = 0;
    await world.eventually('the servers are told to wait', () => {
      same = sent > 0 && sent === last ? same + 1 : 0;
      last = sent;
      return same >= 10;
    });
    expect((await world.ask('other', 'https://site.test/ok/b')).status).toBe(200);
    expect(world.residentBytes() - before).toBeLessThan(60 * MB);
    for (const client of clients) client.destroy();
    await world.allGivenBack();
  }, 60_000);
});
