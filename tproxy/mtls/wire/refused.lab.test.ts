/** What is refused, what is left alone, and what of it is counted: Strict, Permissive, probes, datagrams, and who is away. */
import {once} from 'node:events';
import {createServer, type Server, type Socket} from 'node:net';
import {afterAll, afterEach, beforeAll, beforeEach, describe, expect} from '@jest/globals';
import {datagram, udpEcho} from '../../../test/lab/capture-rig.ts';
import {connectIn, listenIn} from '../../../test/lab/index.ts';
import {
  createMtlsCluster,
  nodeIps,
  podIps,
  spiffeIdOf,
  type MtlsCluster,
  type MtlsNode,
  type NodeName,
} from '../../../test/lab/mtls/nodes.ts';
import {labTest} from '../../../test/lab/require.ts';
import {dialAs} from '../capture/dial.ts';
import {testIdentity, testWorkloadCa} from '../identity/testing.ts';
import {wrap} from './outbound.ts';

const it = labTest('nft', 'tcpdump');
const FAMILIES = [{family: 4 as const}, {family: 6 as const}];
let cluster: MtlsCluster;
let a: MtlsNode;
let b: MtlsNode;
let c: MtlsNode;
const servers: {close(): void}[] = [];
/** Of a test that fails too: nothing may keep the process. */
const sockets = new Set<Socket>();
beforeAll(async () => {
  cluster = await createMtlsCluster({strictCidrs: ['10.77.9.0/24', 'fd77:0:0:9::/64']});
  ({a, b, c} = cluster.nodes);
}, 60_000);
beforeEach(() => {
  for (const node of [a, b, c]) {
    node.identity = null;
    node.said.length = 0;
    node.counts.clear();
  }
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
  // What is still dialled for a client that is gone would be counted in the next test.
  while ([a, b, c].some(({wire}) => wire.connections() > 0)) await settle();
}, 30_000);
afterAll(() => cluster?.close());

const ipOf = (node: NodeName, family: 4 | 6): string => podIps(node)[family === 4 ? 0 : 1];
const PORT = 7100;

/** A program of pod b that greets, and what it heard. */
async function greeting(family: 4 | 6, port = PORT): Promise<{readonly heard: string[]}> {
  const heard: string[] = [];
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    heard.push(`from ${socket.remoteAddress}`);
    socket.on('data', (chunk: Buffer) => heard.push(chunk.toString('latin1')));
    socket.write('hello\n');
  });
  servers.push(server);
  await listenIn(b.pod.path, server, ipOf('b', family), port);
  return {heard};
}

/** What a client hears first: a line, or how it was turned away. */
function answer(socket: Socket): Promise<string> {
  sockets.add(socket);
  return new Promise((resolve) => {
    socket.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('end', () => resolve('an end'));
  });
}
async function ask(from: string, family: 4 | 6, port = PORT, say: string | Buffer = 'plain\n'): Promise<string> {
  const socket = connectIn(from, {ip: ipOf('b', family), port});
  socket.once('connect', () => socket.write(say));
  const heard = await answer(socket);
  socket.destroy();
  return heard;
}

describe.each(FAMILIES)('Strict, IPv$family', ({family}) => {
  it('refuses plain of a pod that is not enrolled, and says so', async () => {
    await cluster.enrol({a: {mode: 'Off'}, b: {mode: 'Strict'}, c: {mode: 'Off'}});
    const {heard} = await greeting(family);
    expect(await ask(c.pod.path, family)).toBe('ECONNRESET');
    expect(heard).toEqual([]);
    expect(b.said.join()).toMatch(
      /mtls\.refused .*:7100: plain, from an address that is not enrolled, to a Strict pod/,
    );
  }, 30_000);

  it.each([
    {what: 'plain', say: 'GET / HTTP/1.1\r\n\r\n', why: 'plain, to a Strict pod'},
    {what: 'a ClientHello of its own', say: helloWithout(), why: 'TLS of its own, to a Strict pod'},
  ])(
    'refuses $what from an enrolled address',
    async ({say, why}) => {
      // Enrolled, and its node does not wrap: it says Off there.
      await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}});
      const {heard} = await greeting(family);
      const bypass = a.lab.inside('node', () =>
        dialAs({ip: ipOf('a', family), port: 0}, {ip: ipOf('b', family), port: PORT}),
      );
      bypass.once('connect', () => bypass.write(say));
      expect(await answer(bypass)).toBe('ECONNRESET');
      expect(heard).toEqual([]);
      expect(b.said.join()).toContain(why);
    },
    30_000,
  );

  it.each([
    {
      what: 'another ServiceAccount’s valid certificate',
      of: () => testIdentity(cluster.ca, spiffeIdOf('c')),
      why: `it is ${spiffeIdOf('c')}, and its address is of ${spiffeIdOf('a')}`,
    },
    {
      what: 'a certificate of another CA',
      of: () => ({...testIdentity(testWorkloadCa(), spiffeIdOf('a'))}),
      why: 'its certificate is not of a CA that we believe',
    },
    {
      what: 'a certificate that has ended',
      of: () => testIdentity(cluster.ca, spiffeIdOf('a'), 1000, Date.now() - 3_600_000),
      why: 'its certificate',
    },
  ])(
    'refuses $what',
    async ({of, why}) => {
      await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}});
      const {heard} = await greeting(family);
      const raw = a.lab.inside('node', () =>
        dialAs({ip: ipOf('a', family), port: 0}, {ip: ipOf('b', family), port: PORT}),
      );
      await once(raw, 'connect');
      const tls = wrap(raw, of());
      tls.once('secureConnect', () => tls.write('let me in'));
      expect(await answer(tls)).toBe('ECONNRESET');
      expect(heard).toEqual([]);
      expect(b.said.join()).toContain(why);
    },
    30_000,
  );

  it('a client refuses a server that is somebody else, before a byte is said', async () => {
    await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}});
    b.identity = testIdentity(cluster.ca, spiffeIdOf('c'));
    const {heard} = await greeting(family);
    expect(await ask(a.pod.path, family)).toBe('ECONNRESET');
    expect(heard.join()).not.toContain('plain');
    expect(a.said.join()).toContain(`the server is not whom we want: it is ${spiffeIdOf('c')}`);
  }, 30_000);

  it('refuses a peer with a stolen address: another node’s pod that uses it, with its own certificate', async () => {
    await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}, c: {mode: 'Strict'}});
    const {heard} = await greeting(family);
    const via = nodeIps('c')[family === 4 ? 0 : 1];
    const former = nodeIps('a')[family === 4 ? 0 : 1];
    const bits = family === 4 ? 32 : 128;
    const route = (to: string): Promise<unknown> =>
      b.lab.exec('node', ['ip', `-${family}`, 'route', 'replace', `${ipOf('a', family)}/${bits}`, 'via', to]);
    await route(via);
    try {
      const raw = c.lab.inside('node', () =>
        dialAs({ip: ipOf('a', family), port: 0}, {ip: ipOf('b', family), port: PORT}),
      );
      await once(raw, 'connect');
      const tls = wrap(raw, c.identity!);
      tls.once('secureConnect', () => tls.write('it is me, a'));
      expect(await answer(tls)).toBe('ECONNRESET');
    } finally {
      await route(former);
    }
    expect(heard).toEqual([]);
    expect(b.said.join()).toContain(`it is ${spiffeIdOf('c')}, and its address is of ${spiffeIdOf('a')}`);
  }, 30_000);

  it('sends nothing in plain while the pod has no certificate, and takes nothing', async () => {
    await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}});
    const {heard} = await greeting(family);
    a.identity = null;
    expect(await ask(a.pod.path, family)).toBe('ECONNRESET');
    a.identity = testIdentity(cluster.ca, spiffeIdOf('a'));
    b.identity = null;
    expect(await ask(a.pod.path, family)).toBe('ECONNRESET');
    expect(heard).toEqual([]);
    expect([...a.said, ...b.said].filter((line) => line.includes('no certificate'))).toHaveLength(2);
  }, 30_000);

  it('drops what comes while the listener is away, on both nodes, and serves again', async () => {
    await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}});
    await greeting(family);
    for (const away of [a, b]) {
      const before = (await away.rules.counters()).get('mtls_away')!;
      await away.stopListening();
      const waiting = connectIn(a.pod.path, {ip: ipOf('b', family), port: PORT});
      const heard = answer(waiting);
      while ((await away.rules.counters()).get('mtls_away') === before) await settle();
      await away.listen();
      if (away === a) expect(await heard).toBe('hello');
      waiting.destroy();
      expect(await ask(a.pod.path, family)).toBe('hello');
    }
  }, 60_000);

  it('refuses datagrams from and to a Strict pod; Permissive ones pass and are counted', async () => {
    await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Permissive'}, c: {mode: 'Permissive'}});
    const echo = await udpEcho(b.pod.path, ipOf('b', family), 5300);
    servers.push(echo);
    const send = (from: MtlsNode): Promise<string> =>
      datagram(from.pod.path, ipOf(from.name, family), {ip: ipOf('b', family), port: 5300});
    const refused = family === 4 ? 'EHOSTUNREACH' : 'EACCES';
    expect(await send(a)).toBe(refused);
    expect(echo.seen).toEqual([]);
    const before = (await b.rules.counters()).get('mtls_passed_other')!;
    expect(await send(c)).toBe('answered hello');
    expect((await b.rules.counters()).get('mtls_passed_other')).toBeGreaterThan(before);
    await cluster.enrol({b: {mode: 'Strict'}, c: {mode: 'Off'}});
    expect(await send(c)).toBe(refused);
    expect(echo.seen).toHaveLength(1);
    expect((await b.rules.counters()).get('mtls_refused_other')).toBeGreaterThan(0);
  }, 30_000);

  it('leaves probes of its own node and ports that are left plain alone', async () => {
    await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict', plainPorts: [9090]}, c: {mode: 'Off'}});
    const {heard} = await greeting(family);
    await greeting(family, 9090);
    expect(await ask(b.lab.node.path, family)).toBe('hello');
    expect(heard[0]).not.toContain(ipOf('a', family));
    expect(await ask(c.pod.path, family, 9090)).toBe('hello');
    // Both ends know it: an enrolled client does not wrap there.
    expect(await ask(a.pod.path, family, 9090)).toBe('hello');
    expect(a.counts.get('mtls.out')).toBeUndefined();
    // The next port is not left plain.
    expect(await ask(c.pod.path, family)).toBe('ECONNRESET');
    // What exec and port-forward use: the pod's own loopback, which no rule of a node sees.
    const loop = createServer((socket) => socket.end('hello\n'));
    servers.push(loop);
    await listenIn(b.pod.path, loop, '127.0.0.1', 7101);
    expect(await answer(connectIn(b.pod.path, {ip: '127.0.0.1', port: 7101}))).toBe('hello');
  }, 30_000);

  it('cuts plain connections when a Permissive pod becomes Strict, and mTLS ones when the address is another’s', async () => {
    await cluster.enrol({a: {mode: 'Permissive'}, b: {mode: 'Permissive'}, c: {mode: 'Off'}});
    await greeting(family);
    const plain = connectIn(c.pod.path, {ip: ipOf('b', family), port: PORT});
    expect(await answer(plain)).toBe('hello');
    const sealed = connectIn(a.pod.path, {ip: ipOf('b', family), port: PORT});
    expect(await answer(sealed)).toBe('hello');
    const cut = once(plain, 'error');
    await cluster.enrol({b: {mode: 'Strict'}});
    expect((await cut) as NodeJS.ErrnoException[]).toMatchObject([{code: 'ECONNRESET'}]);
    // That one goes on.
    const more = answer(sealed);
    sealed.write('still here\n');
    expect(sealed.destroyed).toBe(false);
    await cluster.enrol({a: {mode: 'Permissive', serviceAccount: 'z'}});
    expect(await more).toBe('ECONNRESET');
  }, 30_000);
});

describe.each(FAMILIES)('Permissive, IPv$family', ({family}) => {
  it('takes both, counts each, and hands plain over with its source', async () => {
    await cluster.enrol({a: {mode: 'Permissive'}, b: {mode: 'Permissive'}, c: {mode: 'Off'}});
    const {heard} = await greeting(family);
    expect(await ask(a.pod.path, family)).toBe('hello');
    expect(await ask(c.pod.path, family)).toBe('hello');
    expect(heard.filter((line) => line.startsWith('from'))).toEqual([
      `from ${ipOf('a', family)}`,
      `from ${ipOf('c', family)}`,
    ]);
    expect(Object.fromEntries(b.counts)).toEqual({'mtls.in': 1, 'mtls.in-plain': 1});
  }, 30_000);

  it('takes an enrolled peer for plain that says something else, or nothing for a while', async () => {
    await cluster.enrol({a: {mode: 'Permissive'}, b: {mode: 'Permissive'}});
    await greeting(family);
    for (const say of ['SSH-2.0-x\r\n', null]) {
      const bypass = a.lab.inside('node', () =>
        dialAs({ip: ipOf('a', family), port: 0}, {ip: ipOf('b', family), port: PORT}),
      );
      if (say !== null) bypass.once('connect', () => bypass.write(say));
      expect(await answer(bypass)).toBe('hello');
      bypass.destroy();
    }
    expect(b.counts.get('mtls.in-plain')).toBe(2);
  }, 30_000);

  it('speaks plain while there is no certificate', async () => {
    await cluster.enrol({a: {mode: 'Permissive'}, b: {mode: 'Permissive'}});
    a.identity = null;
    await greeting(family);
    expect(await ask(a.pod.path, family)).toBe('hello');
    expect(a.counts.get('mtls.out-plain')).toBe(1);
  }, 30_000);

  it('a dead proxy leaves them plain', async () => {
    await cluster.enrol({a: {mode: 'Permissive'}, b: {mode: 'Permissive'}});
    await greeting(family);
    await a.stopListening();
    await b.stopListening();
    expect(await ask(a.pod.path, family)).toBe('hello');
    await a.listen();
    await b.listen();
  }, 30_000);
});

describe('the table', () => {
  it('is put back when somebody takes it away, and is replaced, not added to, by a successor', async () => {
    await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}});
    await greeting(4);
    const list = async (): Promise<string> =>
      (await b.lab.exec('node', ['nft', '-s', 'list', 'table', 'inet', 'sallyport_mtls'])).stdout;
    const before = await list();
    await b.lab.exec('node', ['nft', 'delete', 'table', 'inet', 'sallyport_mtls']);
    expect(await b.rules.check()).toBe(true);
    expect(await list()).toBe(before);
    expect(b.said.join()).toContain('mtls.drift');
    expect(await b.rules.check()).toBe(false);
    expect(await ask(a.pod.path, 4)).toBe('hello');
    await b.rules.release();
    expect(await list()).toBe('');
    await cluster.enrol({});
    expect(await list()).toBe(before);
  }, 30_000);

  it('an address of a Strict CIDR that nobody is known to have gets nothing', async () => {
    await cluster.enrol({a: {mode: 'Off'}});
    const before = (await a.rules.counters()).get('mtls_unknown')!;
    const lost = connectIn(a.pod.path, {ip: '10.77.9.9', port: 80});
    lost.on('error', () => undefined);
    while ((await a.rules.counters()).get('mtls_unknown') === before) await settle();
    lost.destroy();
  }, 30_000);
});

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

/** The beginning of a TLS connection without our ALPN, as openssl makes it. */
function helloWithout(): Buffer {
  // RFC 8446 §4.1.2: record, handshake, version, random, no session, one suite, no compression, no extensions.
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    Buffer.from([0, 0, 2, 0x13, 0x01, 1, 0, 0, 0]),
  ]);
  return Buffer.concat([Buffer.from([22, 3, 1, 0, body.length + 4, 1, 0, 0, body.length]), body]);
}
