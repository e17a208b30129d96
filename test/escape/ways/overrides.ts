/** Headers that let a server do something other than what the request line says. */
import type {Attempt} from '../attempt.ts';
import {SITES} from '../addresses.ts';
import {http, say, tlsTo} from '../wire.ts';

const FIELDS: readonly (readonly [id: string, title: string, line: (token: string) => string])[] = [
  ['method', 'the method by X-HTTP-Method-Override', () => 'X-HTTP-Method-Override: DELETE'],
  ['method-2', 'the method by X-HTTP-Method', () => 'X-HTTP-Method: DELETE'],
  ['method-3', 'the method by X-Method-Override', () => 'x-method-override: delete'],
  ['original-url', 'the path by X-Original-URL', (token) => `X-Original-URL: /private/${token}`],
  ['rewrite-url', 'the path by X-Rewrite-URL', (token) => `X-Rewrite-URL: /private/${token}`],
  [
    'two',
    'the path by X-Original-URL twice, the first allowed',
    (token) => `X-Original-URL: /public/b\r\nX-Original-URL: /private/${token}`,
  ],
];

export const OVERRIDES: readonly Attempt[] = [
  ...FIELDS.map(([id, title, line]): Attempt => ({
    id: `overrides-${id}`,
    title: `an allowed request that overrides ${title}`,
    invariant: 1,
    attempt: async (by) =>
      void (await say(
        by.connect(SITES.plain, 80),
        http(`POST /public/${by.token} HTTP/1.1`, 'Host: plain.test', 'Content-Length: 0', line(by.token)),
      )),
    control: 'free',
  })),
  {
    id: 'overrides-h2',
    title: 'an allowed request that overrides the path in HTTP/2',
    invariant: 1,
    attempt: async (by) =>
      void (await by.curl('--http2', '-H', `x-original-url: /private/${by.token}`, 'https://allowed.test/public/a')),
    control: 'free',
  },
  {
    id: 'overrides-tls',
    title: 'an allowed request that overrides the path inside TLS',
    invariant: 1,
    attempt: async (by) =>
      void (await say(
        await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['http/1.1']}),
        http('GET /public/a HTTP/1.1', 'Host: allowed.test', `X-Rewrite-Url: /private/${by.token}`),
      )),
    control: 'free',
  },
];
