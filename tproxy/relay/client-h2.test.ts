import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {once} from 'node:events';
import {
  connect,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type {Socket} from 'node:net';
import {connect as tlsConnect} from 'node:tls';
import {deny, hello, pair, world, type World} from './testing/harness.ts';
import {settled} from './testing/settled.ts';
import {get, headers, PREFACE, rst, settings} from '../../test/limits/frames.ts';
import type {RelayLimits} from './limits.ts';

let w: World;
let session: ClientHttp2Session;
beforeEach(async () => {
  w = await world();
  const raw = await w.raw();
  const tls = tlsConnect({socket: raw, servername: 'a.test', ca: w.ca, ALPNProtocols: ['h2']});
  await once(tls, 'secureConnect');
  session = connect('https://a.test', {createConnection: () => tls});
  session.on('error', () => undefined);
});
afterEach(async () => {
  session.destroy();
  await w.close();
});

interface Answer {
  status: number | null;
  headers: Record<string, unknown>;
  body: string;
  trailers: Record<string, unknown> | null;
  code: number | null;
}

function ask(
  headers: OutgoingHttpHeaders,
  body: string | null = null,
): {stream: ClientHttp2Stream; answer: Promise<Answer>} {
  const stream = session.request({':authority': 'a.test', ':path': '/a', ...headers}, {endStream: body === null});
  const answer: Answer = {status: null, headers: {}, body: '', trailers: null, code: null};
  stream.on('response', (head) => {
    answer.status = Number(head[':status']);
    answer.headers = {...head};
  });
  stream.on('data', (chunk: Buffer) => {
    answer.body += chunk.toString();
  });
  stream.on('trailers', (trailers) => {
    answer.trailers = {...trailers};
  });
  stream.on('error', () => undefined);
  if (body !== null) stream.end(body);
  return {
    stream,
    answer: new Promise((resolve) =>
      stream.once('close', () => {
        answer.code = stream.rstCode ?? null;
        resolve(answer);
      }),
    ),
  };
}

describe('requests over HTTP/2', () => {
  test('an allowed one is carried, its answer comes back', async () => {
    const answer = await ask({':path': '/a?b', 'x-a': '1', cookie: ['a=1', 'b=2']}).answer;
    expect(answer).toMatchObject({
      status: 200,
      body: 'hello',
      headers: {'content-type': 'text/plain', 'content-length': '5'},
    });
    expect(answer.headers).not.toHaveProperty('alt-svc');
    expect(w.requests[0]).toMatchObject({
      route: {scheme: 'https', name: 'a.test'},
      request: {
        method: 'GET',
        target: '/a?b',
        authority: 'a.test',
        headers: ['x-a', '1', 'cookie', 'a=1; b=2'],
        body: {kind: 'none'},
        client: 'h2',
      },
    });
    expect(w.flows[0]).toMatchObject({status: 200, protocol: 'h2', bytesOut: 5});
  });

  test('a denied one gets the policy answer, and the session goes on', async () => {
    expect(await ask({':path': '/no'}).answer).toMatchObject({status: 418, body: 'by the test'});
    expect(await ask({}).answer).toMatchObject({status: 200});
    expect(w.requests).toHaveLength(1);
  });

  test('each request is decided: another authority is 421', async () => {
    expect(await ask({':authority': 'a.test'}).answer).toMatchObject({status: 200});
    expect(await ask({':authority': 'b.test'}).answer).toMatchObject({status: 421});
    expect(w.requests).toHaveLength(1);
  });

  test('node:http2 hands over a stream whose authority and host differ: both reach the decision', async () => {
    expect(await ask({':authority': 'a.test', host: 'evil.test'}).answer).toMatchObject({status: 421});
    expect(w.decisions[0]!.request.traffic).toMatchObject({http: {authority: 'a.test', host: 'evil.test'}});
    expect(w.requests).toHaveLength(0);
  });

  test('a denied HEAD has no body', async () => {
    expect(await ask({':method': 'HEAD', ':path': '/no'}).answer).toMatchObject({status: 418, body: ''});
  });

  test('an ordinary CONNECT is refused', async () => {
    const {answer} = ask({':method': 'CONNECT', ':authority': 'a.test:443', ':path': undefined});
    expect((await answer).status).toBeGreaterThanOrEqual(400);
    expect(w.requests).toHaveLength(0);
  });

  test('an extended CONNECT for anything but WebSocket is refused', async () => {
    await once(session, 'remoteSettings');
    const {answer} = ask(
      {':method': 'CONNECT', ':protocol': 'connect-udp', ':scheme': 'https', ':authority': 'a.test', ':path': '/x'},
      '',
    );
    expect((await answer).status).toBe(400);
    expect(w.requests).toHaveLength(0);
  });
});

describe('lengths', () => {
  test('a body of its declared length is held until it is whole, then sent', async () => {
    const second = session.request({':authority': 'a.test', ':path': '/a', ':method': 'POST', 'content-length': '6'});
    second.on('error', () => undefined);
    second.write('abc');
    await settledTurns();
    expect(w.requests).toHaveLength(0);
    second.end('def');
    await once(second, 'response');
    expect(w.requests[0]).toMatchObject({body: 'abcdef', ended: true, request: {body: {kind: 'length', bytes: 6}}});
  });

  test.each([
    ['shorter than it said', '9', 'abc'],
    ['longer than it said', '2', 'abcdef'],
    ['absent though declared', '3', ''],
  ])('a body that is %s reaches nobody', async (_name, length, body) => {
    const {answer} = ask({':method': 'POST', 'content-length': length}, body);
    // Refused where we see it; nghttp2 resets the stream where it does.
    expect([null, 400]).toContain((await answer).status);
    expect(w.requests).toHaveLength(0);
  });

  test('a workload that has enough of its bodies held has the next one streamed, its last piece held back', async () => {
    await w.close();
    session.destroy();
    w = await world({limits: {heldBytesPerWorkload: 10}});
    const tls = tlsConnect({socket: await w.raw(), servername: 'a.test', ca: w.ca, ALPNProtocols: ['h2']});
    await once(tls, 'secureConnect');
    session = connect('https://a.test', {createConnection: () => tls});
    session.on('error', () => undefined);
    const upload = (): ClientHttp2Stream => {
      const stream = session.request({':authority': 'a.test', ':path': '/a', ':method': 'POST', 'content-length': '6'});
      stream.on('error', () => undefined).write('abc');
      return stream;
    };
    const first = upload();
    const second = upload();
    await settled(() => w.requests.length === 1 && w.requests[0]!.body === 'abc');
    first.end('def');
    await once(first, 'response');
    second.end('def');
    await once(second, 'response');
    expect(w.requests.map(({body, ended}) => [body, ended])).toEqual([
      ['abcdef', true],
      ['abcdef', true],
    ]);
    first.resume();
    second.resume();
    await Promise.all([once(first, 'close'), once(second, 'close')]);
    const third = upload();
    await settledTurns();
    expect(w.requests).toHaveLength(2);
    third.end('def');
    await once(third, 'response');
  });

  test('of a large body the last piece is held back until its length is proved', async () => {
    const size = 200_000;
    const long = session.request({
      ':authority': 'a.test',
      ':path': '/a',
      ':method': 'POST',
      'content-length': String(size),
    });
    long.on('error', () => undefined);
    long.write('x'.repeat(size));
    await settled(() => w.requests.length === 1 && w.requests[0]!.body.length > 0);
    await settledTurns();
    expect(w.requests[0]!.body.length).toBeLessThan(size);
    long.end('one too many');
    await new Promise<void>((resolve) => long.once('close', () => resolve()));
    await settled(() => w.requests[0]!.aborted);
    expect(w.requests[0]).toMatchObject({ended: false});
    expect(w.requests[0]!.body.length).toBeLessThan(size);
  });

  test('a large body that is right arrives whole', async () => {
    const body = 'x'.repeat(3_000_000);
    expect(await ask({':method': 'POST', 'content-length': String(body.length)}, body).answer).toMatchObject({
      status: 200,
    });
    expect(w.requests[0]!.body).toHaveLength(body.length);
  });

  test('a refused upload reaches nobody and its client sees the status', async () => {
    const answer = await ask({':method': 'POST', ':path': '/no', 'content-length': '1000000'}, 'x'.repeat(1_000_000))
      .answer;
    expect(answer).toMatchObject({status: 418, body: 'by the test'});
    expect(w.requests).toHaveLength(0);
  });
});

describe('trailers of a request', () => {
  const upload = (trailers: OutgoingHttpHeaders, headers: OutgoingHttpHeaders = {}): Promise<Answer> => {
    const stream = session.request(
      {':authority': 'a.test', ':path': '/a', ':method': 'POST', ...headers},
      {waitForTrailers: true},
    );
    const answer: Answer = {status: null, headers: {}, body: '', trailers: null, code: null};
    stream.on('error', () => undefined);
    stream.on('response', (head) => (answer.status = Number(head[':status'])));
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.resume().end('abc');
    return new Promise((resolve) =>
      stream.once('close', () => {
        answer.code = stream.rstCode ?? null;
        resolve(answer);
      }),
    );
  };

  test('are passed on', async () => {
    expect(await upload({'x-checksum': '1'})).toMatchObject({status: 200});
    expect(w.requests[0]!.trailers).toEqual(['x-checksum', '1']);
  });

  test.each(['authorization', 'x-original-url', 'cookie'])(
    'that no rule has judged and a server may believe end it, as over HTTP/1: %s',
    async (name) => {
      expect(await upload({[name]: 'x'})).toMatchObject({status: 400});
      expect(w.requests[0]).toMatchObject({ended: false, aborted: true});
    },
  );

  test('the same behind a body that is held until it is whole: it reaches nobody', async () => {
    expect(await upload({authorization: 'x'}, {'content-length': '3'})).toMatchObject({status: 400});
    expect(w.requests).toHaveLength(0);
  });
});

describe('gRPC', () => {
  const grpc = {':method': 'POST', 'content-type': 'application/grpc', te: 'trailers'};

  test('a bidirectional stream: messages both ways before either ends, then trailers', async () => {
    w.serve = (seen, event) => {
      if (event === 'head') queueMicrotask(() => seen.handlers.head(200, ['content-type', 'application/grpc'], null));
      if (event === 'body') seen.handlers.body(Buffer.from(`echo:${seen.body}`));
      if (event === 'end') seen.handlers.end(['grpc-status', '0']);
    };
    const bidi = session.request({':authority': 'a.test', ':path': '/s', ...grpc});
    await once(bidi, 'response');
    bidi.write('one');
    const [chunk] = (await once(bidi, 'data')) as [Buffer];
    expect(chunk.toString()).toBe('echo:one');
    const trailers = once(bidi, 'trailers');
    bidi.end();
    expect((await trailers)[0]).toMatchObject({'grpc-status': '0'});
    expect(w.requests.at(-1)!.request).toMatchObject({wantsTrailers: true, body: {kind: 'chunked'}, client: 'h2'});
    await settled(() => w.flows.some((flow) => flow.protocol === 'grpc' && flow.status === 200));
  });

  test('a denial is trailers-only: HTTP 200, grpc-status 7, the reason', async () => {
    const answer = await ask({...grpc, ':path': '/no'}, '').answer;
    expect(answer).toMatchObject({
      status: 200,
      body: '',
      headers: {'grpc-status': '7', 'content-type': 'application/grpc'},
    });
    expect(answer.headers['grpc-message']).toContain('NoRuleMatched');
    expect(w.requests).toHaveLength(0);
  });

  test('no answer from the server is grpc-status 14', async () => {
    w.serve = (seen, event) => {
      if (event === 'end') seen.handlers.failed({reason: 'UpstreamUnreachable', message: 'nobody there'});
    };
    expect(await ask(grpc, '').answer).toMatchObject({status: 200, headers: {'grpc-status': '14'}});
  });
});

test('an answer before the end of the request is whole, and a client that goes on is told to stop', async () => {
  w.serve = (seen, event) => {
    if (event === 'head') hello(seen, 'end');
  };
  const stream = session.request({':authority': 'a.test', ':path': '/a', ':method': 'POST'}, {endStream: false});
  let body = '';
  stream.setEncoding('utf8').on('data', (text: string) => (body += text));
  const closed = once(stream, 'close');
  const more = (): void => {
    if (!stream.destroyed && stream.writable) stream.write(Buffer.alloc(16 * 1024), () => setImmediate(more));
  };
  more();
  // END_STREAM came, not only a reset: 'end' with the stream's code still clear.
  await once(stream, 'end');
  expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  expect(stream.aborted).toBe(false);
  expect(body).toBe('hello');
  await closed;
  expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
});

test('a failure after the head resets the stream', async () => {
  w.serve = (seen, event) => {
    if (event !== 'end') return;
    seen.handlers.head(200, [], null);
    seen.handlers.body(Buffer.from('half'));
    setImmediate(() => seen.handlers.failed({reason: 'UpstreamMalformed', message: 'cut'}));
  };
  expect(await ask({}).answer).toMatchObject({status: 200, code: constants.NGHTTP2_INTERNAL_ERROR});
});

test('the upstream exchange of a reset stream is aborted', async () => {
  w.serve = () => undefined;
  const {stream} = ask({});
  await settled(() => w.requests.length === 1);
  stream.close(constants.NGHTTP2_CANCEL);
  await settled(() => w.requests[0]!.aborted);
});

test('WebSocket by extended CONNECT is an h1 upgrade upstream, and a pipe', async () => {
  const [ours, server] = pair();
  w.serve = (seen, event) => {
    if (event === 'end') seen.handlers.upgraded(['Sec-WebSocket-Accept', 'x'], ours);
  };
  await once(session, 'remoteSettings');
  const stream = session.request(
    {':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'https', ':authority': 'a.test', ':path': '/ws'},
    {endStream: false},
  );
  const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
  expect(head[':status']).toBe(200);
  const {request} = w.requests[0]!;
  expect(request).toMatchObject({
    method: 'GET',
    target: '/ws',
    upgrade: 'websocket',
    client: 'h1',
    body: {kind: 'none'},
  });
  expect(request.headers[0]).toBe('sec-websocket-key');
  stream.write('up');
  const [up] = (await once(server, 'data')) as [Buffer];
  expect(String(up)).toBe('up');
  server.write('down');
  const [down] = (await once(stream, 'data')) as [Buffer];
  expect(String(down)).toBe('down');
});

test('a change of policy ends a running stream', async () => {
  w.serve = (seen, event) => {
    if (event === 'end') seen.handlers.head(200, [], null);
  };
  const {stream, answer} = ask({});
  await once(stream, 'response');
  w.decide = (request) => deny(request);
  w.relay.policiesChanged();
  expect(await answer).toMatchObject({code: constants.NGHTTP2_INTERNAL_ERROR});
  expect(w.requests[0]!.aborted).toBe(true);
});

test('drain says GOAWAY and finishes what is under way', async () => {
  const held: (() => void)[] = [];
  w.serve = (seen, event) => {
    if (event === 'end') held.push(() => hello(seen, 'end'));
  };
  const {answer} = ask({});
  await settled(() => held.length === 1);
  const goaway = once(session, 'goaway');
  w.relay.drain(60_000);
  await goaway;
  held[0]!();
  expect(await answer).toMatchObject({status: 200, body: 'hello'});
});

test('prior knowledge in the clear is http', async () => {
  const raw = await w.raw();
  const clear = connect('http://a.test', {createConnection: () => raw});
  const stream = clear.request({':authority': 'a.test', ':path': '/a'});
  const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
  expect(head[':status']).toBe(200);
  expect(w.requests[0]!.route).toMatchObject({scheme: 'http', name: 'a.test'});
  expect(w.decisions[0]!.request.traffic).toMatchObject({kind: 'http', http: {version: '2'}});
  clear.destroy();
});

describe('limits', () => {
  /** Another world than the usual one, with a session of its own. */
  async function limited(limits: Partial<RelayLimits>): Promise<void> {
    session.destroy();
    await w.close();
    w = await world({limits});
    const raw = await w.raw();
    session = connect('http://a.test', {createConnection: () => raw});
    session.on('error', () => undefined);
  }

  test('a stream above the limit of a workload is 503 LimitExceeded and reaches nobody', async () => {
    await limited({streamsPerWorkload: 1});
    w.serve = () => undefined;
    const {stream} = ask({});
    await settled(() => w.requests.length === 1);
    const refused = await ask({}).answer;
    expect(refused).toMatchObject({status: 503});
    expect(refused.body).toContain('LimitExceeded');
    expect(w.requests).toHaveLength(1);
    stream.close(constants.NGHTTP2_CANCEL);
    await settled(() => w.relay.held().streams === 0);
    w.serve = hello;
    expect(await ask({}).answer).toMatchObject({status: 200});
  });

  test('large heads above the limit of a workload are 503, small ones go on, and all is given back', async () => {
    await limited({smallHeadBytes: 1_000, headerBytesPerWorkload: 6_000});
    w.serve = () => undefined;
    ask({'x-large': 'x'.repeat(4_000)});
    await settled(() => w.requests.length === 1);
    expect(w.relay.held().headerBytes).toBeGreaterThan(4_000);
    expect(await ask({'x-large': 'x'.repeat(4_000)}).answer).toMatchObject({status: 503});
    w.serve = hello;
    expect(await ask({}).answer).toMatchObject({status: 200});
    session.destroy();
    await settled(() => w.relay.held().headerBytes === 0);
  });

  test('a stream that stands still is ended, though another one of its connection moves', async () => {
    await limited({idleTimeoutMs: 1});
    w.serve = (seen) => {
      if (seen.request.upgrade === 'websocket') seen.handlers.upgraded([], pair()[0]);
    };
    await once(session, 'remoteSettings');
    const {stream} = ask(
      {':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'http', ':authority': 'a.test', ':path': '/ws'},
      '',
    );
    await once(stream, 'response');
    expect(await ask({}).answer).toMatchObject({status: 502});
    expect(stream.destroyed).toBe(false);
    stream.destroy();
  });

  test('a client that stands still and takes no answer either is cut', async () => {
    await limited({idleTimeoutMs: 1, lingerMs: 1});
    w.serve = (seen, event) => {
      if (event !== 'end') return;
      seen.handlers.head(200, [], null);
      seen.handlers.body(Buffer.alloc(100_000));
    };
    const raw = await w.raw();
    raw.on('error', () => undefined);
    const block = get('a.test', '/a');
    raw.write(Buffer.concat([PREFACE, settings([4, 0]), headers(1, block)]));
    await gone(raw);
    await settled(() => w.relay.held().streams === 0);
  });

  test('a client that ends its side without a word is let go, with all that it had under way', async () => {
    w.serve = () => undefined;
    const raw = await w.raw();
    raw.write(Buffer.concat([PREFACE, settings(), headers(1, get('a.test', '/a'))]));
    await settled(() => w.requests.length === 1);
    raw.end();
    await gone(raw);
    await settled(() => w.requests[0]!.aborted);
    expect(w.relay.held()).toMatchObject({streams: 0, requests: 0});
  });

  test('streams that are opened and reset without end are the end of the session', async () => {
    await limited({streamResetBurst: 10, streamResetsPerSecond: 0});
    w.serve = () => undefined;
    const raw = await w.raw();
    raw.on('error', () => undefined);
    const block = get('a.test', '/a');
    const pair = (i: number): Buffer => Buffer.concat([headers(2 * i + 1, block), rst(2 * i + 1)]);
    raw.write(Buffer.concat([PREFACE, settings(), ...Array.from({length: 20}, (_, i) => pair(i))]));
    await gone(raw);
    expect(w.limits).toContain('streamResets');
    // Reset before they were looked at: nothing was decided for them.
    expect(w.decisions).toHaveLength(0);
    await settled(() => w.relay.held().streams === 0);
  });

  test('answers that their servers cut are not counted as resets of the client', async () => {
    await limited({streamResetBurst: 2, streamResetsPerSecond: 0});
    w.serve = (seen, event) => {
      if (event !== 'end') return;
      seen.handlers.head(200, [], null);
      seen.handlers.body(Buffer.from('half'));
      setImmediate(() => seen.handlers.failed({reason: 'UpstreamMalformed', message: 'cut'}));
    };
    for (let i = 0; i < 5; i++) expect(await ask({}).answer).toMatchObject({code: constants.NGHTTP2_INTERNAL_ERROR});
    expect(w.limits).not.toContain('streamResets');
  });

  test('settings and pings without end are the end of the session', async () => {
    await limited({controlFrameBurst: 10, controlFramesPerSecond: 0});
    const raw = await w.raw();
    raw.on('error', () => undefined);
    raw.write(Buffer.concat([PREFACE, ...Array.from({length: 20}, () => settings())]));
    await gone(raw);
    expect(w.limits).toContain('controlFrames');
  });
});

/** The other side has ended the connection, or cut it. */
async function gone(raw: Socket): Promise<void> {
  raw.resume();
  await Promise.race([once(raw, 'end'), once(raw, 'close')]);
}

async function settledTurns(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
}
