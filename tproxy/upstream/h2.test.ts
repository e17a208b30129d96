import {constants, createSecureServer, createServer, type Http2Server, type ServerHttp2Stream} from 'node:http2';
import {createServer as createPlain, type Socket} from 'node:net';
import {afterEach, describe, expect, test} from '@jest/globals';
import type {OutgoingRequest, Route} from './contract.ts';
import {LIMITS} from './limits.ts';
import {testCa} from './testing/certificates.ts';
import {begin, closeAll, header, listening, request, route, send, until, upstreamWith} from './testing/harness.ts';

afterEach(closeAll);
const ca = testCa('Test Root');

/** Over plain TCP with prior knowledge: the session is the same, and the bytes can be chosen. */
const h2 = (more: Partial<OutgoingRequest> = {}): OutgoingRequest => request({client: 'h2', ...more});

async function serving(
  answer: (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void,
): Promise<{to: Route; server: Http2Server}> {
  const server = createServer();
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    answer(stream, headers);
  });
  return {server, to: route(await listening(server), {scheme: 'http'})};
}

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const CONTINUATION = 9;
const END_STREAM = 1;
const END_HEADERS = 4;
/** HPACK: `:status: 200` from the static table. */
const STATUS_200 = Buffer.from([0x88]);
const word = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n);
  return bytes;
};

/** Writes SETTINGS, then the frames once a request has come. */
async function framing(...answers: (readonly Buffer[])[]): Promise<{to: Route; sockets: Socket[]}> {
  const sockets: Socket[] = [];
  const server = createPlain((socket) => {
    const frames = answers[Math.min(sockets.push(socket), answers.length) - 1]!;
    socket.on('error', () => {});
    let text = '';
    let answered = false;
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      // The preface has 24 bytes; a HEADERS frame follows the SETTINGS and WINDOW_UPDATE.
      if (
        answered ||
        (!text.includes('\x01\x25', 24) && !text.includes('\x01\x04', 24) && !text.includes('\x01\x05', 24))
      )
        return;
      answered = true;
      socket.write(Buffer.concat([frame(SETTINGS, 0, 0), ...frames]));
    });
  });
  return {to: route(await listening(server), {scheme: 'http'}), sockets};
}

describe('a request over HTTP/2', () => {
  test.each([
    ['one that frames or routes', ['host', 'evil.test']],
    ['one that belongs to a connection', ['connection', 'close']],
    ['one that node:http2 takes once only', ['etag', 'a', 'etag', 'b']],
  ])('with trailers that may not be some arrives without them: %s', async (_what, trailers) => {
    let got: object = {};
    const {to} = await serving((stream) => {
      stream.on('trailers', (lines: object) => (got = {...lines}));
      stream.resume().on('end', () => {
        stream.respond({':status': 200});
        stream.end('whole');
      });
    });
    const {recorder, exchange} = begin(upstreamWith(), to, h2({method: 'POST', body: {kind: 'chunked'}}));
    exchange.write(Buffer.from('abc'));
    exchange.end(trailers);
    expect(await recorder.over).toMatchObject({failure: null, status: 200, body: 'whole'});
    expect(got).toEqual({});
  });

  test('goes to a name that no URL can hold', async () => {
    const {to} = await serving((stream) => {
      stream.respond({':status': 200});
      stream.end('here');
    });
    const got = await send(upstreamWith(), {...to, name: 'a.test.5'}, h2({authority: 'a.test.5'}));
    expect(got).toMatchObject({failure: null, body: 'here'});
  });

  test('arrives with its pseudo-headers and without what is of a connection', async () => {
    const lines: string[] = [];
    const server = createSecureServer({...ca.issue('a.test')});
    server.on('stream', (stream: ServerHttp2Stream, _headers: unknown, _flags: unknown, raw: string[]) => {
      lines.push(...raw);
      stream.respond({':status': 200, 'x-b': '2'});
      stream.end('hello');
    });
    const port = await listening(server);
    const what = h2({
      target: '/p?q',
      authority: 'a.test:443',
      headers: ['X-Upper', '1', 'cookie', 'a=1', 'cookie', 'b=2', 'Connection', 'x', 'Proxy-Authorization', 'secret'],
      wantsTrailers: true,
    });
    const got = await send(upstreamWith({upstreamCa: ca.pem}), route(port), what);
    expect([got.failure, got.status, got.body, header(got.headers, 'x-b')]).toEqual([null, 200, 'hello', '2']);
    expect(got.headers.some((text) => text.startsWith(':'))).toBe(false);
    expect(lines).toEqual([
      ':method',
      'GET',
      ':scheme',
      'https',
      ':authority',
      'a.test:443',
      ':path',
      '/p?q',
      'x-upper',
      '1',
      'cookie',
      'a=1',
      'cookie',
      'b=2',
      'te',
      'trailers',
    ]);
  });

  test('with a body and trailers both ways, interleaved (gRPC)', async () => {
    const received: string[] = [];
    const {to} = await serving((stream) => {
      stream.respond({':status': 200, 'content-type': 'application/grpc'}, {waitForTrailers: true});
      stream.on('wantTrailers', () => stream.sendTrailers({'grpc-status': '0'}));
      stream.on('trailers', (trailers) => received.push(`trailers ${String(trailers['x-sum'])}`));
      stream.on('data', (chunk: Buffer) => {
        received.push(chunk.toString());
        stream.write(`re:${chunk.toString()}`);
      });
      stream.on('end', () => stream.end());
    });
    const {recorder, exchange} = begin(
      upstreamWith(),
      to,
      h2({method: 'POST', body: {kind: 'chunked'}, wantsTrailers: true}),
    );
    await recorder.called('head');
    for (const text of ['one', 'two']) {
      exchange.write(Buffer.from(text));
      await until(() => recorder.seen.body.endsWith(text));
    }
    exchange.end(['x-sum', '7']);
    const got = await recorder.over;
    expect([got.body, got.trailers]).toEqual(['re:onere:two', ['grpc-status', '0']]);
    expect(received).toEqual(['one', 'two', 'trailers 7']);
  });

  test.each<[string, Partial<OutgoingRequest>, Record<string, string | number>, number | null | 'none']>([
    ['a length', {}, {':status': 200, 'content-length': 2}, 2],
    ['no length', {}, {':status': 200}, null],
    ['HEAD', {method: 'HEAD'}, {':status': 200, 'content-length': 500}, 'none'],
    ['204', {}, {':status': 204}, 'none'],
    ['304', {}, {':status': 304}, 'none'],
  ])('the length that the client is told: %s', async (_what, what, headers, bytes) => {
    const {to} = await serving((stream) => {
      stream.respond(headers, {endStream: bytes === 'none'});
      if (bytes !== 'none') stream.end('ok');
    });
    const got = await send(upstreamWith(), to, h2(what));
    expect([got.failure, got.bytes]).toEqual([null, bytes]);
    if (what.method === 'HEAD') expect(header(got.headers, 'content-length')).toBe('500');
    else expect(header(got.headers, 'content-length')).toBeUndefined();
  });

  test('trailers alone (gRPC errors) have a length of nothing', async () => {
    const {to} = await serving((stream) => stream.respond({':status': 200, 'grpc-status': '5'}, {endStream: true}));
    const got = await send(upstreamWith(), to, h2({method: 'POST', body: {kind: 'chunked'}}));
    expect([got.bytes, header(got.headers, 'grpc-status'), got.calls]).toEqual([0, '5', ['dialled', 'head', 'end']]);
  });

  test('interim responses are passed on', async () => {
    const {to} = await serving((stream) => {
      stream.additionalHeaders({':status': 103, link: '</a>'});
      stream.respond({':status': 200}, {endStream: true});
    });
    const got = await send(upstreamWith(), to, h2());
    expect([got.informational, got.status]).toEqual([[103], 200]);
  });

  test('Expect: 100-continue is asked for, and the body waits for the relay', async () => {
    const {to} = await serving((stream, headers) => {
      expect(headers['expect']).toBe('100-continue');
      stream.additionalHeaders({':status': 100});
      stream.on('data', (chunk: Buffer) => {
        stream.respond({':status': 200});
        stream.end(chunk);
      });
    });
    const {recorder, exchange} = begin(
      upstreamWith(),
      to,
      h2({method: 'POST', expectContinue: true, body: {kind: 'length', bytes: 4}}),
    );
    await recorder.called('informational');
    exchange.write(Buffer.from('body'));
    exchange.end([]);
    expect((await recorder.over).body).toBe('body');
  });
});

describe('an HTTP/2 response that is cut or wrong', () => {
  const BEGUN = [frame(HEADERS, END_HEADERS, 1, STATUS_200), frame(DATA, 0, 1, Buffer.from('abc'))];
  test.each<[string, Buffer[], string]>([
    [
      'reset with an error',
      [...BEGUN, frame(RST_STREAM, 0, 1, word(constants.NGHTTP2_INTERNAL_ERROR))],
      'UpstreamUnreachable',
    ],
    ['reset with CANCEL', [...BEGUN, frame(RST_STREAM, 0, 1, word(constants.NGHTTP2_CANCEL))], 'UpstreamUnreachable'],
    [
      'reset with NO_ERROR before its length',
      [
        frame(HEADERS, END_HEADERS, 1, Buffer.concat([STATUS_200, Buffer.from([0x0f, 0x0d, 0x01]), Buffer.from('9')])),
        frame(DATA, 0, 1, Buffer.from('abc')),
        frame(RST_STREAM, 0, 1, word(constants.NGHTTP2_NO_ERROR)),
      ],
      'UpstreamUnreachable',
    ],
    [
      'ended by GOAWAY with an error',
      [...BEGUN, frame(GOAWAY, 0, 0, Buffer.concat([word(1), word(2)]))],
      'UpstreamUnreachable',
    ],
    ['of DATA on a stream that is not there', [...BEGUN, frame(DATA, 0, 5, Buffer.from('x'))], 'UpstreamUnreachable'],
  ])('%s: failed after the head', async (_how, frames, reason) => {
    for (const body of [{kind: 'none'}, {kind: 'chunked'}] as const) {
      const {to} = await framing(frames);
      const {recorder} = begin(upstreamWith(), to, h2({method: 'POST', body}));
      const got = await recorder.over;
      expect(got.failure?.reason).toBe(reason);
      expect(got.calls).not.toContain('end');
    }
  });

  test('the connection ends in the middle', async () => {
    const {to, sockets} = await framing(BEGUN);
    const {recorder} = begin(upstreamWith(), to, h2());
    await recorder.called('body');
    sockets[0]!.end();
    const got = await recorder.over;
    expect([got.body, got.failure?.reason]).toEqual(['abc', 'UpstreamUnreachable']);
  });

  test('less DATA than its content-length', async () => {
    const {to} = await serving((stream) => {
      stream.respond({':status': 200, 'content-length': 9});
      stream.end('abc');
    });
    const got = await send(upstreamWith(), to, h2());
    expect([got.failure?.reason, got.calls.includes('end')]).toEqual(['UpstreamMalformed', false]);
  });

  test('a response that ended stays whole when the server resets the stream afterwards (RFC 9113 §8.1)', async () => {
    const {to} = await framing([
      ...BEGUN,
      frame(DATA, END_STREAM, 1, Buffer.from('def')),
      frame(RST_STREAM, 0, 1, word(constants.NGHTTP2_NO_ERROR)),
    ]);
    const {recorder} = begin(upstreamWith(), to, h2({method: 'POST', body: {kind: 'chunked'}}));
    const got = await recorder.over;
    expect([got.failure, got.body]).toEqual([null, 'abcdef']);
  });

  test('a reset with NO_ERROR is an end too: servers on Node send it instead of END_STREAM', async () => {
    const {to} = await framing([...BEGUN, frame(RST_STREAM, 0, 1, word(constants.NGHTTP2_NO_ERROR))]);
    const got = await send(upstreamWith(), to, h2());
    expect([got.failure, got.body]).toEqual([null, 'abc']);
  });

  test('large responses side by side are whole', async () => {
    const size = 256 * 1024;
    const server = createServer({maxSessionMemory: 100}, (_incoming, outgoing) =>
      outgoing.end(Buffer.alloc(size, 'x')),
    );
    const to = route(await listening(server), {scheme: 'http'});
    const upstream = upstreamWith();
    const all = await Promise.all(Array.from({length: 20}, () => send(upstream, to, h2())));
    for (const got of all) expect([got.failure, got.body.length]).toEqual([null, size]);
  });

  test('the same while the client is slow', async () => {
    const {to} = await framing([...BEGUN, frame(DATA, END_STREAM, 1, Buffer.from('def'))]);
    const {recorder, exchange} = begin(upstreamWith(), to, h2());
    recorder.ready = false;
    await recorder.called('body');
    await until(() => recorder.seen.body.length >= 3);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    recorder.ready = true;
    exchange.resume();
    const got = await recorder.over;
    expect([got.failure, got.body]).toEqual([null, 'abcdef']);
  });

  test('a 101, which HTTP/2 has not', async () => {
    // Literal `:status: 101` with an indexed name.
    const status101 = Buffer.concat([Buffer.from([0x08, 0x03]), Buffer.from('101')]);
    const {to} = await framing([frame(HEADERS, END_HEADERS, 1, status101)]);
    const got = await send(upstreamWith(), to, h2());
    expect(got.failure).not.toBeNull();
    expect(got.calls).not.toContain('informational');
  });

  test('a flood of interim responses', async () => {
    const status103 = Buffer.concat([Buffer.from([0x08, 0x03]), Buffer.from('103')]);
    const {to} = await framing(
      Array.from({length: LIMITS.maxInformational + 1}, () => frame(HEADERS, END_HEADERS, 1, status103)),
    );
    const got = await send(upstreamWith(), to, h2());
    expect(got.failure?.reason).toBe('UpstreamMalformed');
    expect(got.informational).toHaveLength(LIMITS.maxInformational);
  });

  test.each<[string, Buffer]>([
    ['SETTINGS', frame(SETTINGS, 0, 0)],
    ['PING', frame(PING, 0, 0, Buffer.alloc(8))],
    ['CONTINUATION', frame(CONTINUATION, 0, 1, Buffer.alloc(1024))],
  ])('a flood of %s ends the session', async (what, one) => {
    const flood = Array.from({length: what === 'CONTINUATION' ? 200 : LIMITS.maxControlFramesPerTick * 2}, () => one);
    const first = what === 'CONTINUATION' ? [frame(HEADERS, 0, 1, STATUS_200)] : [];
    const {to, sockets} = await framing([...first, ...flood]);
    const upstream = upstreamWith();
    const got = await send(upstream, to, h2());
    expect(got.failure).not.toBeNull();
    await until(() => upstream.counts().sessions === 0);
    await until(() => sockets[0]!.closed);
  });

  test('a server that answers HTTP/1.1 to HTTP/2', async () => {
    const server = createPlain((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'));
    });
    const got = await send(upstreamWith(), route(await listening(server), {scheme: 'http'}), h2());
    expect(got.failure).not.toBeNull();
    expect(got.status).toBeNull();
  });
});

describe('a request that the server did not process is sent again', () => {
  const ANSWER = [frame(HEADERS, END_HEADERS | END_STREAM, 1, STATUS_200)];

  test.each<[string, Partial<OutgoingRequest>]>([
    ['GET', {}],
    ['POST, for it was not done', {method: 'POST', body: {kind: 'length', bytes: 4}}],
  ])('REFUSED_STREAM: %s', async (_what, what) => {
    let nth = 0;
    const {to} = await serving((stream) => {
      if (nth++ === 0) stream.close(constants.NGHTTP2_REFUSED_STREAM);
      else {
        stream.respond({':status': 200});
        stream.pipe(stream);
      }
    });
    const body = what.method === 'POST' ? ['body'] : [];
    const got = await send(upstreamWith(), to, h2(what), body);
    expect([got.failure, got.status, got.body]).toEqual([null, 200, body.join('')]);
  });

  test('GOAWAY below it: on a new session', async () => {
    const {to, sockets} = await framing([frame(GOAWAY, 0, 0, Buffer.concat([word(0), word(0)]))], ANSWER);
    const got = await send(upstreamWith(), to, h2({method: 'POST', body: {kind: 'length', bytes: 4}}), ['body']);
    expect([got.failure, got.status]).toEqual([null, 200]);
    expect(sockets).toHaveLength(2);
  });

  test('but once only', async () => {
    let streams = 0;
    const {to} = await serving((stream) => {
      streams++;
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
    });
    expect((await send(upstreamWith(), to, h2())).failure?.reason).toBe('UpstreamUnreachable');
    expect(streams).toBe(2);
  });

  test('GOAWAY above it: it is finished, and the next request takes a new session', async () => {
    let sessions = 0;
    const {to, server} = await serving((stream) => {
      stream.session!.goaway(constants.NGHTTP2_NO_ERROR, stream.id);
      stream.respond({':status': 200});
      stream.end('ok');
    });
    server.on('session', () => sessions++);
    const upstream = upstreamWith();
    for (let i = 0; i < 2; i++) expect((await send(upstream, to, h2())).body).toBe('ok');
    expect(sessions).toBe(2);
  });
});

describe('streams of one session', () => {
  test('are as many as the server allows, and then there is another session', async () => {
    const streams: ServerHttp2Stream[] = [];
    const server = createServer({settings: {maxConcurrentStreams: 2}});
    server.on('stream', (stream) => {
      stream.on('error', () => {});
      streams.push(stream);
      stream.respond({':status': 200});
    });
    const to = route(await listening(server), {scheme: 'http'});
    const upstream = upstreamWith();
    const first = begin(upstream, to, h2());
    await first.recorder.called('head');
    const others = [begin(upstream, to, h2()), begin(upstream, to, h2())];
    await until(() => streams.length === 3);
    expect(upstream.counts().sessions).toBe(2);
    for (const stream of streams) stream.end('ok');
    for (const {recorder} of [first, ...others]) expect((await recorder.over).body).toBe('ok');
  });

  test('one whose client is slow does not hold up the others', async () => {
    const big = Buffer.alloc(LIMITS.streamWindowBytes * 8, 'x');
    const {to} = await serving((stream, headers) => {
      stream.respond({':status': 200});
      stream.end(headers[':path'] === '/big' ? big : 'ok');
    });
    const upstream = upstreamWith();
    const slow = begin(upstream, to, h2({target: '/big'}));
    slow.recorder.ready = false;
    await slow.recorder.called('body');
    expect((await send(upstream, to, h2())).body).toBe('ok');
    expect(slow.recorder.seen.body.length).toBeLessThan(big.length / 2);
    slow.recorder.ready = true;
    slow.exchange.resume();
    expect((await slow.recorder.over).body).toHaveLength(big.length);
    expect(upstream.counts().sessions).toBe(1);
  });

  test('a slow server stops the client until drain()', async () => {
    const streams: ServerHttp2Stream[] = [];
    const {to} = await serving((stream) => streams.push(stream));
    const chunk = Buffer.alloc(256 * 1024);
    const total = 16 * chunk.length;
    const {recorder, exchange} = begin(upstreamWith(), to, h2({method: 'POST', body: {kind: 'length', bytes: total}}));
    let sent = 0;
    const pump = (): void => {
      while (sent < total) {
        sent += chunk.length;
        if (!exchange.write(chunk)) return;
      }
      exchange.end([]);
    };
    const drained = recorder.drain.bind(recorder);
    recorder.drain = () => {
      drained();
      pump();
    };
    pump();
    await until(() => streams.length === 1);
    expect(sent).toBeLessThan(total);
    let got = 0;
    streams[0]!.on('data', (data: Buffer) => (got += data.length));
    streams[0]!.on('end', () => {
      streams[0]!.respond({':status': 200});
      streams[0]!.end(String(got));
    });
    expect((await recorder.over).body).toBe(String(total));
    expect(recorder.seen.calls).toContain('drain');
  });

  test('an abort resets its own stream only', async () => {
    const codes: number[] = [];
    const {to} = await serving((stream) => {
      stream.respond({':status': 200});
      stream.write('x');
      stream.on('close', () => codes.push(stream.rstCode));
    });
    const upstream = upstreamWith();
    const gone = begin(upstream, to, h2());
    const stays = begin(upstream, to, h2());
    await gone.recorder.called('body');
    await stays.recorder.called('body');
    gone.exchange.abort();
    await until(() => codes.length === 1);
    expect(codes).toEqual([constants.NGHTTP2_CANCEL]);
    expect(stays.recorder.seen.calls).not.toContain('failed');
    expect(upstream.counts().sessions).toBe(1);
  });
});
