/** The issuer's HTTPS server before anybody is known: what is taken of whom, without an API server. */
import {once} from 'node:events';
import {request as httpsRequest} from 'node:https';
import {connect as connectTcp, type Socket} from 'node:net';
import {connect as connectTls} from 'node:tls';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {certificatePem, makeRoot, makeServerCertificate, newKey, parseCaCertificates} from '../../../pki/index.ts';
import {until, within} from '../../../test/waiting.ts';
import type {Answer, Question} from './issue.ts';
import type {PeerFeed} from './peers.ts';
import type {Listener} from './pod-listeners.ts';
import {createIssuerServer, readQuestion, type IssuerServer} from './server.ts';

const HOUR_MS = 3_600_000;
const key = newKey();
const chain = parseCaCertificates(certificatePem(makeRoot(key, Date.now(), HOUR_MS)), 'a test root');
const {chainPem, keyPem} = makeServerCertificate({key, chain}, ['localhost'], Date.now(), HOUR_MS);
const REFUSED: Answer = {kind: 'refused', code: 'TooMany', message: 'too many questions of web.', username: 'web'};

let server: IssuerServer;
let port: number;
const asked: Question[] = [];
const told: string[] = [];
let answers: () => Promise<Answer>;
let hears: PeerFeed['hear'];
const LISTENING = {listensMs: 600_000, lingersMs: 100, waitingBytes: 1 << 20};
let listening: {-readonly [key in keyof typeof LISTENING]: number};

beforeEach(async () => {
  asked.length = told.length = 0;
  answers = () => Promise.resolve(REFUSED);
  hears = () => Promise.resolve({kind: 'not-yet'});
  listening = {...LISTENING};
  server = createIssuerServer({
    issue: (question) => {
      asked.push(question);
      return answers();
    },
    peers: {hear: (...of) => hears(...of), stop: () => undefined},
    certificate: {cert: chainPem, key: keyPem},
    onAnswer: (answer) => told.push(answer.kind === 'refused' ? answer.code : answer.kind),
    onError: (error) => told.push(String(error)),
    listening,
  });
  port = await server.listen('127.0.0.1', 0);
});
afterEach(() => server.close());

interface Said {
  readonly status: number;
  readonly text: string;
}
function ask(path: string, method: string, headers: Record<string, string>, body: string): Promise<Said> {
  return new Promise((resolve, reject) => {
    const asking = httpsRequest(
      {...{host: '127.0.0.1', port, method, path, agent: false, rejectUnauthorized: false}, headers},
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => (text += part));
        answer.once('end', () => resolve({status: answer.statusCode!, text}));
        answer.once('error', reject);
      },
    );
    asking.once('error', reject);
    asking.end(body);
  });
}
const JSON_TYPE = {'content-type': 'application/json'};
const BEARER = {...JSON_TYPE, authorization: 'Bearer a.b.c'};
const GOOD = JSON.stringify({request: 'PEM'});

test('too many questions are a 429, which says no more than that', async () => {
  const {status, text} = await ask('/v1/identity', 'POST', BEARER, GOOD);
  expect([status, JSON.parse(text)]).toEqual([429, {error: 'TooMany', message: 'too many questions of web.'}]);
  expect(told).toEqual(['TooMany']);
});

test('what fails in us says nothing of why to who asks', async () => {
  answers = () => Promise.reject(new Error('secret detail'));
  const {status, text} = await ask('/v1/identity', 'POST', BEARER, GOOD);
  expect([status, text.includes('secret')]).toEqual([503, false]);
  expect(told).toEqual(['Error: secret detail']);
});

test.each([
  ['no token', '/v1/identity', 'POST', JSON_TYPE, GOOD, 400],
  [
    'a token longer than one is',
    '/v1/identity',
    'POST',
    {...JSON_TYPE, authorization: `Bearer ${'a'.repeat(8_193)}`},
    GOOD,
    400,
  ],
  ['a body longer than one is', '/v1/identity', 'POST', BEARER, JSON.stringify({request: 'x'.repeat(9_000)}), 413],
  ['no JSON', '/v1/identity', 'POST', BEARER, '{', 400],
  ['__proto__ in it', '/v1/identity', 'POST', BEARER, '{"request":"PEM","__proto__":{"pod":null}}', 400],
  ['a form', '/v1/identity', 'POST', {...BEARER, 'content-type': 'application/x-www-form-urlencoded'}, 'a=b', 415],
  ['another method', '/v1/identity', 'GET', BEARER, '', 404],
  ['another path', '/metrics', 'GET', BEARER, '', 404],
])('%s is asked nobody about', async (_what, path, method, headers, body, status) => {
  expect((await ask(path, method, headers, body)).status).toBe(status);
  expect(asked).toEqual([]);
});

describe('who listens and never reads', () => {
  /** More than the kernel takes for him. */
  const TABLE = `${'x'.repeat(32 << 20)}\n`;
  let listeners: Listener[];
  let gone: Promise<void>;
  beforeEach(() => {
    listeners = [];
    let left: () => void;
    gone = new Promise((resolve) => (left = resolve));
    hears = () =>
      Promise.resolve({
        kind: 'heard',
        listen: (to) => {
          listeners.push(to);
          to.write(TABLE);
          return left;
        },
      });
  });
  const deaf = (): Socket => {
    const socket = connectTls({host: '127.0.0.1', port, rejectUnauthorized: false});
    socket.on('error', () => undefined);
    socket.write('GET /v1/peers HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a.b.c\r\n\r\n');
    return socket;
  };

  test('is ended when his time is over, and not waited for', async () => {
    listening.listensMs = 100;
    const socket = deaf();
    await within(gone, 'the end of who never reads');
    socket.destroy();
  });

  test('takes of the memory of all so much: whoever comes after it is told to come again', async () => {
    const socket = deaf();
    await until(
      () => listeners.length,
      (count) => count === 1,
    );
    expect(listeners[0]!.waitingBytes).toBeGreaterThan(listening.waitingBytes);
    const late = await ask('/v1/peers', 'GET', BEARER, '');
    expect([late.status, JSON.parse(late.text)]).toMatchObject([503, {error: 'Busy'}]);
    expect([told, listeners.length]).toEqual([['Busy'], 1]);
    socket.destroy();
    await within(gone, 'the end of who never reads');
    listening.listensMs = 100;
    hears = () => Promise.resolve({kind: 'heard', listen: (to) => (to.write('all\n'), () => undefined)});
    expect(await ask('/v1/peers', 'GET', BEARER, '')).toEqual({status: 200, text: 'all\n'});
  });
});

describe('a question', () => {
  const read = (body: unknown): Question | string => readQuestion('Bearer a.b.c', body, '10.0.0.1');
  test.each([
    ['null', null],
    ['a text', 'x'],
    ['a list', ['x']],
    ['no request', {pod: null}],
    ['a request that is no text', {request: ['PEM']}],
    ['a name besides', {request: 'PEM', spiffeId: 'spiffe://cluster.local/ns/shop/sa/admin'}],
    ['a pod that is a text', {request: 'PEM', pod: 'web'}],
    ['a pod without its uid', {request: 'PEM', pod: {namespace: 'shop', name: 'web'}}],
    ['a pod in a path', {request: 'PEM', pod: {namespace: 'shop/pods', name: 'web', uid: 'u'}}],
    ['a pod up a path', {request: 'PEM', pod: {namespace: '..', name: 'web', uid: 'u'}}],
    ['a pod with a query', {request: 'PEM', pod: {namespace: 'shop', name: 'web?x', uid: 'u'}}],
    ['a name with an end of line', {request: 'PEM', pod: {namespace: 'shop', name: 'web\n', uid: 'u'}}],
    ['a name as long as no name is', {request: 'PEM', pod: {namespace: 'shop', name: 'w'.repeat(254), uid: 'u'}}],
  ])('that is %s is none', (_what, body) => expect(typeof read(body)).toBe('string'));

  test('for himself and for a pod is read as it is', () => {
    const pod = {namespace: 'shop', name: 'web-1', uid: '9b0c'};
    expect(read({request: 'PEM'})).toEqual({token: 'a.b.c', request: 'PEM', pod: null, address: '10.0.0.1'});
    expect(read({request: 'PEM', pod})).toMatchObject({pod});
  });
});

test('one address that keeps connections open is held to some, and who has one goes on', async () => {
  const sockets: Socket[] = [];
  const gone = new Set<Socket>();
  let cut!: () => void;
  const some = new Promise<void>((resolve) => (cut = resolve));
  try {
    // Each dialled when the one before is through: the listen queue is shorter.
    for (let at = 0; at < 512 + 20; at++) {
      const socket = connectTcp(port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.once('close', () => {
        gone.add(socket);
        if (gone.size === 20) cut();
      });
      sockets.push(socket);
      await once(socket, 'connect');
    }
    await some;
    expect([...gone].every((socket) => sockets.indexOf(socket) >= 512)).toBe(true);
    // Room again when some of them leave.
    for (const socket of sockets.slice(0, 20)) socket.destroy();
    let said: Said | null = null;
    for (const deadline = Date.now() + 30_000; said === null && Date.now() < deadline;)
      said = await ask('/v1/identity', 'POST', BEARER, GOOD).catch(() => null);
    expect(said?.status).toBe(429);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}, 60_000);
