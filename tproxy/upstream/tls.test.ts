import {createServer as createPlain} from 'node:net';
import {createServer as createTls, type TlsOptions, type TLSSocket} from 'node:tls';
import {afterEach, describe, expect, test} from '@jest/globals';
import {SallyportError} from '../../runtime/errors.ts';
import {selfSigned, testCa, type ServerCertificate} from './testing/certificates.ts';
import {closeAll, listening, request, route, send, upstreamWith} from './testing/harness.ts';
import {OK, rawServer} from './testing/servers.ts';

const DAY_MS = 24 * 3600 * 1000;
const ca = testCa('Test Root');
const stranger = testCa('Nobody');
afterEach(closeAll);

describe('a server that does not prove its name', () => {
  const cases: [string, ServerCertificate, string, string][] = [
    [
      'expired',
      ca.issue('a.test', {notBeforeMs: Date.now() - 9 * DAY_MS, notAfterMs: Date.now() - DAY_MS}),
      'a.test',
      'has an expired certificate',
    ],
    [
      'not valid yet',
      ca.issue('a.test', {notBeforeMs: Date.now() + DAY_MS, notAfterMs: Date.now() + 2 * DAY_MS}),
      'a.test',
      'not valid yet',
    ],
    ['for another name', ca.issue('b.test'), 'a.test', 'holds DNS:b.test and not a.test'],
    ['with the name in the subject only', ca.issue('a.test', {san: false}), 'a.test', 'holds no name and not a.test'],
    ['of a wildcard that covers one label less', ca.issue('*.b.test'), 'a.c.b.test', 'and not a.c.b.test'],
    ['of a partial wildcard', ca.issue('a*.b.test'), 'ab.b.test', 'and not ab.b.test'],
    ['for a name where an address was asked for', ca.issue('a.test'), '127.0.0.1', 'and not 127.0.0.1'],
    [
      'of an unknown issuer',
      stranger.issue('a.test'),
      'a.test',
      'issued by CN=Nobody; to trust its CA, add that to --upstream-ca',
    ],
    ['signed by itself', selfSigned('a.test'), 'a.test', 'has a self-signed certificate'],
  ];
  test.each(cases)('%s: refused, and it sees no byte of the request', async (_what, certificate, name, message) => {
    const {server, received} = rawServer(() => OK, certificate);
    const port = await listening(server);
    for (const client of ['h1', 'h2'] as const) {
      const upstream = upstreamWith({upstreamCa: ca.pem});
      const what = request({client, method: 'POST', body: {kind: 'length', bytes: 6}, authority: name});
      const got = await send(upstream, route(port, {name}), what, ['secret']);
      expect(got.failure?.reason).toBe('UpstreamUntrusted');
      expect(got.failure?.message).toContain(message);
      expect(got.calls).toEqual(['failed']);
    }
    expect(received.join('')).toBe('');
  });

  test('is refused again on the next connection: nothing of the first is remembered', async () => {
    const {server, received} = rawServer(() => OK, stranger.issue('a.test'));
    const port = await listening(server);
    const upstream = upstreamWith({upstreamCa: ca.pem});
    for (let i = 0; i < 3; i++) expect((await send(upstream, route(port))).failure?.reason).toBe('UpstreamUntrusted');
    expect(received.join('')).toBe('');
  });
});

describe('a server that proves its name', () => {
  test.each([
    ['exactly', 'a.test', 'a.test'],
    ['by a wildcard', '*.b.test', 'a.b.test'],
    ['as an address, without SNI', '127.0.0.1', '127.0.0.1'],
  ])('%s', async (_how, held, name) => {
    const names: unknown[] = [];
    const {server} = rawServer((_head, _nth, socket) => {
      names.push((socket as TLSSocket).servername);
      return OK;
    }, ca.issue(held));
    const port = await listening(server);
    const got = await send(upstreamWith({upstreamCa: ca.pem}), route(port, {name}), request({authority: name}));
    expect([got.failure, got.body]).toEqual([null, 'ok']);
    expect(names).toEqual([name === '127.0.0.1' ? false : name]);
  });

  test('the configured roots are beside the public ones, not instead of them', async () => {
    const {server} = rawServer(() => OK, stranger.issue('a.test'));
    const port = await listening(server);
    const got = await send(upstreamWith({upstreamCa: ca.pem, publicRoots: [stranger.pem]}), route(port));
    expect(got.body).toBe('ok');
  });

  test('a session is resumed by the same workload and never by another', async () => {
    const reused: boolean[] = [];
    const {server} = rawServer((_head, _nth, socket) => {
      reused.push((socket as TLSSocket).isSessionReused());
      return 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';
    }, ca.issue('a.test'));
    const port = await listening(server);
    const upstream = upstreamWith({upstreamCa: ca.pem});
    await send(upstream, route(port));
    await send(upstream, route(port));
    await send(upstream, route(port, {workload: 'default/other'}));
    expect(reused).toEqual([false, true, false]);
  });
});

describe('a server that wants a client certificate', () => {
  const asking: TlsOptions = {...ca.issue('a.test'), requestCert: true, ca: ca.pem};
  test.each([
    ['requires it in TLS 1.3', {...asking, minVersion: 'TLSv1.3', rejectUnauthorized: true}],
    ['requires it in TLS 1.2', {...asking, maxVersion: 'TLSv1.2', rejectUnauthorized: true}],
  ] as [string, TlsOptions][])('%s', async (_how, options) => {
    const port = await listening(createTls(options, (socket) => socket.on('error', () => {})));
    for (const client of ['h1', 'h2'] as const) {
      const got = await send(upstreamWith({upstreamCa: ca.pem}), route(port), request({client}));
      expect(got.failure?.reason).toBe('UpstreamUntrusted');
      expect(got.failure?.message).toContain('client certificate');
      expect(got.failure?.message).toContain('write a `tls` rule');
    }
  });

  test('closes without an alert when it gets none', async () => {
    const server = createTls({...asking, rejectUnauthorized: false}, (socket) => socket.destroy());
    const port = await listening(server);
    const got = await send(upstreamWith({upstreamCa: ca.pem}), route(port));
    expect(got.failure?.message).toContain('asks for a client certificate');
    expect(got.failure?.reason).toBe('UpstreamUntrusted');
  });

  test('but answers without one: its answer counts', async () => {
    const {server} = rawServer(() => OK, {...asking, rejectUnauthorized: false});
    const got = await send(upstreamWith({upstreamCa: ca.pem}), route(await listening(server)));
    expect([got.failure, got.body]).toEqual([null, 'ok']);
  });
});

describe('a handshake that fails', () => {
  const certificate = ca.issue('a.test');
  test('the port speaks plain HTTP', async () => {
    const server = createPlain((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    });
    const got = await send(upstreamWith({upstreamCa: ca.pem}), route(await listening(server)));
    expect(got.failure).toMatchObject({
      reason: 'UpstreamUnreachable',
      message: expect.stringContaining('does not speak TLS'),
    });
  });

  test('the server hangs up', async () => {
    const server = createPlain((socket) => socket.once('data', () => socket.destroy()));
    const got = await send(upstreamWith({upstreamCa: ca.pem}), route(await listening(server)));
    expect(got.failure).toMatchObject({
      reason: 'UpstreamUnreachable',
      message: expect.stringContaining('closed the connection during the TLS handshake'),
    });
  });

  test('the server keeps quiet', async () => {
    const server = createPlain(() => {});
    const upstream = upstreamWith({upstreamCa: ca.pem, handshakeTimeoutMs: 20});
    const got = await send(upstream, route(await listening(server)));
    expect(got.failure).toMatchObject({reason: 'UpstreamUnreachable', message: expect.stringContaining('in time')});
  });

  test('the server has none of the protocols', async () => {
    const server = createTls({...certificate, ALPNProtocols: ['acme-tls/1']});
    const got = await send(upstreamWith({upstreamCa: ca.pem}), route(await listening(server)));
    expect(got.failure).toMatchObject({
      reason: 'UpstreamUnreachable',
      message: expect.stringContaining('no_application_protocol'),
    });
  });

  test('the server does not know the name', async () => {
    const server = createTls({
      SNICallback: (_name, done) => done(new Error('unknown')),
      ...certificate,
    });
    const got = await send(upstreamWith({upstreamCa: ca.pem}), route(await listening(server)));
    expect(got.failure?.reason).toBe('UpstreamUnreachable');
  });
});

describe('--upstream-ca', () => {
  test.each([
    ['empty', '', 'no certificate in it'],
    ['no PEM', 'hello', 'no certificate in it'],
    ['cut', ca.pem.slice(0, ca.pem.length - 40), 'certificate 1 cannot be read'],
    [
      'the second one is broken',
      `${ca.pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
      'certificate 2 cannot be read',
    ],
  ])('%s: said at the start', (_what, upstreamCa, message) => {
    expect(() => upstreamWith({upstreamCa})).toThrow(SallyportError);
    expect(() => upstreamWith({upstreamCa})).toThrow(message);
  });
});
