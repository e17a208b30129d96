/** Two ends joined, on real sockets: what a turn gathers is neither lost nor too much. */
import {createHash, randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {connect, createServer, type AddressInfo, type Server, type Socket} from 'node:net';
import {buffer} from 'node:stream/consumers';
import {TLSSocket} from 'node:tls';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {testIdentity, testWorkloadCa} from '../identity/testing.ts';
import {contextOf, MTLS_ALPN} from './contexts.ts';
import {Joint} from './joint.ts';
import {wrap} from './outbound.ts';

/** What Node reads at once. */
const READ_BYTES = 65_536;

const sockets: Socket[] = [];
let server: Server;
/** The programs' ends, and ours: client | near joint far | program. */
let client: Socket;
let near: Socket;
let far: Socket;
let program: Socket;
let joint: Joint;
let closed: Promise<boolean>;

beforeEach(async () => {
  server = createServer({allowHalfOpen: true, pauseOnConnect: true});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const pair = async (): Promise<[Socket, Socket]> => {
    const {port} = server.address() as AddressInfo;
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const dialled = connect({port, host: '127.0.0.1', allowHalfOpen: true});
    const [[at]] = await Promise.all([accepted, once(dialled, 'connect')]);
    for (const socket of [dialled, at]) socket.on('error', () => undefined);
    sockets.push(dialled, at);
    return [dialled, at];
  };
  [client, near] = await pair();
  [far, program] = await pair();
  closed = new Promise((resolve) => {
    joint = new Joint({stream: near, raw: near}, {stream: far, raw: far}, {closed: resolve});
  });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
  await once(server, 'close');
});

test('what came in the turn in which its sender ended arrives whole, and the answer after it', async () => {
  const sent = randomBytes(300_000);
  client.end(sent);
  const heard = buffer(program);
  joint.start(Buffer.from('first '));
  expect(Buffer.compare(await heard, Buffer.concat([Buffer.from('first '), sent]))).toBe(0);
  program.end('answer');
  expect((await buffer(client)).toString()).toBe('answer');
  expect(await closed).toBe(false);
});

test('an end in the turn of its last bytes is not written before them', async () => {
  joint.start(null);
  const heard = buffer(program);
  // Two chunks and the end in one turn, as TLS hands out records.
  near.emit('data', Buffer.from('one '));
  near.emit('data', Buffer.from('two'));
  near.emit('end');
  expect((await heard).toString()).toBe('one two');
});

test('a program that does not read stops its peer, with no more than a read above highWaterMark kept', async () => {
  joint.start(null);
  let most = 0;
  near.on('data', () => (most = Math.max(most, far.writableLength)));
  const sent = randomBytes(1 << 20);
  const hash = createHash('sha256');
  let written = 0;
  // More than the kernel takes: until the joint stops reading.
  while (!near.isPaused()) {
    hash.update(sent);
    written += sent.length;
    if (!client.write(sent)) await Promise.race([once(client, 'drain'), once(near, 'pause')]);
  }
  expect(most).toBeGreaterThanOrEqual(far.writableHighWaterMark);
  client.end();
  const heard = await buffer(program);
  expect(heard.length).toBe(written);
  expect(createHash('sha256').update(heard).digest('hex')).toBe(hash.digest('hex'));
  expect(most).toBeLessThanOrEqual(far.writableHighWaterMark + READ_BYTES);
});

test('a cut in the turn of some bytes is a reset for both, not an end', async () => {
  joint.start(null);
  const ends = [client, program].map(async (socket) => {
    const seen: string[] = [];
    socket.on('end', () => seen.push('end'));
    socket.on('error', ({code}: NodeJS.ErrnoException) => seen.push(String(code)));
    socket.resume();
    await new Promise((done) => socket.once('close', done));
    return seen;
  });
  near.emit('data', Buffer.from('half of it'));
  joint.destroy();
  expect(await Promise.all(ends)).toEqual([['ECONNRESET'], ['ECONNRESET']]);
  expect(await closed).toBe(true);
});

test.each([
  ['with its last bytes', Buffer.from('last')],
  ['that waits behind bytes nobody reads', Buffer.alloc(64 << 20)],
  ['alone', null],
])('an end %s, cut in the same turn, leaves no socket open', async (_what, bytes) => {
  joint.start(null);
  const gone = [near, far].map((socket) => new Promise((done) => socket.once('close', done)));
  const over = new Promise((done) => {
    program.once('end', done);
    program.once('close', done);
  });
  program.resume();
  if (bytes !== null) near.emit('data', bytes);
  near.emit('end');
  joint.destroy();
  await Promise.all([...gone, over]);
});

describe('over TLS', () => {
  let wrapped: TLSSocket;
  let served: TLSSocket;
  /** Told in the turn of the handshake's end, with OpenSSL beneath us on the stack. */
  const shaken = async (): Promise<void> => {
    const identity = testIdentity(testWorkloadCa(), 'spiffe://cluster.local/ns/shop/sa/a');
    served = new TLSSocket(program, {isServer: true, secureContext: contextOf(identity), ALPNProtocols: [MTLS_ALPN]});
    served.on('error', () => undefined);
    wrapped = wrap(far, identity);
    joint = new Joint({stream: near, raw: near}, {stream: wrapped, raw: far}, {closed: () => undefined});
    await once(wrapped, 'secureConnect');
  };
  const goneOf = (all: readonly Socket[]): Promise<unknown> =>
    Promise.all(all.map((socket) => new Promise((done) => socket.once('close', done))));

  test.each([
    ['after its last bytes and its end', true],
    ['in the middle', false],
  ])(
    'a cut in the turn of what TLS has read leaves no socket open, and the process alive: %s',
    async (_when, ended) => {
      await shaken();
      const gone = goneOf([near, far, wrapped]);
      joint.start(null);
      near.emit('data', Buffer.from('last'));
      if (ended) near.emit('end');
      joint.destroy();
      await gone;
    },
  );

  test('a program that breaks in the turn of bytes for it cuts its peer', async () => {
    await shaken();
    const gone = goneOf([near, far, wrapped]);
    joint.start(null);
    // As a write does that the kernel refuses.
    wrapped.prependOnceListener('data', () => near.destroy(new Error('EPIPE')));
    served.resume();
    served.write('for a program that is gone');
    await gone;
  });
});
