/** Two wires beside each other, as of two nodes: who is taken, and who is not. The kernel's part is in the lab tests. */
import {once} from 'node:events';
import {connect, createServer, Socket, type AddressInfo, type Server} from 'node:net';
import {Duplex} from 'node:stream';
import {connect as connectTls, type SecureVersion} from 'node:tls';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import type {Endpoint} from '../../../policy/index.ts';
import type {Enrolled, MtlsMode} from '../enrolment.ts';
import type {Identity} from '../identity/identity.ts';
import {testIdentity, testIntermediate, testWorkloadCa} from '../identity/testing.ts';
import {MTLS_ALPN} from './contexts.ts';
import {dialled} from './dialled.ts';
import {WIRE_LIMITS} from './limits.ts';
import type {WireServices} from './services.ts';
import {createWire, type Wire} from './wire.ts';

const A = {ip: '10.0.1.1', port: 40_000};
const B = {ip: '10.0.2.1', port: 5432};
const ca = testWorkloadCa();
const id = (name: string): string => `spiffe://cluster.local/ns/shop/sa/${name}`;
const IDENTITIES = {a: testIdentity(ca, id('a')), b: testIdentity(ca, id('b')), other: testIdentity(ca, id('other'))};
const member = (name: string, mode: MtlsMode): Enrolled => ({mode, spiffeId: id(name), plainPorts: new Set()});

const table = new Map<string, Enrolled>();
const shown = new Map<string, Identity>();
const said: string[] = [];
const heard: string[] = [];
const sockets = new Set<Socket>();
const wires: Wire[] = [];
let servers: Server[] = [];
/** Where pods of node a are taken, and where node b takes what comes to its own. */
let fromA: number;
let toB: number;
let servicesA: WireServices;
/** Who is on the wire between the nodes: both sides of each connection, a's first. */
const onWire: [Socket, Socket][] = [];
/** What the program does with each connection. */
let serve: (socket: Socket) => void;

async function listening(options: object, accept: (socket: Socket) => void): Promise<number> {
  const server = createServer(options, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    accept(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  return (server.address() as AddressInfo).port;
}

const servicesOf = (here: Endpoint, port: () => number): WireServices => ({
  enrolment: () => ({of: (ip) => table.get(ip) ?? null}),
  isHere: (ip) => ip === here.ip,
  identityOf: (ip) => shown.get(ip) ?? null,
  dial: () => connect({port: port(), host: '127.0.0.1', allowHalfOpen: true}),
  journal: {notice: (_level, event, message) => void said.push(`${event} ${message}`)},
  count: () => undefined,
  limits: WIRE_LIMITS,
});

beforeEach(async () => {
  said.length = heard.length = onWire.length = 0;
  servers = [];
  for (const [end, name] of [
    [A, 'a'],
    [B, 'b'],
  ] as const) {
    table.set(end.ip, member(name, 'Strict'));
    shown.set(end.ip, IDENTITIES[name]);
  }
  serve = (socket) => {
    socket.on('data', (chunk: Buffer) => heard.push(chunk.toString('latin1')));
    socket.write('hello\n');
  };
  const program = await listening({allowHalfOpen: true}, (socket) => serve(socket));
  const captured = {allowHalfOpen: true, pauseOnConnect: true};
  const b = createWire(servicesOf(B, () => program));
  toB = await listening(captured, (socket) => b.accept(socket, A, B));
  const between = await listening({allowHalfOpen: true}, (socket) => {
    const further = connect({port: toB, host: '127.0.0.1', allowHalfOpen: true});
    further.on('error', () => undefined);
    sockets.add(further);
    onWire.push([socket, further]);
    for (const [from, to] of [
      [socket, further],
      [further, socket],
    ] as const) {
      from.pipe(to);
      from.once('close', () => from.readableEnded || to.resetAndDestroy());
    }
  });
  servicesA = servicesOf(A, () => between);
  const a = createWire(servicesA);
  fromA = await listening(captured, (socket) => a.accept(socket, A, B));
  wires.push(a, b);
});
afterEach(() => {
  for (const wire of wires.splice(0)) wire.close();
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers) server.close();
});

/** What a program hears first that says something in plain: a greeting, or how it was turned away. */
async function ask(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  sockets.add(socket);
  socket.once('connect', () => socket.write('the-secret\n'));
  return new Promise((resolve) => {
    socket.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('end', () => resolve('an end'));
  });
}

describe('two Strict pods', () => {
  test('that are who the table says are served', async () => {
    expect(await ask(fromA)).toBe('hello');
  });

  test.each([
    {of: 'client', ip: A.ip, name: 'a'},
    {of: 'server', ip: B.ip, name: 'b'},
  ])('of which the $of has a certificate of a CA beneath ours, and brings that CA along', async ({ip, name}) => {
    shown.set(ip, testIdentity(testIntermediate(ca), id(name)));
    expect(await ask(fromA)).toBe('hello');
    // And once more: what was sent is not taken away by being looked at.
    expect(await ask(fromA)).toBe('hello');
  });

  test('a server refuses whose certificate is another ServiceAccount’s of the same CA', async () => {
    // Node a says, and shows, another one than node b's table has.
    shown.set(A.ip, IDENTITIES.other);
    expect(await ask(fromA)).toBe('ECONNRESET');
    expect(heard).toEqual([]);
    expect(said.join()).toContain(`it is ${id('other')}, and its address is of ${id('a')}`);
  });

  test('a client refuses such a server, before a byte is said', async () => {
    shown.set(B.ip, IDENTITIES.other);
    expect(await ask(fromA)).toBe('ECONNRESET');
    expect(heard).toEqual([]);
    expect(said.join()).toContain(`the server is not whom we want: it is ${id('other')}`);
  });

  test('an address that is not enrolled is refused', async () => {
    table.delete(A.ip);
    expect(await ask(toB)).toBe('ECONNRESET');
    expect(heard).toEqual([]);
    expect(said.join()).toContain('plain, from an address that is not enrolled, to a Strict pod');
  });

  test('an enrolled address that speaks plain is refused', async () => {
    expect(await ask(toB)).toBe('ECONNRESET');
    expect(heard).toEqual([]);
    expect(said.join()).toContain('plain, to a Strict pod');
  });

  test.each([
    {of: 'client', ip: A.ip},
    {of: 'server', ip: B.ip},
  ])('without a certificate of the $of nothing is said', async ({ip}) => {
    shown.delete(ip);
    expect(await ask(fromA)).toBe('ECONNRESET');
    expect(heard).toEqual([]);
    expect(said.join()).toContain('the pod has no certificate (yet)');
  });
});

describe('whoever shakes hands by himself, from an enrolled address', () => {
  interface Ways {
    readonly identity?: Identity | null;
    readonly minVersion?: SecureVersion;
    readonly maxVersion?: SecureVersion;
    readonly session?: Buffer;
  }
  /** How it went for him: what he heard, or how he was turned away. */
  async function shake({identity = IDENTITIES.a, session, ...versions}: Ways): Promise<string> {
    const tls = connectTls({
      ...{port: toB, host: '127.0.0.1', ALPNProtocols: [MTLS_ALPN], rejectUnauthorized: false, ...versions},
      ...(identity === null ? {} : {key: identity.keyPem, cert: identity.chainPem}),
      ...(session === undefined ? {} : {session}),
    });
    sockets.add(tls);
    tls.on('secureConnect', () => tls.write('the-secret'));
    tls.on('session', (one: Buffer) => (ticket = one));
    return new Promise((resolve) => {
      tls.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
      tls.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      tls.once('end', () => resolve('an end'));
    });
  }
  let ticket: Buffer | null = null;

  test('is served where he is who the table says', async () => {
    expect(await shake({})).toBe('hello');
  });

  test.each([
    {who: 'without a certificate', ways: {identity: null}, why: 'it showed no certificate'},
    {
      who: 'with one of another CA',
      ways: {identity: testIdentity(testWorkloadCa(), id('a'))},
      why: 'its certificate is not of a CA that we believe',
    },
    {
      who: 'with one that has ended',
      ways: {identity: testIdentity(ca, id('a'), 1000, Date.now() - 3_600_000)},
      why: 'its certificate ended at',
    },
    {
      who: 'with one that is not valid yet',
      ways: {identity: testIdentity(ca, id('a'), 3_600_000, Date.now() + 36_000_000)},
      why: 'its certificate is not valid before',
    },
    {
      who: 'with one of a namespace that is called alike',
      ways: {identity: testIdentity(ca, 'spiffe://cluster.local/ns/shop2/sa/a')},
      why: 'it is spiffe://cluster.local/ns/shop2/sa/a, and its address is of',
    },
    {who: 'with TLS 1.2', ways: {minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2'}, why: 'its handshake failed'},
  ] as readonly {who: string; ways: Ways; why: string}[])('is refused $who', async ({ways, why}) => {
    expect(await shake(ways)).not.toBe('hello');
    expect(heard).toEqual([]);
    expect(said.join()).toContain(why);
  });

  test('resumes no session: who he is, is asked each time', async () => {
    ticket = null;
    expect(await shake({})).toBe('hello');
    expect(ticket).not.toBeNull();
    heard.length = 0;
    expect(await shake({session: ticket!})).not.toBe('hello');
    // Also with what he may show beside it, while the address is another's by now.
    table.set(A.ip, member('other', 'Strict'));
    expect(await shake({session: ticket!})).not.toBe('hello');
    expect(heard).toEqual([]);
  });
});

describe('a handshake that is begun and left', () => {
  const limits = {...WIRE_LIMITS, handshakeTimeoutMs: 50};
  /** How it ends for whoever is taken by `wire`, with the bytes said. */
  async function left(wire: Wire, bytes: Buffer): Promise<string> {
    wires.push(wire);
    const port = await listening({allowHalfOpen: true, pauseOnConnect: true}, (socket) => wire.accept(socket, A, B));
    const socket = connect(port, '127.0.0.1');
    sockets.add(socket);
    socket.write(bytes);
    return new Promise((resolve) => {
      socket.resume();
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      socket.once('end', () => resolve('an end'));
    });
  }

  test('by a client is cut in time', async () => {
    const hello = await new Promise<Buffer>((resolve) => {
      const socket = new Duplex({read: () => undefined, write: (chunk: Buffer) => resolve(chunk)});
      connectTls({socket, ALPNProtocols: [MTLS_ALPN]}).on('error', () => undefined);
    });
    const wire = createWire({...servicesOf(B, () => toB), limits});
    expect(await left(wire, hello)).toBe('ECONNRESET');
    expect(said.join()).toMatch(/its handshake took too long|to a Strict pod/);
    expect(wire.connections()).toBe(0);
  });

  test('by a server is cut in time, and nothing was said', async () => {
    const silent = await listening({}, (socket) => socket.on('data', (chunk) => heard.push(chunk.toString('latin1'))));
    const wire = createWire({...servicesOf(A, () => silent), limits});
    expect(await left(wire, Buffer.from('the-secret'))).toBe('ECONNRESET');
    expect(said.join()).toContain('its handshake took too long');
    expect(heard.join()).not.toContain('the-secret');
  });
});

describe('what the relay dials', () => {
  test('is wrapped between enrolled pods, and left alone towards others', () => {
    const socket = dialled(servicesA, A, B);
    sockets.add(socket!);
    expect(socket).not.toBeNull();
    socket!.on('error', () => undefined);
    expect(dialled(servicesA, A, {ip: '192.0.2.1', port: 80})).toBeNull();
    expect(dialled(servicesA, {ip: '10.0.1.9', port: 1}, B)).toBeNull();
  });

  test('is not dialled without a certificate where one of both is Strict', () => {
    shown.delete(A.ip);
    expect(() => dialled(servicesA, A, B)).toThrow(/no certificate \(yet\), and one of both is Strict/);
    table.set(A.ip, member('a', 'Permissive'));
    expect(() => dialled(servicesA, A, B)).toThrow(/no certificate/);
    table.set(B.ip, member('b', 'Permissive'));
    expect(dialled(servicesA, A, B)).toBeNull();
  });
});

describe('the end of a stream', () => {
  /** A connection that has been greeted. */
  async function greeted(): Promise<{client: Socket; program: Socket}> {
    const accepted = new Promise<Socket>((resolve) => (serve = resolve));
    const client = connect({port: fromA, host: '127.0.0.1', allowHalfOpen: true});
    sockets.add(client);
    client.on('error', () => undefined);
    const program = await accepted;
    const hello = once(client, 'data');
    program.write('hello');
    await hello;
    return {client, program};
  }
  /** All that comes from now on, and how it ended. */
  const rest = (socket: Socket): Promise<string> =>
    new Promise((resolve) => {
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      socket.once('end', () => resolve(`${text}, an end`));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(`${text}, ${error.code}`));
    });

  test.each([{from: 'client' as const}, {from: 'server' as const}])(
    'that the $from ends is one for the other, which may go on',
    async ({from}) => {
      const {client, program} = await greeted();
      const [first, second] = from === 'client' ? [client, program] : [program, client];
      const heardBySecond = rest(second);
      const heardByFirst = rest(first);
      first.end('whole');
      expect(await heardBySecond).toBe('whole, an end');
      second.end('and the answer');
      expect(await heardByFirst).toBe('and the answer, an end');
    },
  );

  test.each([{from: 'client' as const}, {from: 'server' as const}])(
    'of the $from that somebody on the wire has made is a reset: half of it is not taken for all',
    async ({from}) => {
      const {client, program} = await greeted();
      const [sender, receiver] = from === 'client' ? [client, program] : [program, client];
      const more = once(receiver, 'data');
      sender.write('half');
      await more;
      const heardByReceiver = rest(receiver);
      const [[near, far]] = onWire as [[Socket, Socket]];
      const [towards, comes] = from === 'client' ? [far, near] : [near, far];
      comes.unpipe();
      towards.end();
      expect(await heardByReceiver).toBe(', ECONNRESET');
    },
  );

  test('is not what a program says that happens to be as long', async () => {
    const {client, program} = await greeted();
    const heardByProgram = rest(program);
    client.end(Buffer.alloc(32, 'x'));
    expect(await heardByProgram).toBe(`${'x'.repeat(32)}, an end`);
  });
});
