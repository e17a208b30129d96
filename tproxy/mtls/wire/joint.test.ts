/** Two ends joined, on real sockets: what a turn gathers is neither lost nor too much. */
import {createHash, randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {connect, createServer, type AddressInfo, type Server, type Socket} from 'node:net';
import {buffer} from 'node:stream/consumers';
import {afterEach, beforeEach, expect, test} from '@jest/globals';
import {Joint} from './joint.ts';

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
