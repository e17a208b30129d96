/** Two wires beside each other, as of two nodes: who is taken, and who is not. The kernel's part is in the lab tests. */
import {once} from 'node:events';
import {connect, createServer, Socket, type AddressInfo, type Server} from 'node:net';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import type {Endpoint} from '../../../policy/index.ts';
import type {Enrolled, MtlsMode} from '../enrolment.ts';
import type {Identity} from '../identity/identity.ts';
import {testIdentity, testWorkloadCa} from '../identity/testing.ts';
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
  mayBePlain: () => false,
  dial: () => connect({port: port(), host: '127.0.0.1', allowHalfOpen: true}),
  journal: {notice: (_level, event, message) => void said.push(`${event} ${message}`)},
  count: () => undefined,
  limits: WIRE_LIMITS,
});

beforeEach(async () => {
  said.length = heard.length = 0;
  servers = [];
  for (const [end, name] of [
    [A, 'a'],
    [B, 'b'],
  ] as const) {
    table.set(end.ip, member(name, 'Strict'));
    shown.set(end.ip, IDENTITIES[name]);
  }
  const program = await listening({}, (socket) => {
    socket.on('data', (chunk: Buffer) => heard.push(chunk.toString('latin1')));
    socket.write('hello\n');
  });
  const captured = {allowHalfOpen: true, pauseOnConnect: true};
  const b = createWire(servicesOf(B, () => program));
  toB = await listening(captured, (socket) => b.accept(socket, A, B));
  servicesA = servicesOf(A, () => toB);
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
