import {once} from 'node:events';
import {connect, createServer, Socket, type AddressInfo, type Server} from 'node:net';
import {text} from 'node:stream/consumers';
import {afterEach, beforeEach, describe, expect, jest, test} from '@jest/globals';
import {until} from '../../../test/waiting.ts';
import type {Enrolled, MtlsMode} from '../enrolment.ts';
import {WIRE_LIMITS, type WireLimits} from './limits.ts';
import {createWire, type Wire} from './wire.ts';

/** The addresses are the table's; the sockets are this machine's own. */
const A = {ip: '10.0.1.1', port: 40_000};
const B = {ip: '10.0.2.1', port: 5432};
const member = (mode: MtlsMode): Enrolled => ({
  ...{mode, spiffeId: 'spiffe://cluster.local/ns/shop/sa/b', plainPorts: new Set()},
});

const table = new Map<string, Enrolled>();
const said: string[] = [];
const counts = new Map<string, number>();
let wire: Wire;
/** What the pod of the far side listens with. */
let program: Server;
/** What hands captured connections to the wire. */
let captured: Server;
const sockets = new Set<Socket>();
/** Made, and not dialling before that is called. */
let dialling: () => Promise<void>;

beforeEach(async () => {
  table.clear();
  said.length = 0;
  counts.clear();
  dialling = () => Promise.resolve();
  program = createServer({allowHalfOpen: true});
  captured = createServer({allowHalfOpen: true, pauseOnConnect: true}, (socket) => wire.accept(socket, A, B));
  for (const server of [program, captured]) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
    });
  }
  wire = wireOf(WIRE_LIMITS);
});

const wireOf = (limits: WireLimits): Wire =>
  createWire({
    enrolment: () => ({of: (ip) => table.get(ip) ?? null}),
    isHere: (ip) => ip === B.ip,
    identityOf: () => null,
    dial: () => {
      const socket = new Socket({allowHalfOpen: true});
      void dialling().then(() => socket.connect((program.address() as AddressInfo).port, '127.0.0.1'));
      return socket;
    },
    journal: {notice: (_level, event, message) => void said.push(`${event} ${message}`)},
    count: (event) => void counts.set(event, (counts.get(event) ?? 0) + 1),
    limits,
  });
afterEach(() => {
  wire.close();
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of [program, captured]) server.close();
});

function client(): Socket {
  const socket = connect((captured.address() as AddressInfo).port, '127.0.0.1');
  sockets.add(socket);
  socket.on('error', () => undefined);
  return socket;
}
/** How it ended for that side. */
const ending = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('end', () => resolve('a clean end'));
    socket.resume();
  });

describe('a connection that is carried', () => {
  test.each([{who: 'client'}, {who: 'server'}])(
    'that the $who resets is reset for the other, and has no end',
    async ({who}) => {
      table.set(B.ip, member('Permissive'));
      const accepted = once(program, 'connection');
      const near = client();
      const [far] = (await accepted) as [Socket];
      const greeted = once(near, 'data');
      far.write('hello');
      await greeted;
      const [left, right] = who === 'client' ? [near, far] : [far, near];
      const heard = ending(right);
      left.resetAndDestroy();
      expect(await heard).toBe('ECONNRESET');
    },
  );

  test.each([
    {said: 'nothing', bytes: ''},
    {said: 'the beginning of what may be a ClientHello', bytes: '\x16\x03'},
  ])('that a client ends after $said is ended for the server, who answers', async ({bytes}) => {
    table.set(A.ip, {...member('Permissive'), spiffeId: 'spiffe://cluster.local/ns/shop/sa/a'});
    table.set(B.ip, member('Permissive'));
    const accepted = once(program, 'connection');
    const near = connect({port: (captured.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true});
    sockets.add(near);
    near.end(bytes, 'latin1');
    const heard = text(near);
    const [far] = (await accepted) as [Socket];
    expect(await text(far)).toBe(bytes);
    far.end('the answer');
    expect(await heard).toBe('the answer');
  });

  test('that is cut is reset for both', async () => {
    table.set(B.ip, member('Permissive'));
    const accepted = once(program, 'connection');
    const near = client();
    const [far] = (await accepted) as [Socket];
    const greeted = once(near, 'data');
    far.write('hello');
    await greeted;
    const heard = Promise.all([ending(near), ending(far)]);
    wire.close();
    expect(await heard).toEqual(['ECONNRESET', 'ECONNRESET']);
  });

  test('and is plain is cut when its pod becomes Strict', async () => {
    table.set(B.ip, member('Permissive'));
    const accepted = once(program, 'connection');
    const near = client();
    const [far] = (await accepted) as [Socket];
    const greeted = once(near, 'data');
    far.write('hello');
    await greeted;
    const heard = ending(near);
    table.set(B.ip, member('Strict'));
    wire.recheck();
    expect(await heard).toBe('ECONNRESET');
  });

  test('and says a ClientHello that is longer than ours is not listened to for as long as a handshake may take', async () => {
    table.set(A.ip, {...member('Strict'), spiffeId: 'spiffe://cluster.local/ns/shop/sa/a'});
    table.set(B.ip, member('Strict'));
    const near = client();
    const heard = ending(near);
    // RFC 8446 §4: a record of 16 kB, of a handshake message of 60 kB; the end of neither comes.
    near.write(Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60]), Buffer.alloc(9_000)]));
    expect(await heard).toBe('ECONNRESET');
    expect(said.join()).toContain('a ClientHello that is longer than ours, to a Strict pod');
  });

  test('and was still being opened when its pod became Strict is refused, not kept for good', async () => {
    table.set(B.ip, member('Permissive'));
    let go!: () => void;
    let asked!: () => void;
    const dials = new Promise<void>((resolve) => (asked = resolve));
    dialling = () => {
      asked();
      return new Promise((resolve) => (go = resolve));
    };
    const heard = ending(client());
    await dials;
    table.set(B.ip, member('Strict'));
    wire.recheck();
    go();
    expect(await heard).toBe('ECONNRESET');
    expect(said.join()).toContain('while it was opened');
    expect([...counts]).toEqual([['mtls.refused', 1]]);
  });
});

describe('what one may take', () => {
  /** A connection that the far side has answered, or how it was turned away. */
  const opened = (): Promise<string> => {
    const socket = client();
    return new Promise((resolve) => {
      socket.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1')));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
  };
  const idle = (): Promise<void> =>
    until(
      () => wire.connections(),
      (count) => count === 0,
    ).then(() => undefined);
  beforeEach(() => {
    table.set(B.ip, member('Permissive'));
    program.on('connection', (socket: Socket) => socket.write('hello'));
  });

  test('both ends are kept in conntrack’s mind while one way has ended: it forgets CLOSE_WAIT after 60 s', async () => {
    const kept = jest.spyOn(Socket.prototype, 'setKeepAlive');
    expect(await opened()).toBe('hello');
    const delays = kept.mock.calls.map(([on, ms]) => on === true && ms! < 30_000);
    kept.mockRestore();
    expect(delays).toEqual([true, true]);
  });

  test.each([
    {limit: 'connectionsPerSource' as const, why: 'more than 2 connections of it are open'},
    {limit: 'connections' as const, why: 'more than 2 connections are open'},
  ])('$limit: one more is refused, says so, and is served when another is gone', async ({limit, why}) => {
    wire = wireOf({...WIRE_LIMITS, [limit]: 2});
    expect([await opened(), await opened()]).toEqual(['hello', 'hello']);
    expect(await opened()).toBe('ECONNRESET');
    expect(said.join()).toContain(why);
    expect(counts.get('mtls.refused')).toBe(1);
    for (const socket of sockets) socket.destroy();
    await idle();
    expect(await opened()).toBe('hello');
  });

  test.each([
    {who: 'says nothing', bytes: ''},
    {who: 'says half a ClientHello', bytes: '\x16\x03\x01\x02\x00\x01'},
  ])('handshakeTimeoutMs: who $who to a Strict pod is refused', async ({bytes}) => {
    wire = wireOf({...WIRE_LIMITS, handshakeTimeoutMs: 50});
    table.set(A.ip, {...member('Strict'), spiffeId: 'spiffe://cluster.local/ns/shop/sa/a'});
    table.set(B.ip, member('Strict'));
    const socket = client();
    const heard = ending(socket);
    socket.write(bytes, 'latin1');
    expect(await heard).toBe('ECONNRESET');
    // On a busy machine the bytes may come after the time.
    expect(said.join()).toMatch(/(silence|half a ClientHello), to a Strict pod/);
    await idle();
  });

  test('peekTimeoutMs: who says nothing to a Permissive pod is served', async () => {
    wire = wireOf({...WIRE_LIMITS, peekTimeoutMs: 50});
    table.set(A.ip, {...member('Permissive'), spiffeId: 'spiffe://cluster.local/ns/shop/sa/a'});
    expect(await opened()).toBe('hello');
  });

  test('connectTimeoutMs: who is not there is a reset', async () => {
    wire = wireOf({...WIRE_LIMITS, connectTimeoutMs: 50});
    dialling = () => new Promise(() => undefined);
    expect(await opened()).toBe('ECONNRESET');
    expect(said.join()).toContain('mtls.unreachable 10.0.1.1 to 10.0.2.1:5432: no answer in time');
    await idle();
  });
});
