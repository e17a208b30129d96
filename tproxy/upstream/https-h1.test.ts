import {createServer} from 'node:https';
import {afterEach, describe, expect, test} from '@jest/globals';
import {testCa} from './testing/certificates.ts';
import {closeAll, header, listening, request, route, send, upstreamWith} from './testing/harness.ts';

const ca = testCa('Test Root');
afterEach(closeAll);

describe('https over HTTP/1.1', () => {
  test('a request and its answer', async () => {
    const seen: string[] = [];
    const server = createServer(ca.issue('a.test'), (incoming, outgoing) => {
      seen.push(`${incoming.method} ${incoming.url} ${incoming.headers.host} ${String(incoming.headers['x-a'])}`);
      outgoing.setHeader('x-b', '2');
      outgoing.end('hello');
    });
    const port = await listening(server);
    const upstream = upstreamWith({upstreamCa: ca.pem});
    const got = await send(upstream, route(port), request({target: '/p?q', headers: ['X-A', '1']}));
    expect(got.failure).toBeNull();
    expect(seen).toEqual(['GET /p?q a.test 1']);
    expect([got.status, got.body, header(got.headers, 'x-b'), got.bytes]).toEqual([200, 'hello', '2', 5]);
    expect(header(got.headers, 'connection')).toBeUndefined();
    expect(got.dialled).toEqual([[`127.0.0.1:${port}`, null]]);
    expect(got.calls).toEqual(['dialled', 'head', 'body', 'end']);
  });

  test('the next request takes the same leg', async () => {
    let connections = 0;
    const server = createServer(ca.issue('a.test'), (_incoming, outgoing) => outgoing.end('ok'));
    server.on('secureConnection', () => connections++);
    const port = await listening(server);
    const upstream = upstreamWith({upstreamCa: ca.pem});
    for (let i = 0; i < 3; i++) expect((await send(upstream, route(port))).body).toBe('ok');
    expect(connections).toBe(1);
    expect(upstream.counts()).toMatchObject({idle: 1, active: 0, sessions: 0});
  });
});
