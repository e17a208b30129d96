import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {allow, deny, hello, usual, world, type World} from './testing/harness.ts';
import {splitAuthority} from './naming.ts';
import {settled} from './testing/settled.ts';

let w: World;
beforeEach(async () => {
  w = await world();
});
afterEach(() => w.close());

const GET = 'GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n';
const has =
  (text: string, times = 1) =>
  (received: string): boolean =>
    received.split(text).length > times;

describe('captured HTTP/1 in TLS', () => {
  test('an allowed request is carried to the claimed name, its answer comes back, and nothing hop-by-hop passes', async () => {
    const client = await w.tls();
    client.send(
      'GET /a?b HTTP/1.1\r\nHost: a.test\r\nX-A: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\nProxy-Authorization: no\r\n\r\n',
    );
    const received = await client.until(has('hello'));
    expect(received).toMatch(/^HTTP\/1\.1 200 \r\nContent-Type: text\/plain\r\nContent-Length: 5\r\n\r\nhello$/);
    const {request, route} = w.requests[0]!;
    expect(route).toMatchObject({
      scheme: 'https',
      name: 'a.test',
      dial: ['192.0.2.1'],
      via: {kind: 'direct'},
      workload: 'uid-1',
    });
    expect(request).toMatchObject({
      method: 'GET',
      target: '/a?b',
      authority: 'a.test',
      headers: ['X-A', '1'],
      body: {kind: 'none'},
      client: 'h1',
      upgrade: null,
    });
    expect(w.decisions).toHaveLength(1);
    expect(w.flows[0]).toMatchObject({
      status: 200,
      protocol: 'h1',
      bytesOut: 5,
      upstream: '192.0.2.1:443',
      failure: null,
    });
  });

  test('Alt-Svc is taken away: it would be a way around', async () => {
    const client = await w.tls();
    client.send(GET);
    expect(await client.until(has('hello'))).not.toContain('Alt-Svc');
  });

  test('a denied request gets the policy answer with the decision id, and no upstream is asked', async () => {
    const client = await w.tls();
    client.send('GET /no HTTP/1.1\r\nHost: a.test\r\n\r\n');
    const received = await client.until(has('by the test'));
    expect(received).toMatch(/^HTTP\/1\.1 418 /);
    expect(received).toContain(`x-sallyport-denial: ${w.decisions[0]!.decision.id}`);
    expect(w.requests).toHaveLength(0);
    expect(w.flows[0]).toMatchObject({status: 418, upstream: null, decision: {reason: 'NoRuleMatched'}});
  });

  test.each([
    ['a header that goes on', 'X-Team: blue', 200],
    ['a header that Connection takes away', 'X-Team: blue\r\nConnection: x-team', 418],
  ])('a rule that requires %s', async (_what, lines, status) => {
    w.decide = (request) =>
      request.traffic.kind === 'https' && !request.traffic.http.headers.includes('X-Team')
        ? deny(request)
        : usual(request);
    const client = await w.tls();
    client.send(`GET /a HTTP/1.1\r\nHost: a.test\r\n${lines}\r\n\r\n`);
    await client.until(has(`HTTP/1.1 ${status} `));
    expect(w.requests).toHaveLength(status === 200 ? 1 : 0);
  });

  test('every request of a kept connection is decided: names that disagree on the second are refused', async () => {
    const client = await w.tls();
    client.send(GET);
    await client.until(has('hello'));
    client.send('GET /b HTTP/1.1\r\nHost: b.test\r\n\r\n');
    await client.until(has('HTTP/1.1 421 '));
    expect(w.requests).toHaveLength(1);
  });

  test('a kept connection is held to the policy of the moment', async () => {
    const client = await w.tls();
    client.send(GET);
    await client.until(has('hello'));
    w.decide = (request) => (request.traffic.kind === 'https' ? deny(request) : usual(request));
    client.send(GET);
    await client.until(has('HTTP/1.1 418 '));
    expect(w.requests).toHaveLength(1);
  });

  test('pipelined requests are answered in order, one at a time', async () => {
    const held: (() => void)[] = [];
    w.serve = (seen, event) => {
      if (event === 'end') held.push(() => hello(seen, 'end'));
    };
    const client = await w.tls();
    client.send(`${GET}GET /no HTTP/1.1\r\nHost: a.test\r\n\r\nGET /c HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    await settled(() => held.length === 1);
    expect(w.requests).toHaveLength(1);
    expect(client.received).toBe('');
    held.shift()!();
    await client.until(has('by the test'));
    await settled(() => held.length === 1);
    held.shift()!();
    const received = await client.until(has('hello', 2));
    expect(received.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 418', 'HTTP/1.1 200']);
  });

  test('CONNECT inside the tunnel is refused', async () => {
    const client = await w.tls();
    client.send('CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n');
    await client.until(has('HTTP/1.1 4'));
    expect(w.requests).toHaveLength(0);
    expect(w.tunnels).toHaveLength(0);
  });

  test('h2c upgrade is refused', async () => {
    const client = await w.tls();
    client.send('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
    await client.until(has('HTTP/1.1 400 '));
    expect(w.requests).toHaveLength(0);
  });

  test.each([
    [
      'Content-Length and Transfer-Encoding',
      'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
    ],
    ['a bare LF', 'GET / HTTP/1.1\nHost: a.test\r\n\r\n'],
    ['bytes that are no HTTP', '\x01\x02hello\r\n\r\n'],
  ])('%s is 400 MalformedRequest, and the connection ends', async (_name, bytes) => {
    const client = await w.tls();
    client.send(bytes);
    const received = await client.all();
    expect(received).toMatch(/^HTTP\/1\.1 400 /);
    expect(received).toContain('Connection: close');
    expect(w.decisions[0]!.decision.reason).toBe('MalformedRequest');
    expect(w.requests).toHaveLength(0);
  });

  test('a bad chunk after a good head: 400, the upstream exchange is aborted and never ended', async () => {
    const client = await w.tls();
    client.send('POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n');
    expect(await client.all()).toMatch(/^HTTP\/1\.1 400 /);
    expect(w.requests[0]).toMatchObject({body: 'abc', ended: false, aborted: true});
    expect(w.flows[0]!.failure).toMatchObject({reason: 'MalformedRequest'});
  });
});

describe('bodies', () => {
  test('chunked both ways, with trailers both ways', async () => {
    w.serve = (seen, event) => {
      if (event !== 'end') return;
      seen.handlers.head(200, [], null);
      seen.handlers.body(Buffer.from('one'));
      seen.handlers.body(Buffer.from('two'));
      seen.handlers.end(['X-Sum', '1']);
    };
    const client = await w.tls();
    client.send(
      'POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n',
    );
    const received = await client.until(has('X-Sum: 1\r\n\r\n'));
    expect(received).toContain('Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\nX-Sum: 1\r\n\r\n');
    expect(w.requests[0]).toMatchObject({
      body: 'abc',
      ended: true,
      trailers: ['X-T', '1'],
      request: {body: {kind: 'chunked'}, wantsTrailers: true},
    });
  });

  test('HTTP/1.0 gets no chunks: the body ends with the connection', async () => {
    w.serve = (seen, event) => {
      if (event !== 'end') return;
      seen.handlers.head(200, [], null);
      seen.handlers.body(Buffer.from('old'));
      seen.handlers.end([]);
    };
    const client = await w.tls();
    client.send('GET / HTTP/1.0\r\nHost: a.test\r\n\r\n');
    const received = await client.all();
    expect(received).toMatch(/Connection: close\r\n\r\nold$/);
    expect(received).not.toContain('chunked');
  });

  test.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('%s with %d has no body, and the connection is kept', async (method, status) => {
    w.serve = (seen, event) => {
      if (event !== 'end') return;
      if (seen.request.target === '/last') {
        hello(seen, event);
        return;
      }
      seen.handlers.head(status, [], 'none');
      seen.handlers.end([]);
    };
    const client = await w.tls();
    client.send(`${method} / HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    await client.until(has(`HTTP/1.1 ${status} \r\n\r\n`));
    client.send('GET /last HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await client.until(has('hello'));
  });

  test('a denied HEAD is answered without a body', async () => {
    const client = await w.tls();
    client.send('HEAD /no HTTP/1.1\r\nHost: a.test\r\n\r\nGET /a HTTP/1.1\r\nHost: a.test\r\n\r\n');
    const received = await client.until(has('hello'));
    expect(received).not.toContain('by the test');
    expect(received).toContain('content-length: 11');
  });

  test('a denied request that expects 100 gets no 100', async () => {
    const client = await w.tls();
    client.send('POST /no HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n');
    const received = await client.all();
    expect(received).toMatch(/^HTTP\/1\.1 418 /);
    expect(received).toContain('Connection: close');
  });

  test('100 is the upstream’s: passed on, then the body flows', async () => {
    w.serve = (seen, event) => {
      if (event === 'head') queueMicrotask(() => seen.handlers.informational(100, []));
      else hello(seen, event);
    };
    const client = await w.tls();
    client.send('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n');
    await client.until(has('HTTP/1.1 100 '));
    expect(w.requests[0]!.request.expectContinue).toBe(true);
    client.send('abc');
    await client.until(has('hello'));
    expect(w.requests[0]!.body).toBe('abc');
  });

  test('a refused upload reaches nobody, and its client reads the answer to the end', async () => {
    const client = await w.tls();
    client.send('POST /no HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3000000\r\n\r\n');
    for (let i = 0; i < 30; i++) client.send('x'.repeat(100_000));
    const received = await client.all();
    expect(received).toMatch(/^HTTP\/1\.1 418 [^]*by the test$/);
    expect(w.requests).toHaveLength(0);
  });

  test('a small refused upload is dropped and the connection kept', async () => {
    const client = await w.tls();
    client.send('POST /no HTTP/1.1\r\nHost: a.test\r\nContent-Length: 200000\r\n\r\n');
    await client.until(has('by the test'));
    client.send('x'.repeat(200_000) + GET);
    await client.until(has('hello'));
  });

  test('an upstream that is slow stops the client: no more is read until it drains', async () => {
    w.writable = false;
    const client = await w.tls();
    client.send(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8000000\r\n\r\n`);
    client.send('x'.repeat(8_000_000));
    await settled(() => w.requests[0] !== undefined && w.requests[0].body.length > 0);
    const before = w.requests[0]!.body.length;
    expect(before).toBeLessThan(100_000);
    w.writable = true;
    w.requests[0]!.handlers.drain();
    await client.until(has('hello'));
    expect(w.requests[0]!.body).toHaveLength(8_000_000);
  });

  test('a client that reads slowly bounds what is held, and stops the upstream', async () => {
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    let resumed = 0;
    let stopped = false;
    const total = 400;
    const pour = (seen: Parameters<typeof hello>[0]): void => {
      while (sent < total) {
        sent++;
        if (!seen.handlers.body(chunk)) {
          stopped = true;
          return;
        }
      }
      seen.handlers.end([]);
    };
    w.serve = (seen, event) => {
      if (event === 'end') {
        seen.handlers.head(200, [], total * chunk.length);
        pour(seen);
      } else if (event === 'body') {
        resumed++;
        pour(seen);
      }
    };
    const client = await w.tls();
    client.socket.pause();
    client.send(GET);
    await settled(() => stopped);
    // The kernel's buffers take some megabytes; the rest of the 25 MB waits at the server.
    expect(sent).toBeLessThan(total);
    client.socket.resume();
    await settled(() => client.received.length > total * chunk.length);
    expect(resumed).toBeGreaterThan(0);
  });

  test('an early answer is passed on while the upload is under way; what is left reaches nobody', async () => {
    w.serve = (seen, event) => {
      if (event !== 'body') return;
      seen.handlers.head(413, [], 3);
      seen.handlers.body(Buffer.from('big'));
      seen.handlers.end([]);
    };
    const client = await w.tls();
    client.send('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nabc');
    await client.until(has('big'));
    expect(w.requests[0]).toMatchObject({aborted: true, ended: false});
  });
});

describe('what goes wrong', () => {
  test('a failure before the head is 502 with reason, advice and id', async () => {
    w.serve = (seen, event) => {
      if (event === 'end') seen.handlers.failed({reason: 'UpstreamUntrusted', message: 'its certificate has expired'});
    };
    const client = await w.tls();
    client.send(GET);
    const received = await client.until(has('Decision: '));
    expect(received).toMatch(/^HTTP\/1\.1 502 /);
    expect(received).toContain('UpstreamUntrusted\nits certificate has expired\n');
    expect(received).toContain('`tls` rule');
    expect(w.flows[0]).toMatchObject({status: 502, failure: {reason: 'UpstreamUntrusted'}});
  });

  test('a failure after the head cuts the connection: a chunked body stays unterminated', async () => {
    w.serve = (seen, event) => {
      if (event !== 'end') return;
      seen.handlers.head(200, [], null);
      seen.handlers.body(Buffer.from('half'));
      setImmediate(() => seen.handlers.failed({reason: 'UpstreamMalformed', message: 'cut'}));
    };
    const client = await w.tls();
    client.send(GET);
    const received = await client.all().catch(() => client.received);
    expect(received).not.toContain('\r\n0\r\n');
    expect(w.flows[0]).toMatchObject({status: 200, failure: {reason: 'UpstreamMalformed'}});
  });

  test('the upstream exchange of a client that goes away is aborted', async () => {
    w.serve = () => undefined;
    const raw = await w.raw();
    const client = await w.tls({}, raw);
    client.send(GET);
    await settled(() => w.requests.length === 1 && w.requests[0]!.ended);
    raw.resetAndDestroy();
    await settled(() => w.requests[0]!.aborted);
    expect(w.flows[0]!.failure).toMatchObject({reason: 'ClientAborted'});
  });

  test.each(['plain', 'tls'] as const)(
    'a client that half-closes behind its request still gets the answer (%s)',
    async (kind) => {
      const client = await w[kind]();
      client.send(GET);
      client.socket.end();
      expect(await client.all()).toMatch(/hello$/);
    },
  );

  test('half-closed, it is not waited for as long as an open one', async () => {
    await w.close();
    w = await world({limits: {halfClosedMs: 1}});
    w.serve = () => undefined;
    const client = await w.plain();
    client.send(GET);
    client.socket.end();
    await settled(() => w.requests[0]?.aborted === true);
  });

  test('an answer that cannot be written is cut, not half written', async () => {
    w.serve = (seen, event) => {
      if (event === 'end') seen.handlers.head(200, ['x', 'a\r\nSet-Cookie: b'], 0);
    };
    const client = await w.tls();
    client.send(GET);
    await client.all().catch(() => undefined);
    expect(client.received).toBe('');
  });

  test('a gRPC request is denied as HTTP 200 with grpc-status 7 and the reason', async () => {
    const client = await w.tls();
    client.send(
      'POST /no HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc+proto\r\nContent-Length: 0\r\n\r\n',
    );
    const received = await client.until(has('\r\n\r\n'));
    expect(received).toMatch(/^HTTP\/1\.1 200 /);
    expect(received).toContain('grpc-status: 7\r\n');
    expect(received).toContain('grpc-message: NoRuleMatched');
  });
});

test('in the clear a request is http and decided by its Host', async () => {
  const client = await w.plain();
  client.send(GET);
  await client.until(has('hello'));
  expect(w.requests[0]!.route).toMatchObject({scheme: 'http', name: 'a.test'});
});

test('mutations of the rule are applied to the request and the answer', async () => {
  w.decide = (request) => {
    const answer = usual(request);
    return 'needs' in answer
      ? answer
      : allow(request, {
          requestMutations: {set: {'x-team': 'set'}, add: {}, remove: ['x-secret']},
          responseMutations: {set: {}, add: {'x-seen': '1'}, remove: ['content-type']},
        });
  };
  const client = await w.tls();
  client.send('GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: x-team\r\nX-Team: forged\r\nX-Secret: s\r\n\r\n');
  const received = await client.until(has('hello'));
  expect(w.requests[0]!.request.headers).toEqual(['x-team', 'set']);
  expect(received).toContain('x-seen: 1');
  expect(received).not.toContain('Content-Type');
});

test.each([
  ['a.test:443', {host: 'a.test', port: 443}],
  ['[::1]:80', {host: '::1', port: 80}],
  ['a.test', {host: 'a.test', port: null}],
  ['a.test:0', null],
  ['a.test:+80', null],
  ['a.test:99999', null],
  ['::1', null],
  [':80', null],
  ['[::1', null],
])('the authority %s is %j', (text, expected) => expect(splitAuthority(text)).toEqual(expected));

test('large heads that are not whole yet are bounded per workload: 503, and what was counted is given back', async () => {
  await w.close();
  w = await world({limits: {smallHeadBytes: 1_000, headerBytesPerWorkload: 6_000}});
  const first = await w.tls();
  first.send(`GET /a HTTP/1.1\r\nHost: a.test\r\nX-Large: ${'x'.repeat(4_000)}`);
  await settled(() => w.relay.held().headerBytes > 4_000);
  const second = await w.tls();
  second.send(`GET /a HTTP/1.1\r\nHost: a.test\r\nX-Large: ${'x'.repeat(4_000)}`);
  await second.until(has('LimitExceeded'));
  expect(w.limits).toContain('headerBytes');
  first.send('\r\n\r\n');
  await first.until(has('hello'));
  expect(w.relay.held().headerBytes).toBe(0);
  const third = await w.tls();
  third.send(`GET /a HTTP/1.1\r\nHost: a.test\r\nX-Large: ${'x'.repeat(4_000)}`);
  await settled(() => w.relay.held().headerBytes > 4_000);
  third.socket.destroy();
  await settled(() => w.relay.held().headerBytes === 0);
});

test('a client that pipelines and does not read has no more requests looked at than it takes answers', async () => {
  const count = 5_000;
  w.decide = (request) =>
    request.traffic.kind === 'https'
      ? deny(request, {response: {status: 403, headers: [], body: 'x'.repeat(10_000)}})
      : usual(request);
  const client = await w.tls();
  client.socket.pause();
  client.send('GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n'.repeat(count));
  // It has come to a stand when many turns see nothing more.
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  for (let same = 0; same < 100;) {
    const before = w.decisions.length;
    await turn();
    same = before > 0 && w.decisions.length === before ? same + 1 : 0;
  }
  expect(w.decisions.length).toBeLessThan(count);
  client.socket.resume();
  await client.until(() => w.flows.length === count);
});

test.each(['plain', 'tls'] as const)('a slow client gets all of its last answer (%s)', async (how) => {
  await w.close();
  w = await world({limits: {lingerMs: 1, silentTimeoutMs: 1, detectTimeoutMs: 1}});
  const chunk = Buffer.alloc(64 * 1024);
  const total = 400;
  w.serve = (seen, event) => {
    if (event !== 'end') return;
    seen.handlers.head(200, [], total * chunk.length);
    for (let i = 0; i < total; i++) seen.handlers.body(chunk);
    seen.handlers.end([]);
  };
  const client = await w[how]();
  client.socket.pause();
  client.send('GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
  await settled(() => w.flows.length === 1);
  // Deadlines are looked at one connection after the other: this one's comes after the slow client's.
  const later = await w.raw();
  later.resume();
  later.on('error', () => undefined);
  await settled(() => later.destroyed);
  client.socket.resume();
  expect((await client.all()).length).toBeGreaterThan(total * chunk.length);
  expect(client.error).toBeNull();
});
