/** What reaches a Strict pod, or leaves it, past the listener: what was open before it was Strict, fragments, and other interfaces. */
import {once} from 'node:events';
import {createServer, type Server, type Socket} from 'node:net';
import {afterAll, afterEach, beforeAll, beforeEach, describe, expect} from '@jest/globals';
import {PORTS} from '../../../runtime/names.ts';
import {datagram, lineOf, membersOf, udpEcho} from '../../../test/lab/capture-rig.ts';
import {connectIn, listenIn, udpIn, type LabPod} from '../../../test/lab/index.ts';
import {
  createMtlsCluster,
  podIps,
  type MtlsCluster,
  type MtlsNode,
  type NodeName,
} from '../../../test/lab/mtls/nodes.ts';
import {labTest} from '../../../test/lab/require.ts';
import {until} from '../../../test/waiting.ts';
import {connectTransparent, listenTransparent, reset} from '../../capture/sockets.ts';

const it = labTest('nft');
const FAMILIES = [{family: 4 as const}, {family: 6 as const}];
const PORT = 7200;
let cluster: MtlsCluster;
let a: MtlsNode;
let b: MtlsNode;
let c: MtlsNode;
/** Beside pod b, on its node; nobody has enrolled it. */
let neighbour: LabPod;
const servers: {close(): void}[] = [];
const sockets = new Set<Socket>();
beforeAll(async () => {
  cluster = await createMtlsCluster();
  ({a, b, c} = cluster.nodes);
  neighbour = await b.lab.addPod({name: 'beside', ips: ['10.77.2.11', 'fd77:0:0:2::11']});
}, 60_000);
beforeEach(async () => {
  for (const node of [a, b, c]) node.said.length = 0;
  await cluster.enrol({a: {mode: 'Off'}, b: {mode: 'Off'}, c: {mode: 'Off'}});
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => cluster?.close());

const ipOf = (node: NodeName, family: 4 | 6): string => podIps(node)[family === 4 ? 0 : 1];
/** Of the table of a node. */
const counted = async (node: MtlsNode, counter: string): Promise<number> => (await node.rules.counters()).get(counter)!;

/** Does it, until the table has counted more than before: what is not let by is sent again, or was never there. */
async function untilCounted(node: MtlsNode, counter: string, act: () => void): Promise<void> {
  const before = await counted(node, counter);
  act();
  await until(
    () => counted(node, counter),
    (now) => now > before,
  );
}

/** Takes what the capture of the node hands over, allows all of it, and dials it as the relay does where mTLS has no part in it. */
async function relayOn(node: MtlsNode, family: 4 | 6): Promise<{taken: number}> {
  const relay = {taken: 0};
  const server = createServer((near) => {
    relay.taken++;
    const source = {ip: near.remoteAddress!, port: near.remotePort!};
    const destination = {ip: near.localAddress!, port: near.localPort!};
    const far = node.lab.inside('node', () => connectTransparent({source, destination}));
    sockets.add(near).add(far);
    near.on('error', () => far.destroy());
    far.on('error', () => reset(near));
    near.pipe(far).pipe(near);
  });
  servers.push(server);
  const options = {port: PORTS.captured, transparent: true, reusePort: true, backlog: 16};
  const ip = family === 4 ? '0.0.0.0' : '::';
  server.listen({fd: node.lab.inside('node', () => listenTransparent({ip, ...options}))});
  await once(server, 'listening');
  return relay;
}

/** A plain connection of two pods, greeted both ways, before anybody is enrolled. */
async function opened(family: 4 | 6, client: LabPod): Promise<{near: Socket; far: Socket; heard: string[]}> {
  const heard: string[] = [];
  const server: Server = createServer();
  servers.push(server);
  await listenIn(b.pod.path, server, ipOf('b', family), PORT);
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const near = connectIn(client.path, {ip: ipOf('b', family), port: PORT});
  const [far] = await accepted;
  for (const [socket, name] of [
    [near, 'client'],
    [far, 'server'],
  ] as const) {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => heard.push(`${name}: ${chunk.toString('latin1')}`));
  }
  near.write('one');
  far.write('two');
  await until(
    () => heard.length,
    (length) => length === 2,
  );
  heard.length = 0;
  return {near, far, heard};
}

describe.each(FAMILIES)('a pod that becomes Strict, IPv$family', ({family}) => {
  it.each([{by: 'server'}, {by: 'client'}] as const)(
    'hears and says nothing more on what was open before: the $by speaks',
    async ({by}) => {
      const {near, far, heard} = await opened(family, c.pod);
      await cluster.enrol({b: {mode: 'Strict'}});
      await untilCounted(b, 'mtls_midstream', () => (by === 'server' ? far : near).write('the-secret'));
      expect(heard).toEqual([]);
    },
    90_000,
  );

  it('nor on what it had opened itself to a pod that is enrolled too; to others it goes on', async () => {
    const server = createServer();
    servers.push(server);
    await listenIn(c.pod.path, server, ipOf('c', family), PORT);
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const near = connectIn(b.pod.path, {ip: ipOf('c', family), port: PORT});
    const [far] = await accepted;
    sockets.add(near).add(far);
    for (const socket of [near, far]) socket.on('error', () => undefined);
    await cluster.enrol({b: {mode: 'Strict'}});
    const greeted = once(near, 'data');
    far.write('still here');
    await greeted;
    const heard: Buffer[] = [];
    near.on('data', (chunk: Buffer) => heard.push(chunk));
    await cluster.enrol({c: {mode: 'Permissive'}});
    await untilCounted(b, 'mtls_midstream', () => far.write('the-secret'));
    expect(heard).toEqual([]);
  }, 90_000);

  it('answers no datagram of before', async () => {
    const served = await udpIn(b.pod.path, ipOf('b', family), PORT);
    const asking = await udpIn(c.pod.path, ipOf('c', family), 0);
    servers.push(served, asking);
    const asked = once(served, 'message');
    asking.send('a question', PORT, ipOf('b', family));
    await asked;
    const answered = once(asking, 'message');
    const answer = (text: string): void => served.send(text, asking.address().port, ipOf('c', family), () => undefined);
    answer('an answer');
    await answered;
    await cluster.enrol({b: {mode: 'Strict'}});
    const heard: Buffer[] = [];
    asking.on('message', (message) => heard.push(message));
    await untilCounted(b, 'mtls_refused_other', () => answer('the-secret'));
    expect(heard).toEqual([]);
  }, 90_000);

  it('is still reached on ports that are left plain, by its node, and answered by whom it asks', async () => {
    await cluster.enrol({b: {mode: 'Strict', plainPorts: [PORT]}});
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.end('plain');
    });
    servers.push(server);
    await listenIn(b.pod.path, server, ipOf('b', family), PORT);
    for (const from of [c.pod.path, a.pod.path, neighbour.path, b.lab.node.path]) {
      const client = connectIn(from, {ip: ipOf('b', family), port: PORT});
      sockets.add(client);
      const [heard] = (await once(client, 'data')) as [Buffer];
      expect(heard.toString()).toBe('plain');
    }
    const echo = await udpEcho(c.pod.path, ipOf('c', family), 53);
    servers.push(echo);
    expect(await datagram(b.pod.path, ipOf('b', family), {ip: ipOf('c', family), port: 53})).toBe('answered hello');
  }, 90_000);
});

describe.each(FAMILIES)('a Strict pod, IPv$family', ({family}) => {
  it('gets no datagram in fragments either', async () => {
    await cluster.enrol({b: {mode: 'Strict'}});
    const echo = await udpEcho(b.pod.path, ipOf('b', family), PORT);
    servers.push(echo);
    const refused = family === 4 ? 'EHOSTUNREACH' : 'EACCES';
    const to = {ip: ipOf('b', family), port: PORT};
    expect(await datagram(c.pod.path, ipOf('c', family), to, 'x'.repeat(4000))).toBe(refused);
    expect(echo.seen).toEqual([]);
  }, 90_000);

  it('is not reached in plain by a pod of its own node that is not enrolled', async () => {
    await cluster.enrol({b: {mode: 'Strict'}});
    const heard: string[] = [];
    const server = createServer((socket) => heard.push(`${socket.remoteAddress}`));
    servers.push(server);
    await listenIn(b.pod.path, server, ipOf('b', family), PORT);
    const client = connectIn(neighbour.path, {ip: ipOf('b', family), port: PORT});
    sockets.add(client);
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    expect(heard).toEqual([]);
    expect(b.said.join()).toContain('plain, from an address that is not enrolled, to a Strict pod');
  }, 90_000);

  it('nor by one that a policy holds: what the relay dials for it is refused too', async () => {
    const to = {ip: ipOf('b', family), port: PORT};
    const server = createServer((socket) =>
      socket.on('error', () => undefined).end(`served ${socket.remoteAddress}\n`),
    );
    servers.push(server);
    await listenIn(b.pod.path, server, to.ip, to.port);
    await b.capture.update(membersOf(neighbour));
    const relay = await relayOn(b, family);
    try {
      const ask = (): Promise<string> => {
        const client = connectIn(neighbour.path, to);
        sockets.add(client);
        return lineOf(client);
      };
      // The control: it is held, allowed, and reaches the pod that is not Strict.
      expect(await ask()).toBe(`served ${neighbour.ips[family === 4 ? 0 : 1]}`);
      await cluster.enrol({b: {mode: 'Strict', plainPorts: [PORT]}});
      expect(await ask()).toBe(`served ${neighbour.ips[family === 4 ? 0 : 1]}`);
      const before = await counted(b, 'mtls_unwrapped');
      await cluster.enrol({b: {mode: 'Strict'}});
      expect(await ask()).toBe('ECONNRESET');
      expect(await counted(b, 'mtls_unwrapped')).toBeGreaterThan(before);
      expect(relay.taken).toBe(3);
    } finally {
      await b.capture.update([]);
    }
  }, 90_000);

  it('is nobody else: what a pod beside it says under its address is dropped, not wrapped as its', async () => {
    await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}});
    const own = ipOf('b', family);
    const bits = family === 4 ? 32 : 128;
    const added = await b.lab.exec('beside', ['ip', 'addr', 'add', `${own}/${bits}`, 'dev', 'lo']);
    expect(added.stderr).toBe('');
    await untilCounted(b, 'mtls_spoofed', () => {
      const thief = connectIn(neighbour.path, {ip: ipOf('a', family), port: PORT}, {ip: own});
      sockets.add(thief);
      thief.on('error', () => undefined);
    });
    expect(b.counts.get('mtls.out')).toBeUndefined();
    await b.lab.exec('beside', ['ip', 'addr', 'del', `${own}/${bits}`, 'dev', 'lo']);
  }, 90_000);
});
