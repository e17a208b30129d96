import {createServer, type ServerHttp2Stream} from 'node:http2';
import {afterEach, describe, expect, test} from '@jest/globals';
import {LIMITS} from './limits.ts';
import {Shares} from './shares.ts';
import {begin, closeAll, listening, request, route, send, until, upstreamWith} from './testing/harness.ts';
import {OK, rawServer} from './testing/servers.ts';

afterEach(closeAll);

const NOISY = 'default/noisy';
const QUIET = 'default/quiet';
/** Side by side, so that a thousand names take a second. */
const BATCH = 100;

async function eachName(count: number, work: (name: string) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += BATCH)
    await Promise.all(Array.from({length: Math.min(BATCH, count - from)}, (_, i) => work(`n${from + i}.test`)));
}

/** An HTTP/2 server that answers at once, or keeps what asks for /held. */
async function h2Server(): Promise<{port: number; held: ServerHttp2Stream[]}> {
  const held: ServerHttp2Stream[] = [];
  const server = createServer();
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    if (headers[':path'] === '/held') held.push(stream);
    else {
      stream.respond({':status': 200});
      stream.end('ok');
    }
  });
  return {port: await listening(server), held};
}

describe('a workload that asks many servers', () => {
  test('keeps no more idle legs than its part, and another one keeps its own', async () => {
    const {server} = rawServer(() => OK);
    const port = await listening(server);
    const upstream = upstreamWith();
    const to = (name: string, workload: string) => route(port, {scheme: 'http', name, workload});
    await eachName(LIMITS.maxIdleLegsPerWorkload + 50, (name) => send(upstream, to(name, NOISY)));
    expect(upstream.counts().idle).toBe(LIMITS.maxIdleLegsPerWorkload);
    await send(upstream, to('a.test', QUIET));
    expect(upstream.counts().idle).toBe(LIMITS.maxIdleLegsPerWorkload + 1);
  });

  test('over HTTP/2 the oldest session that carries nothing makes room', async () => {
    const {port} = await h2Server();
    const upstream = upstreamWith();
    await eachName(LIMITS.maxSessionsPerWorkload + 50, async (name) => {
      const got = await send(upstream, route(port, {scheme: 'http', name, workload: NOISY}), request({client: 'h2'}));
      expect(got.body).toBe('ok');
    });
    await until(() => upstream.counts().sessions <= LIMITS.maxSessionsPerWorkload);
  });

  test('over HTTP/2 with all sessions in use it is refused, and another one is not', async () => {
    const {port, held} = await h2Server();
    const upstream = upstreamWith();
    const to = (name: string, workload: string) => route(port, {scheme: 'http', name, workload});
    await eachName(LIMITS.maxSessionsPerWorkload, async (name) => {
      const before = held.length;
      begin(upstream, to(name, NOISY), request({client: 'h2', target: '/held'}));
      await until(() => held.length > before);
    });
    await until(() => held.length === LIMITS.maxSessionsPerWorkload);
    const refused = await send(upstream, to('more.test', NOISY), request({client: 'h2'}));
    expect(refused.failure).toMatchObject({reason: 'LimitExceeded'});
    expect((await send(upstream, to('a.test', QUIET), request({client: 'h2'}))).body).toBe('ok');
  });
});

describe('bodies kept to be sent again', () => {
  test('are bounded by workload', () => {
    const shares = new Shares();
    const [noisy, quiet] = [shares.of(NOISY), shares.of(QUIET)];
    expect(noisy.keep(LIMITS.maxReplayBytesPerWorkload)).toBe(true);
    expect(noisy.keep(1)).toBe(false);
    expect(quiet.keep(1)).toBe(true);
  });

  test('are given back when the request is over', async () => {
    const {server} = rawServer(() => OK);
    const upstream = upstreamWith();
    const port = await listening(server);
    const body = request({method: 'POST', body: {kind: 'length', bytes: 3}});
    for (let i = 0; i < 3; i++)
      expect((await send(upstream, route(port, {scheme: 'http'}), body, ['abc'])).body).toBe('ok');
    expect(upstream.counts().replayBytes).toBe(0);
  });
});
