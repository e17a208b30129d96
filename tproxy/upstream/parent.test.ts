import {createServer as createHttps} from 'node:https';
import {createSecureServer} from 'node:http2';
import {createServer as createPlain} from 'node:net';
import {afterEach, describe, expect, test} from '@jest/globals';
import type {Failure, Route, Upstream} from './contract.ts';
import type {ParentProxy, UpstreamOptions} from './index.ts';
import {testCa} from './testing/certificates.ts';
import {connectProxy} from './testing/connect-proxy.ts';
import {closeAll, listening, onClose, request, route, send, upstreamWith} from './testing/harness.ts';
import {OK, rawServer} from './testing/servers.ts';

const ca = testCa('Test Root');
const corporate = testCa('Corporate Root');
afterEach(closeAll);

const via = (sends: 'name' | 'address', proxy = 'corp'): Partial<Route> => ({via: {kind: 'proxy', proxy, sends}});

function parent(ports: readonly number[], more: Partial<ParentProxy> = {}): ParentProxy {
  return {
    endpoints: ports.map((port) => ({tls: false, host: '127.0.0.1', port})),
    credentials: null,
    caBundle: null,
    ...more,
  };
}

function through(proxy: ParentProxy, options: Partial<UpstreamOptions> = {}): Upstream {
  return upstreamWith({upstreamCa: ca.pem, proxy: (name) => (name === 'corp' ? proxy : undefined), ...options});
}

/** An https server that says it was reached. */
async function origin(): Promise<number> {
  return listening(createHttps(ca.issue('a.test'), (_incoming, outgoing) => outgoing.end('origin')));
}

/** A port on which nothing listens. */
async function deadPort(): Promise<number> {
  const server = createPlain();
  const port = await listening(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function rawConnect(
  upstream: Upstream,
  to: Route,
): Promise<{text: () => Promise<string>; write: (text: string) => void} | {failure: Failure}> {
  return new Promise((resolve) => {
    upstream.connect(to, (result) => {
      if ('failure' in result) {
        resolve(result);
        return;
      }
      const {stream} = result;
      onClose(() => stream.destroy());
      stream.on('error', () => {});
      resolve({
        write: (text) => stream.end(text),
        text: async () => {
          let text = '';
          for await (const chunk of stream) text += String(chunk);
          return text;
        },
      });
    });
  });
}

describe('through a parent', () => {
  test.each([
    ['https by name', 'name', (port: number) => `CONNECT a.test:${port} HTTP/1.1`],
    ['https by the checked address', 'address', (port: number) => `CONNECT 127.0.0.1:${port} HTTP/1.1`],
  ] as const)('%s', async (_what, sends, line) => {
    const port = await origin();
    const {server, heads} = connectProxy(() => null);
    const at = await listening(server);
    const upstream = through(parent([at]));
    for (let i = 0; i < 2; i++) {
      const got = await send(upstream, route(port, via(sends)));
      expect([got.failure, got.body, got.dialled]).toEqual([null, 'origin', [[`127.0.0.1:${at}`, 'corp']]]);
    }
    // The second request took the same tunnel.
    expect(heads.map((head) => head.split('\r\n')[0])).toEqual([line(port)]);
    expect(heads[0]).toContain(`\r\nHost: ${line(port).split(' ')[1]}\r\n`);
  });

  test('an IPv6 address in brackets', async () => {
    const {server, heads} = connectProxy(() => 'HTTP/1.1 403 Forbidden\r\n\r\n');
    await send(through(parent([await listening(server)])), route(443, {...via('address'), dial: ['2001:db8::1']}));
    expect(heads[0]).toMatch(/^CONNECT \[2001:db8::1\]:443 HTTP\/1\.1\r\nHost: \[2001:db8::1\]:443\r\n/);
  });

  test('h2 inside the tunnel', async () => {
    const server = createSecureServer(ca.issue('a.test'), (_incoming, outgoing) => outgoing.end('h2 origin'));
    const port = await listening(server);
    const proxy = connectProxy(() => null);
    const upstream = through(parent([await listening(proxy.server)]));
    expect((await send(upstream, route(port, via('name')), request({client: 'h2'}))).body).toBe('h2 origin');
  });

  test('http in absolute-form: the parent keeps the leg, and the name decided on is what it is asked for', async () => {
    const {server, received} = rawServer(() => OK);
    const at = await listening(server);
    const upstream = through(parent([at]));
    const to = route(8080, {...via('name'), scheme: 'http'});
    await send(upstream, to, request({target: '/a?b', authority: 'A.TEST:8080'}));
    await send(upstream, {...to, port: 80}, request({target: '/c'}));
    await send(upstream, to, request({method: 'OPTIONS', target: '*'}));
    expect(received).toEqual([
      'GET http://a.test:8080/a?b HTTP/1.1\r\nHost: a.test:8080\r\n\r\nOPTIONS http://a.test:8080 HTTP/1.1\r\nHost: a.test:8080\r\n\r\n',
      'GET http://a.test/c HTTP/1.1\r\nHost: a.test\r\n\r\n',
    ]);
  });

  test('http by the checked address: a tunnel, and origin-form inside', async () => {
    const {server, received} = rawServer(() => OK);
    const port = await listening(server);
    const proxy = connectProxy(() => null);
    const upstream = through(parent([await listening(proxy.server)]));
    const got = await send(upstream, route(port, {...via('address'), scheme: 'http'}), request({target: '/a'}));
    expect(got.body).toBe('ok');
    expect(proxy.heads[0]).toMatch(`CONNECT 127.0.0.1:${port} `);
    expect(received[0]).toBe('GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n');
  });

  test('a WebSocket over http: a tunnel, for parents do not upgrade', async () => {
    const {server} = rawServer(
      () => 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    );
    const port = await listening(server);
    const proxy = connectProxy(() => null);
    const upstream = through(parent([await listening(proxy.server)]));
    const got = await send(upstream, route(port, {...via('name'), scheme: 'http'}), request({upgrade: 'websocket'}));
    expect(got.calls).toEqual(['dialled', 'upgraded']);
    expect(proxy.heads[0]).toMatch(`CONNECT a.test:${port} `);
  });

  test('a raw connection, whose first bytes came with the 200', async () => {
    const echo = createPlain({allowHalfOpen: true}, (socket) => socket.pipe(socket));
    const port = await listening(echo);
    const proxy = connectProxy(() => null, {glue: '220 ready '});
    const upstream = through(parent([await listening(proxy.server)]));
    for (const scheme of ['tls', 'tcp'] as const) {
      const raw = await rawConnect(upstream, route(port, {...via('address'), scheme}));
      if ('failure' in raw) throw new Error(raw.failure.message);
      raw.write('hello');
      expect(await raw.text()).toBe('220 ready hello');
    }
  });

  test('the 200 in pieces, and interim responses before it', async () => {
    const port = await origin();
    const proxy = connectProxy(() => null);
    const slow = createPlain((client) => {
      client.once('data', () => {
        const pieces = ['HTTP/1.1 1', '03 Hints\r\n\r\nHTTP/1.0 200 ', 'OK\r\nX: y\r\n', '\r\n'];
        const next = (): void => {
          const piece = pieces.shift();
          if (piece !== undefined) client.write(piece, () => setImmediate(next));
        };
        next();
      });
    });
    void proxy;
    const raw = await rawConnect(
      through(parent([await listening(slow)])),
      route(port, {...via('name'), scheme: 'tls'}),
    );
    expect(raw).not.toHaveProperty('failure');
  });
});

describe('credentials', () => {
  const credentials = {username: 'sälly', password: 'p:w d'};
  const line = `Proxy-Authorization: Basic ${Buffer.from('sälly:p:w d', 'utf8').toString('base64')}\r\n`;

  test('are said to the parent with CONNECT, and not in the tunnel', async () => {
    const {server, received} = rawServer(() => OK);
    const port = await listening(server);
    const proxy = connectProxy(() => null);
    const upstream = through(parent([await listening(proxy.server)], {credentials}));
    await send(upstream, route(port, {...via('address'), scheme: 'http'}));
    expect(proxy.heads[0]).toContain(line);
    expect(received.join('')).not.toContain('Proxy-Authorization');
  });

  test('are said to the parent with an absolute-form request', async () => {
    const {server, received} = rawServer(() => OK);
    const upstream = through(parent([await listening(server)], {credentials}));
    await send(upstream, route(80, {...via('name'), scheme: 'http'}));
    expect(received[0]).toContain(line);
  });

  test.each(['TRACE', 'trace'])(
    'are not sent with %s, which the parent itself would answer with all that it got',
    async (method) => {
      const {server} = rawServer(() => OK);
      const port = await listening(server);
      // RFC 9110 §9.3.8, with `Max-Forwards: 0` from the parent itself; to CONNECT it opens the tunnel.
      const echoed: string[] = [];
      const proxy = connectProxy((head) => {
        if (head.startsWith('CONNECT ')) return null;
        echoed.push(head);
        return `HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: ${head.length}\r\n\r\n${head}`;
      });
      const upstream = through(parent([await listening(proxy.server)], {credentials}));
      const to = route(port, {...via('name'), scheme: 'http'});
      const got = await send(upstream, to, request({method, headers: ['Max-Forwards', '0']}));
      expect([got.failure, got.body, echoed]).toEqual([null, 'ok', []]);
      expect(proxy.heads[0]).toMatch(`CONNECT a.test:${port} `);
    },
  );

  test('are in no message', async () => {
    const proxy = connectProxy(() => 'HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
    const got = await send(through(parent([await listening(proxy.server)], {credentials})), route(443, via('name')));
    expect(got.failure?.message).not.toContain('p:w');
    expect(got.failure?.message).toContain('its credentials are wrong');
  });

  test('that change are used at once: no leg of the old ones is taken', async () => {
    const {server, received} = rawServer(() => OK);
    let current = parent([await listening(server)], {credentials: {username: 'old', password: 'x'}});
    const upstream = upstreamWith({proxy: () => current});
    const to = route(80, {...via('name'), scheme: 'http'});
    await send(upstream, to);
    current = {...current, credentials: {username: 'new', password: 'x'}};
    await send(upstream, to);
    expect(received).toHaveLength(2);
    expect(received[1]).toContain(Buffer.from('new:x').toString('base64'));
  });
});

describe('what a parent answers to CONNECT', () => {
  test.each([
    [
      '407',
      'HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n',
      'UpstreamProxyRefused',
      'give it credentials by `auth`',
    ],
    ['403', 'HTTP/1.1 403 Forbidden\r\n\r\n', 'UpstreamProxyRefused', 'answered 403 Forbidden to CONNECT'],
    ['400', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'UpstreamProxyRefused', 'answered 400'],
    ['a redirect', 'HTTP/1.1 302 Found\r\nLocation: http://login\r\n\r\n', 'UpstreamProxyRefused', 'answered 302'],
    ['500', 'HTTP/1.1 500 Unable to connect\r\n\r\n', 'UpstreamUnreachable', 'answered 500'],
    ['503', 'HTTP/1.1 503 Service Unavailable\r\n\r\n', 'UpstreamUnreachable', 'answered 503'],
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n', 'UpstreamMalformed', 'no proper response'],
    ['a head without end', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}`, 'UpstreamMalformed', 'no proper response'],
    [
      'a 101',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
      'UpstreamMalformed',
      'no proper response',
    ],
  ])('%s: said, final, and never direct', async (_what, answer, reason, message) => {
    const port = await origin();
    const proxy = connectProxy(() => answer);
    const second = connectProxy(() => null);
    const upstream = through(parent([await listening(proxy.server), await listening(second.server)]));
    const got = await send(upstream, route(port, via('name')));
    expect(got.failure?.reason).toBe(reason);
    expect(got.failure?.message).toContain(message);
    expect(got.calls).toEqual(['failed']);
    expect(second.heads).toEqual([]);
    expect(await rawConnect(upstream, route(port, {...via('name'), scheme: 'tls'}))).toMatchObject({failure: {reason}});
  });

  test('5xx for one checked address: the next one is asked for', async () => {
    const port = await origin();
    const proxy = connectProxy((head) => (head.startsWith('CONNECT 127.0.0.9:') ? 'HTTP/1.1 503 No\r\n\r\n' : null));
    const upstream = through(parent([await listening(proxy.server)]));
    const got = await send(upstream, route(port, {...via('address'), dial: ['127.0.0.9', '127.0.0.1']}));
    expect([got.failure, got.body]).toEqual([null, 'origin']);
  });

  test("407 to an absolute-form request is ours, not the client's", async () => {
    const {server} = rawServer(
      () => 'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n',
    );
    const got = await send(through(parent([await listening(server)])), route(80, {...via('name'), scheme: 'http'}));
    expect([got.failure?.reason, got.status]).toEqual(['UpstreamProxyRefused', null]);
  });

  test('the certificate inside the tunnel is verified like any other', async () => {
    const {server, received} = rawServer(() => OK, corporate.issue('a.test'));
    const port = await listening(server);
    const proxy = connectProxy(() => null);
    const got = await send(
      through(parent([await listening(proxy.server)], {caBundle: corporate.pem})),
      route(port, via('name')),
    );
    // The caBundle is for the parent itself, not for what comes through it.
    expect([got.failure?.reason, received.join('')]).toEqual(['UpstreamUntrusted', '']);
  });
});

describe('failover', () => {
  test('an endpoint that refuses is passed over, then tried last', async () => {
    const port = await origin();
    const proxy = connectProxy(() => null);
    const at = await listening(proxy.server);
    const dead = await deadPort();
    let dialled = 0;
    const upstream = through(parent([dead, at]), {
      isOwnListener: (_address, p) => {
        if (p === dead) dialled++;
        return false;
      },
    });
    for (const workload of ['a', 'b', 'c'])
      expect((await send(upstream, route(port, {...via('name'), workload}))).body).toBe('origin');
    expect(dialled).toBe(1);
  });

  test('an endpoint that hangs up before its answer is passed over', async () => {
    const port = await origin();
    const broken = createPlain((socket) => socket.once('data', () => socket.destroy()));
    const proxy = connectProxy(() => null);
    const upstream = through(parent([await listening(broken), await listening(proxy.server)]));
    expect((await send(upstream, route(port, via('name')))).body).toBe('origin');
  });

  test('an endpoint whose name does not resolve is passed over', async () => {
    const port = await origin();
    const proxy = connectProxy(() => null);
    const at = await listening(proxy.server);
    const endpoints = [
      {tls: false, host: 'gone.test', port: 3128},
      {tls: false, host: 'here.test', port: at},
    ];
    const upstream = through(parent([], {endpoints}), {
      resolver: {
        lookup: (names, _recent, done) =>
          done(new Map(names.map((name) => [name, name === 'here.test' ? ['127.0.0.1'] : 'failed']))),
      },
    });
    expect((await send(upstream, route(port, via('name')))).body).toBe('origin');
  });

  test('none is left: unreachable, named, and never direct', async () => {
    const port = await origin();
    const upstream = through(parent([await deadPort(), await deadPort()]));
    for (const to of [
      route(port, via('name')),
      route(port, {...via('address'), scheme: 'http'}),
      route(80, {...via('name'), scheme: 'http'}),
    ]) {
      const got = await send(upstream, to);
      expect(got.failure?.reason).toBe('UpstreamUnreachable');
      expect(got.failure?.message).toContain('the UpstreamProxy corp cannot be used: endpoint 1: ');
    }
  });

  test.each<[string, Partial<Route>]>([
    ['the rule names none that exists', {via: {kind: 'missing', proxy: 'not-there'}}],
    ['it is gone since the decision', via('name', 'gone')],
    ['there is no checked address to send', {...via('address'), dial: []}],
  ])('%s: unreachable, and never direct', async (_what, more) => {
    let connections = 0;
    const server = createPlain(() => connections++);
    const port = await listening(server);
    const upstream = through(parent([port]));
    for (const scheme of ['https', 'http', 'tls', 'tcp'] as const) {
      const to = route(port, {...more, scheme});
      const failure =
        scheme === 'https' || scheme === 'http' ? (await send(upstream, to)).failure : await rawConnect(upstream, to);
      expect(JSON.stringify(failure)).toContain('UpstreamUnreachable');
    }
    expect(connections).toBe(0);
  });

  test('an endpoint that is a listener of ours is not dialled', async () => {
    let connections = 0;
    const port = await listening(createPlain(() => connections++));
    const got = await send(through(parent([port]), {isOwnListener: () => true}), route(443, via('name')));
    expect([got.failure?.reason, connections]).toEqual(['UpstreamUnreachable', 0]);
  });
});

describe('TLS to the parent', () => {
  async function secure(
    certificate = corporate.issue('proxy.test'),
  ): Promise<{proxy: ReturnType<typeof connectProxy>; at: number}> {
    const proxy = connectProxy((head) => (head.startsWith('GET http://') ? OK : null), {tls: certificate});
    return {proxy, at: await listening(proxy.server)};
  }
  const toParent = (at: number, more: Partial<ParentProxy>): ParentProxy =>
    parent([], {endpoints: [{tls: true, host: 'proxy.test', port: at}], ...more});

  test('https inside it, and http', async () => {
    const port = await origin();
    const {at} = await secure();
    const upstream = through(toParent(at, {caBundle: corporate.pem}));
    expect((await send(upstream, route(port, via('name')))).body).toBe('origin');
    expect((await send(upstream, route(80, {...via('name'), scheme: 'http'}))).body).toBe('ok');
  });

  test.each([
    ['of an unknown issuer', corporate.issue('proxy.test'), null, 'not trusted'],
    ['of a public issuer where a caBundle says otherwise', ca.issue('proxy.test'), corporate.pem, 'not trusted'],
    ['for another name', corporate.issue('other.test'), corporate.pem, 'for other names'],
  ])('its certificate is %s: it is not used, and hears nothing', async (_what, certificate, caBundle, message) => {
    const port = await origin();
    const {proxy, at} = await secure(certificate);
    const upstream = through(toParent(at, {caBundle, credentials: {username: 'u', password: 'secret'}}));
    const got = await send(upstream, route(port, via('name')));
    expect(got.failure?.reason).toBe('UpstreamUnreachable');
    expect(got.failure?.message).toContain(message);
    expect(proxy.heads).toEqual([]);
  });

  test('without a caBundle the configured roots count', async () => {
    const port = await origin();
    const {at} = await secure(ca.issue('proxy.test'));
    expect((await send(through(toParent(at, {})), route(port, via('name')))).body).toBe('origin');
  });

  test('a caBundle without a certificate is said', async () => {
    const {at} = await secure();
    const got = await send(through(toParent(at, {caBundle: 'nonsense'})), route(443, via('name')));
    expect(got.failure).toMatchObject({
      reason: 'UpstreamUnreachable',
      message: expect.stringContaining('the caBundle of UpstreamProxy corp: no certificate in it'),
    });
  });
});
