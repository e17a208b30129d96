import {createServer as createHttp} from 'node:http';
import {createServer as createHttp2, createSecureServer} from 'node:http2';
import {createServer as createHttps} from 'node:https';
import type {Server} from 'node:net';
import {afterEach, describe, expect, test} from '@jest/globals';
import type {OutgoingRequest, Route} from './contract.ts';
import {LIMITS} from './limits.ts';
import {testCa} from './testing/certificates.ts';
import {begin, closeAll, listening, Recorder, request, route, send, until, upstreamWith} from './testing/harness.ts';
import {OK, rawServer} from './testing/servers.ts';

const ca = testCa('Test Root');
afterEach(closeAll);

describe('an idle leg', () => {
  test.each<[string, Partial<Route>, boolean]>([
    ['serves the same workload to the same name', {}, true],
    ['serves where its address is among several', {dial: ['127.0.0.9', '127.0.0.1']}, true],
    ['is not used where its address is no longer allowed', {dial: ['127.0.0.2']}, false],
    ['is not shared with another workload', {workload: 'default/other'}, false],
    ['is not shared with another name at the same address', {name: 'b.test'}, false],
  ])('%s', async (_what, second, shared) => {
    const {server, received} = rawServer(() => OK);
    const port = await listening(server, '0.0.0.0');
    const upstream = upstreamWith();
    await send(upstream, route(port, {scheme: 'http'}));
    const got = await send(upstream, route(port, {scheme: 'http', ...second}));
    expect(got.body).toBe('ok');
    expect(received).toHaveLength(shared ? 1 : 2);
    if (second.dial !== undefined) expect(second.dial).toContain(got.dialled[0]![0].split(':')[0]);
  });

  test('is not shared with another port of the same name', async () => {
    const [first, second] = [rawServer(() => OK), rawServer(() => OK)];
    const ports = [await listening(first.server), await listening(second.server)] as const;
    const upstream = upstreamWith();
    for (const port of ports) await send(upstream, route(port, {scheme: 'http'}));
    expect([first.received.length, second.received.length]).toEqual([1, 1]);
  });

  test('is closed by closeIdle(), and one that is in use is not', async () => {
    const answers: (() => void)[] = [];
    const {server} = rawServer((head, _nth, socket) => {
      if (head.startsWith('GET /later')) answers.push(() => socket.write(OK));
      return head.startsWith('GET /later') ? null : OK;
    });
    const port = await listening(server);
    const upstream = upstreamWith();
    const {recorder} = begin(upstream, route(port, {scheme: 'http'}), request({target: '/later'}));
    await until(() => answers.length === 1);
    await send(upstream, route(port, {scheme: 'http'}));
    expect(upstream.counts()).toMatchObject({idle: 1, active: 1});
    upstream.closeIdle();
    expect(upstream.counts()).toMatchObject({idle: 0, active: 1});
    answers[0]!();
    expect((await recorder.over).body).toBe('ok');
  });

  test('on which bytes come unasked is closed: they would answer the next request', async () => {
    const {server, received, sockets} = rawServer((_head, nth) => `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${nth}`);
    const port = await listening(server);
    const upstream = upstreamWith();
    await send(upstream, route(port, {scheme: 'http'}));
    sockets[0]!.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil');
    await until(() => upstream.counts().idle === 0);
    expect((await send(upstream, route(port, {scheme: 'http'}))).body).toBe('0');
    expect(received).toHaveLength(2);
  });

  test('is not kept where bytes follow the response in the same packet', async () => {
    const {server} = rawServer(() => `${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`);
    const upstream = upstreamWith();
    const got = await send(upstream, route(await listening(server), {scheme: 'http'}));
    expect([got.body, upstream.counts().idle]).toEqual(['ok', 0]);
  });

  test('is not kept where the server answered before the request was whole', async () => {
    const {server} = rawServer(() => OK);
    const upstream = upstreamWith();
    const {recorder, exchange} = begin(
      upstream,
      route(await listening(server), {scheme: 'http'}),
      request({method: 'POST', body: {kind: 'length', bytes: 9}}),
    );
    exchange.write(Buffer.from('half'));
    expect((await recorder.over).body).toBe('ok');
    expect(exchange.write(Buffer.from('more'))).toBe(true);
    exchange.end([]);
    expect(upstream.counts()).toMatchObject({idle: 0, active: 0, sessions: 0});
  });
});

describe('a request that is given up when it hears where it would go', () => {
  test.each<['h1' | 'h2', string, (asked: string[]) => Server]>([
    ['h1', 'HTTP/1', (asked) => createHttp((message, answer) => answer.end(void asked.push(message.url!)))],
    ['h2', 'HTTP/2', (asked) => createHttp2((message, answer) => answer.end(void asked.push(message.url)))],
  ])('is not sent (%s)', async (client, _what, server) => {
    const asked: string[] = [];
    const upstream = upstreamWith();
    const to = route(await listening(server(asked)), {scheme: 'http'});
    const recorder = new Recorder();
    const refused = Promise.withResolvers<void>();
    recorder.dialled = (): void => {
      exchange.abort();
      refused.resolve();
    };
    const exchange = upstream.request(to, request({client, target: '/denied'}), recorder);
    await refused.promise;
    expect((await send(upstream, to, request({client, target: '/next'}))).status).toBe(200);
    expect(asked).toEqual(['/next']);
    expect(recorder.seen.calls).toEqual([]);
    expect(upstream.counts().active).toBe(0);
  });
});

describe('an idle leg that turns out to be closed', () => {
  /** A server whose connections end, without an answer, at their second request. */
  async function forgetful(): Promise<{to: Route; received: string[]}> {
    const {server, received} = rawServer((_head, nth, socket) => {
      if (nth === 0) return OK;
      socket.destroy();
      return null;
    });
    return {to: route(await listening(server), {scheme: 'http'}), received};
  }

  test.each<[string, Partial<OutgoingRequest>, string[], boolean]>([
    ['GET is sent again', {}, [], true],
    ['HEAD is sent again', {method: 'HEAD'}, [], true],
    ['PUT is sent again with its body', {method: 'PUT', body: {kind: 'length', bytes: 4}}, ['ab', 'cd'], true],
    ['DELETE is sent again', {method: 'DELETE'}, [], true],
    ['POST is not: it may have been done', {method: 'POST', body: {kind: 'length', bytes: 4}}, ['abcd'], false],
    ['PATCH is not', {method: 'PATCH', body: {kind: 'length', bytes: 4}}, ['abcd'], false],
    [
      'PUT with more body than is kept is not',
      {method: 'PUT', body: {kind: 'length', bytes: LIMITS.maxReplayBytes + 1}},
      ['x'.repeat(LIMITS.maxReplayBytes + 1)],
      false,
    ],
  ])('%s', async (_what, what, body, again) => {
    const {to, received} = await forgetful();
    const upstream = upstreamWith();
    await send(upstream, to);
    const got = await send(upstream, to, request(what), body);
    expect(got.failure?.reason).toBe(again ? undefined : 'UpstreamUnreachable');
    expect(received).toHaveLength(again ? 2 : 1);
    if (again) expect(received[1]).toContain(body.join(''));
  });

  test('a request is sent again once only', async () => {
    let alive = true;
    const {server, received} = rawServer((_head, _nth, socket) => {
      if (alive) return OK;
      socket.destroy();
      return null;
    });
    const to = route(await listening(server), {scheme: 'http'});
    const upstream = upstreamWith();
    await send(upstream, to);
    alive = false;
    expect((await send(upstream, to)).failure?.reason).toBe('UpstreamUnreachable');
    expect(received).toHaveLength(2);
  });

  test('a fresh leg that closes is no stale one: nothing is sent again', async () => {
    const {server, received} = rawServer((_head, _nth, socket) => {
      socket.destroy();
      return null;
    });
    const got = await send(upstreamWith(), route(await listening(server), {scheme: 'http'}));
    expect(got.failure).toMatchObject({
      reason: 'UpstreamUnreachable',
      message: expect.stringContaining('before it answered'),
    });
    expect(received).toHaveLength(1);
  });

  test('a response that began is not asked for again', async () => {
    const {server, received} = rawServer((_head, nth, socket) => {
      if (nth === 0) return OK;
      socket.end('HTTP/1.1 200 OK\r\nContent-');
      return null;
    });
    const to = route(await listening(server), {scheme: 'http'});
    const upstream = upstreamWith();
    await send(upstream, to);
    expect((await send(upstream, to)).failure?.reason).toBe('UpstreamUnreachable');
    expect(received).toHaveLength(1);
  });
});

describe('which HTTP is spoken to an https server', () => {
  const versions: string[] = [];
  async function server(alpn: string[]): Promise<number> {
    versions.length = 0;
    const certificate = ca.issue('a.test');
    if (alpn.includes('h2')) {
      const both = createSecureServer({...certificate, allowHTTP1: alpn.includes('http/1.1')}, (incoming, outgoing) => {
        versions.push(incoming.httpVersion);
        outgoing.end(incoming.httpVersion);
      });
      return listening(both);
    }
    const one = createHttps({...certificate, ALPNProtocols: alpn}, (incoming, outgoing) => {
      versions.push(incoming.httpVersion);
      outgoing.end(incoming.httpVersion);
    });
    return listening(one);
  }

  test.each([
    ['an h1 client, where the server has both', 'h1', ['h2', 'http/1.1'], '1.1'],
    ['an h2 client, where the server has both', 'h2', ['h2', 'http/1.1'], '2.0'],
    ['an h2 client, where the server has only http/1.1', 'h2', ['http/1.1'], '1.1'],
    ['an h1 client, where the server has only h2: bridged', 'h1', ['h2'], '2.0'],
  ] as const)('%s', async (_what, client, alpn, version) => {
    const port = await server([...alpn]);
    const upstream = upstreamWith({upstreamCa: ca.pem});
    for (let i = 0; i < 2; i++) {
      const got = await send(upstream, route(port), request({client}));
      expect([got.failure, got.body]).toEqual([null, version]);
    }
    const {idle, sessions} = upstream.counts();
    expect([idle, sessions]).toEqual(version === '1.1' ? [1, 0] : [0, 1]);
  });

  test('requests that wait for the first handshake find out together', async () => {
    for (const alpn of [['h2', 'http/1.1'], ['http/1.1']]) {
      const port = await server(alpn);
      const upstream = upstreamWith({upstreamCa: ca.pem});
      const all = await Promise.all(
        Array.from({length: 5}, () => send(upstream, route(port), request({client: 'h2'}))),
      );
      expect(all.map((got) => got.status)).toEqual([200, 200, 200, 200, 200]);
      expect(upstream.counts().sessions).toBe(alpn.includes('h2') ? 1 : 0);
    }
  });

  test('a WebSocket to a server of h2 only is refused, and says why', async () => {
    const port = await server(['h2']);
    const got = await send(upstreamWith({upstreamCa: ca.pem}), route(port), request({upgrade: 'websocket'}));
    expect(got.failure).toMatchObject({
      reason: 'UpstreamUnreachable',
      message: expect.stringContaining('no_application_protocol'),
    });
  });
});

describe('a session', () => {
  test.each<[string, Partial<Route>, number]>([
    ['is shared by streams of one workload', {}, 1],
    ['is not shared with another workload', {workload: 'default/other'}, 2],
    ['is not used where its address is no longer allowed', {dial: ['127.0.0.2']}, 2],
  ])('%s', async (_what, second, sessions) => {
    const server = createSecureServer(ca.issue('a.test'), (_incoming, outgoing) => outgoing.end('ok'));
    const port = await listening(server, '0.0.0.0');
    const upstream = upstreamWith({upstreamCa: ca.pem});
    await send(upstream, route(port), request({client: 'h2'}));
    expect((await send(upstream, route(port, second), request({client: 'h2'}))).body).toBe('ok');
    expect(upstream.counts().sessions).toBe(sessions);
  });
});

describe('as time passes', () => {
  let now = 0;
  const at = (ms: number): void => void (now = 1_000_000 + ms);
  const ticking = {upstreamCa: ca.pem, tickMs: 1, now: () => now};

  test('an idle leg is closed', async () => {
    at(0);
    const {server, sockets} = rawServer(() => OK);
    const upstream = upstreamWith(ticking);
    await send(upstream, route(await listening(server), {scheme: 'http'}));
    expect(upstream.counts().idle).toBe(1);
    at(LIMITS.idleLegMs);
    await until(() => sockets[0]!.readableEnded);
    expect(upstream.counts().idle).toBe(0);
  });

  test("a second before the server's own keep-alive time is over", async () => {
    at(0);
    const {server} = rawServer(() => 'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=3, max=9\r\nContent-Length: 0\r\n\r\n');
    const upstream = upstreamWith(ticking);
    await send(upstream, route(await listening(server), {scheme: 'http'}));
    at(1_999);
    expect(upstream.counts().idle).toBe(1);
    at(2_000);
    await until(() => upstream.counts().idle === 0);
  });

  test('an idle session is closed', async () => {
    at(0);
    const server = createSecureServer(ca.issue('a.test'), (_incoming, outgoing) => outgoing.end('ok'));
    const upstream = upstreamWith(ticking);
    await send(upstream, route(await listening(server)), request({client: 'h2'}));
    expect(upstream.counts().sessions).toBe(1);
    at(LIMITS.idleSessionMs);
    await until(() => upstream.counts().sessions === 0);
  });

  /** A clock that goes on by a second with each look at it, and so with each tick. */
  const running = (): Parameters<typeof upstreamWith>[0] => {
    let ms = 1_000_000;
    return {...ticking, now: () => (ms += 1_000)};
  };

  test('a server that owes an answer and is silent is given up', async () => {
    const {server, sockets} = rawServer(() => null);
    const got = await send(upstreamWith(running()), route(await listening(server), {scheme: 'http'}));
    expect(got.failure).toMatchObject({reason: 'UpstreamUnreachable', message: expect.stringContaining('silent')});
    await until(() => sockets[0]!.readableEnded);
  });

  test('so is one whose session answers pings, and only the stream', async () => {
    const answering = createSecureServer(ca.issue('a.test'));
    answering.on('stream', (stream) => {
      stream.on('error', () => {});
      if (stream.id === 1) return;
      stream.respond({':status': 200});
      stream.end('ok');
    });
    const upstream = upstreamWith(running());
    const to = route(await listening(answering));
    const got = await send(upstream, to, request({client: 'h2'}));
    expect(got.failure?.reason).toBe('UpstreamUnreachable');
    expect((await send(upstream, to, request({client: 'h2'}))).failure).toBeNull();
  });

  test('a session whose server no longer answers pings is closed, and its streams fail', async () => {
    const {server, received} = rawServer(() => null);
    const upstream = upstreamWith(running());
    const got = await send(upstream, route(await listening(server), {scheme: 'http'}), request({client: 'h2'}));
    expect(got.failure).toMatchObject({message: expect.stringContaining('ended the HTTP/2 stream before it answered')});
    expect(upstream.counts().sessions).toBe(0);
    // A PING frame of eight bytes (RFC 9113 §6.7).
    expect(received[0]).toContain('\0\0\x08\x06');
  });
});
