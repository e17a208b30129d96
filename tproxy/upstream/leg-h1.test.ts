import {createServer, type Socket} from 'node:net';
import {afterEach, describe, expect, test} from '@jest/globals';
import type {OutgoingRequest} from './contract.ts';
import {LIMITS} from './limits.ts';
import {begin, closeAll, header, listening, request, route, send, until, upstreamWith} from './testing/harness.ts';
import {OK, rawServer, type RawServer} from './testing/servers.ts';

afterEach(closeAll);

/** A server in the clear that answers each request alike. */
async function answering(answer: Parameters<typeof rawServer>[0]): Promise<RawServer & {to: ReturnType<typeof route>}> {
  const raw = rawServer(answer);
  return {...raw, to: route(await listening(raw.server), {scheme: 'http'})};
}

describe('a response that has more than one reading is no response', () => {
  const HEAD = 'HTTP/1.1 200 OK\r\n';
  test.each([
    ['two lengths', `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk`],
    ['a length and chunks', `${HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
    ['a length list', `${HEAD}Content-Length: 2, 3\r\n\r\nok`],
    ['a signed length', `${HEAD}Content-Length: +2\r\n\r\nok`],
    ['an unknown coding', `${HEAD}Transfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
    ['a folded line', `${HEAD}X: 1\r\n Content-Length: 2\r\n\r\nok`],
    ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['a space before the colon', `${HEAD}Content-Length : 2\r\n\r\nok`],
    ['NUL in a value', `${HEAD}X: a\0b\r\nContent-Length: 2\r\n\r\nok`],
    ['no HTTP at all', '220 smtp.a.test ready\r\n'],
    ['HTTP/0.9', 'hello\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
    [
      'a 101 that nobody asked for',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    ],
    ['a flood of interim responses', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(LIMITS.maxInformational + 1)],
  ])('%s', async (_what, bytes) => {
    const {to, sockets} = await answering(() => bytes);
    const upstream = upstreamWith();
    const got = await send(upstream, to);
    expect(got.failure?.reason).toBe('UpstreamMalformed');
    expect(got.status).toBeNull();
    expect(upstream.counts()).toMatchObject({idle: 0, active: 0, sessions: 0, replayBytes: 0});
    await until(() => sockets[0]!.closed || sockets[0]!.readableEnded);
  });

  test('in the middle of a body: failed after the head', async () => {
    const {to} = await answering(() => `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n`);
    const got = await send(upstreamWith(), to);
    expect([got.status, got.body, got.failure?.reason]).toEqual([200, 'ok', 'UpstreamMalformed']);
  });
});

describe('where a response ends', () => {
  test.each<[string, string, Partial<OutgoingRequest>, number | null | 'none', string, boolean]>([
    ['at its length', OK, {}, 2, 'ok', true],
    [
      'at the last chunk',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
      {},
      null,
      'ok',
      true,
    ],
    ['at once: HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n', {method: 'HEAD'}, 'none', '', true],
    ['at once: 204', 'HTTP/1.1 204 No Content\r\n\r\n', {}, 'none', '', true],
    ['at once: 304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n', {}, 'none', '', true],
    ['at its length of nothing', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', {}, 0, '', true],
    [
      'at its length, and the server closes',
      'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',
      {},
      2,
      'ok',
      false,
    ],
    ['at its length, of HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', {}, 2, 'ok', false],
  ])('%s', async (_where, bytes, what, length, body, kept) => {
    const {to} = await answering(() => bytes);
    const upstream = upstreamWith();
    const got = await send(upstream, to, request(what));
    expect([got.failure, got.bytes, got.body]).toEqual([null, length, body]);
    expect(upstream.counts().idle).toBe(kept ? 1 : 0);
  });

  test('with the connection', async () => {
    const {to} = await answering((_head, _nth, socket) => {
      socket.end('HTTP/1.1 200 OK\r\n\r\nall of it');
      return null;
    });
    const got = await send(upstreamWith(), to);
    expect([got.failure, got.bytes, got.body]).toEqual([null, null, 'all of it']);
  });

  test('the length that HEAD tells is passed on; other framing is not', async () => {
    const {to} = await answering(
      () => 'HTTP/1.1 200 OK\r\nContent-Length: 500\r\nKeep-Alive: timeout=5\r\nX-A: 1\r\n\r\n',
    );
    const head = await send(upstreamWith(), to, request({method: 'HEAD'}));
    expect(head.headers).toEqual(['Content-Length', '500', 'X-A', '1']);
    const get = await answering(
      () => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-A: 1\r\n\r\nok',
    );
    expect((await send(upstreamWith(), get.to)).headers).toEqual(['X-A', '1']);
  });

  test('trailers come at the end', async () => {
    const {to} = await answering(
      () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n',
    );
    const got = await send(upstreamWith(), to);
    expect(got.trailers).toEqual(['X-Sum', '7']);
  });
});

describe('a response that is cut', () => {
  test.each([
    ['in its head', 'HTTP/1.1 200 O', null],
    ['before its length', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok', 200],
    ['before its last chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n', 200],
  ])('%s', async (_where, bytes, status) => {
    for (const how of ['end', 'reset'] as const) {
      const {to} = await answering((_head, _nth, socket) => {
        socket.write(bytes, 'latin1', () => (how === 'end' ? socket.end() : socket.resetAndDestroy()));
        return null;
      });
      const got = await send(upstreamWith(), to);
      expect(got.failure?.reason).toBe('UpstreamUnreachable');
      // A reset may overtake what was sent before it.
      if (how === 'end') expect(got.status).toBe(status);
      expect(got.calls).not.toContain('end');
    }
  });
});

describe('what is sent', () => {
  test('a head without a body', async () => {
    const {to, received} = await answering(() => OK);
    await send(
      upstreamWith(),
      to,
      request({target: '/a?b', authority: 'a.test:80', headers: ['X-A', '1', 'x-b', '2']}),
    );
    expect(received).toEqual(['GET /a?b HTTP/1.1\r\nHost: a.test:80\r\nX-A: 1\r\nx-b: 2\r\n\r\n']);
  });

  test('a body of known length, as it came', async () => {
    const {to, received} = await answering(() => null);
    const {exchange} = begin(upstreamWith(), to, request({method: 'POST', body: {kind: 'length', bytes: 4}}));
    exchange.write(Buffer.from('ab'));
    exchange.write(Buffer.from('cd'));
    exchange.end([]);
    await until(() => received[0]?.endsWith('abcd') ?? false);
    expect(received[0]).toBe('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nabcd');
  });

  test('a body of unknown length, in chunks with trailers', async () => {
    const {to, received} = await answering(() => null);
    const {exchange} = begin(
      upstreamWith(),
      to,
      request({method: 'POST', body: {kind: 'chunked'}, wantsTrailers: true}),
    );
    exchange.write(Buffer.from('ab'));
    exchange.end(['X-Sum', '7']);
    await until(() => received[0]?.endsWith('7\r\n\r\n') ?? false);
    expect(received[0]).toBe(
      'POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 7\r\n\r\n',
    );
  });

  test("an HTTP/2 client's cookies are one line", async () => {
    const {to, received} = await answering(() => OK);
    // Over https such a client may meet a server of HTTP/1.1 only; the codec is the same.
    await send(
      upstreamWith(),
      to,
      request({upgrade: 'websocket', client: 'h2', headers: ['cookie', 'a=1', 'x', 'y', 'cookie', 'b=2']}),
    );
    expect(received[0]).toContain('\r\ncookie: a=1; b=2\r\nx: y\r\n');
  });

  test.each<[string, Partial<OutgoingRequest>]>([
    ['a header of two lines', {headers: ['X-A', '1\r\nX-B: 2']}],
    ['a target of two words', {target: '/a HTTP/1.1\r\nX: 1'}],
    ['an authority that is more', {authority: 'a.test\r\nX: 1'}],
    ['framing of its own', {headers: ['Transfer-Encoding', 'chunked']}],
  ])('never %s', async (_what, what) => {
    const {to, received} = await answering(() => OK);
    const got = await send(upstreamWith(), to, request(what));
    expect(got.failure?.reason).toBe('MalformedRequest');
    expect(received.join('')).toBe('');
  });

  test.each([
    ['longer', 3, 'abcd', 'longer than its Content-Length'],
    ['shorter', 5, 'abcd', 'shorter than its Content-Length'],
  ])('a body that is %s than declared ends the leg', async (_what, bytes, body, message) => {
    const {to} = await answering(() => null);
    const upstream = upstreamWith();
    const got = await send(upstream, to, request({method: 'POST', body: {kind: 'length', bytes}}), [body]);
    expect(got.failure).toMatchObject({reason: 'MalformedRequest', message: expect.stringContaining(message)});
    expect(upstream.counts().active).toBe(0);
  });
});

describe('100-continue', () => {
  const waiting = request({method: 'POST', expectContinue: true, body: {kind: 'length', bytes: 4}});

  test('the head goes out at once and the body after the 100', async () => {
    const {to, received} = await answering(() => 'HTTP/1.1 100 Continue\r\n\r\n');
    const {recorder, exchange} = begin(upstreamWith(), to, waiting);
    await recorder.called('informational');
    expect(received[0]).toContain('Expect: 100-continue\r\n');
    expect(recorder.seen.informational).toEqual([100]);
    exchange.write(Buffer.from('body'));
    exchange.end([]);
    await until(() => received[0]!.endsWith('\r\n\r\nbody'));
  });

  test('a refusal before the body ends the leg: the rest of the request never comes', async () => {
    const {to} = await answering(() => 'HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n');
    const upstream = upstreamWith();
    const {recorder} = begin(upstream, to, waiting);
    const got = await recorder.over;
    expect([got.status, got.failure]).toEqual([417, null]);
    expect(upstream.counts()).toMatchObject({idle: 0, active: 0, sessions: 0, replayBytes: 0});
  });
});

describe('a WebSocket', () => {
  const upgrade = request({upgrade: 'websocket', headers: ['Sec-WebSocket-Key', 'k']});
  const SWITCH =
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n';

  test('the stream is handed over with its first bytes', async () => {
    const {to, received, sockets} = await answering(() => `${SWITCH}first`);
    const upstream = upstreamWith();
    const got = await send(upstream, to, upgrade);
    expect(got.headers).toEqual(['Sec-WebSocket-Accept', 'a']);
    expect(received[0]).toContain('Upgrade: websocket\r\nConnection: Upgrade\r\n');
    let text = '';
    got.stream!.on('data', (chunk: Buffer) => (text += chunk.toString()));
    got.stream!.resume();
    sockets[0]!.write(' second');
    await until(() => text === 'first second');
    got.stream!.write('from the client');
    await until(() => received[0]!.endsWith('from the client'));
    expect(upstream.counts()).toMatchObject({idle: 0, active: 0, sessions: 0, replayBytes: 0});
  });

  test('another protocol than was asked for', async () => {
    const {to} = await answering(() => SWITCH.replace('websocket', 'h2c'));
    expect((await send(upstreamWith(), to, upgrade)).failure?.reason).toBe('UpstreamMalformed');
  });

  test('an ordinary answer is one, and the leg is not kept', async () => {
    const {to} = await answering(() => 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
    const upstream = upstreamWith();
    const got = await send(upstream, to, upgrade);
    expect([got.status, got.body]).toEqual([403, 'no']);
    expect(upstream.counts().idle).toBe(0);
  });
});

describe('backpressure', () => {
  test('a client that is slow stops the server, and goes on where it stopped', async () => {
    const size = 8 * 1024 * 1024;
    const {to, sockets} = await answering(
      () => `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`,
    );
    const {recorder, exchange} = begin(upstreamWith(), to, request());
    recorder.ready = false;
    exchange.end([]);
    await recorder.called('body');
    // The kernel's buffers are full when the server's own no longer shrinks from one turn to the next.
    let before = -1;
    await until(() => {
      const still = sockets[0]!.writableLength === before;
      before = sockets[0]!.writableLength;
      return still;
    });
    expect(recorder.seen.body.length).toBeLessThan(size / 2);
    recorder.ready = true;
    exchange.resume();
    const got = await recorder.over;
    expect([got.failure, got.body.length]).toEqual([null, size]);
  });

  test('a server that is slow stops the client until drain()', async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      socket.pause();
      sockets.push(socket);
    });
    const to = route(await listening(server), {scheme: 'http'});
    const chunk = Buffer.alloc(256 * 1024);
    const total = 64 * chunk.length;
    const {recorder, exchange} = begin(
      upstreamWith(),
      to,
      request({method: 'POST', body: {kind: 'length', bytes: total}}),
    );
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
    // The leg is there, and the kernel takes no more.
    await until(() => sockets.length === 1 && sent > 4 * chunk.length);
    expect(sent).toBeLessThan(total);
    let got = 0;
    sockets[0]!.on('data', (data: Buffer) => {
      got += data.length;
      if (got >= total) sockets[0]!.write(OK);
    });
    sockets[0]!.resume();
    expect((await recorder.over).body).toBe('ok');
    expect(recorder.seen.calls).toContain('drain');
  });

  test('an abort closes the leg and nothing is said any more', async () => {
    const {to, sockets} = await answering(() => 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok');
    const upstream = upstreamWith();
    const {recorder, exchange} = begin(upstream, to, request());
    await recorder.called('body');
    exchange.abort();
    await until(() => sockets[0]!.readableEnded || sockets[0]!.closed);
    expect(recorder.seen.calls).toEqual(['dialled', 'head', 'body']);
    expect(upstream.counts()).toMatchObject({idle: 0, active: 0, sessions: 0, replayBytes: 0});
  });

  test('an abort before the leg is there: nothing is said either', async () => {
    const {to, received} = await answering(() => OK);
    const upstream = upstreamWith();
    const {recorder, exchange} = begin(upstream, to, request());
    exchange.abort();
    const other = await send(upstream, {...to, workload: 'default/other'});
    expect(other.body).toBe('ok');
    expect(recorder.seen.calls).toEqual([]);
    expect(received.filter((text) => text !== '')).toHaveLength(1);
  });
});

describe('an informational response', () => {
  test('is passed on, without what is of the connection', async () => {
    const {to} = await answering(() => `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}`);
    const got = await send(upstreamWith(), to);
    expect([got.informational, got.status, header(got.headers, 'link')]).toEqual([[103], 200, undefined]);
  });
});
