/** What two Strict pods on two nodes say to each other arrives as it was said, and nothing of it crosses the wire in the clear. */
import {createHash, randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {createServer as createHttpServer} from 'node:http';
import {createServer, type Server, type Socket} from 'node:net';
import {connect as tlsConnect, createServer as createTlsServer} from 'node:tls';
import {afterAll, afterEach, beforeAll, describe, expect} from '@jest/globals';
import {connectIn, listenIn} from '../../../test/lab/index.ts';
import {createMtlsCluster, podIps, type MtlsCluster, type NodeName} from '../../../test/lab/mtls/nodes.ts';
import {labTest} from '../../../test/lab/require.ts';
import {testIdentity, testWorkloadCa} from '../identity/testing.ts';

const it = labTest('curl', 'tcpdump', 'nft');
const FAMILIES = [{family: 4 as const}, {family: 6 as const}];
const SECRET = 'the-secret';
let cluster: MtlsCluster;
const servers: Server[] = [];
/** Of a test that fails too: nothing may keep the process. */
const sockets = new Set<Socket>();
beforeAll(async () => {
  cluster = await createMtlsCluster();
  await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}});
}, 60_000);
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => cluster?.close());

const ipOf = (node: NodeName, family: 4 | 6): string => podIps(node)[family === 4 ? 0 : 1];

/** A program of pod b. */
async function program(family: 4 | 6, port: number, server: Server): Promise<void> {
  servers.push(server);
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await listenIn(cluster.nodes.b.pod.path, server, ipOf('b', family), port);
}
const halfOpen = (onSocket: (socket: Socket) => void): Server =>
  createServer({allowHalfOpen: true}, (socket) => {
    socket.on('error', () => undefined);
    onSocket(socket);
  });
/** A program of pod a dials. */
const dial = (ip: string, port: number, from?: {ip: string; port?: number}): Socket => {
  const client = connectIn(cluster.nodes.a.pod.path, {ip, port}, from);
  sockets.add(client);
  client.on('error', () => undefined);
  return client;
};

/** Everything that comes, until the other side ends it; rejects where it breaks. */
function all(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('error', reject);
    socket.once('end', () => resolve(Buffer.concat(chunks)));
    socket.once('close', () => reject(new Error('closed without an end')));
  });
}

describe.each(FAMILIES)('two Strict pods on two nodes, IPv$family', ({family}) => {
  const host = family === 4 ? ipOf('b', 4) : `[${ipOf('b', 6)}]`;

  it('speak plain HTTP, by curl, and nothing of it crosses the wire', async () => {
    const server = createHttpServer((_, response) => response.end(`${SECRET}-answer`));
    await program(family, 8080, server);
    const stop = await cluster.record();
    const {stdout, stderr} = await cluster.nodes.a.lab.exec('app', [
      ...['curl', '-sS', '-m', '20', '-H', `x-secret: ${SECRET}-question`, `http://${host}:8080/${SECRET}`],
    ]);
    const packets = await stop();
    expect(stderr).toBe('');
    expect(stdout).toBe(`${SECRET}-answer`);
    expect(packets).not.toContain(SECRET);
    // The control: it is this conversation that was recorded.
    expect(packets).toContain('sallyport-mtls/1');
  }, 60_000);

  it('the program sees the client’s own address and port', async () => {
    const seen: string[] = [];
    await program(
      family,
      7000,
      halfOpen((socket) => {
        seen.push(`${socket.remoteAddress} ${socket.remotePort}`);
        socket.end('seen');
      }),
    );
    const client = dial(ipOf('b', family), 7000, {ip: ipOf('a', family), port: 41_234});
    expect((await all(client)).toString()).toBe('seen');
    expect(seen).toEqual([`${ipOf('a', family)} 41234`]);
    client.destroy();
  }, 30_000);

  it('a server that speaks first is heard before the client has said anything', async () => {
    await program(
      family,
      7022,
      halfOpen((socket) => {
        socket.write('SSH-2.0-test\r\n');
        socket.once('data', (line: Buffer) => socket.end(`you said ${line.toString()}`));
      }),
    );
    const client = dial(ipOf('b', family), 7022);
    const [banner] = (await once(client, 'data')) as [Buffer];
    expect(banner.toString()).toBe('SSH-2.0-test\r\n');
    const rest = all(client);
    client.write('SSH-2.0-me');
    expect((await rest).toString()).toBe('you said SSH-2.0-me');
    client.destroy();
  }, 30_000);

  it('a client that has ended its half is still answered', async () => {
    await program(
      family,
      7001,
      halfOpen((socket) => {
        void all(socket).then((heard) => socket.end(`heard ${heard.length}`));
      }),
    );
    const client = dial(ipOf('b', family), 7001);
    const answer = all(client);
    client.end(Buffer.alloc(100_000, 1));
    expect((await answer).toString()).toBe('heard 100000');
  }, 30_000);

  it('a server that has ended its half still hears', async () => {
    let heard: Promise<Buffer> | null = null;
    await program(
      family,
      7002,
      halfOpen((socket) => {
        heard = all(socket);
        socket.end('done here');
      }),
    );
    const fd = dial(ipOf('b', family), 7002);
    fd.allowHalfOpen = true;
    expect((await all(fd)).toString()).toBe('done here');
    fd.end('and I am not');
    expect((await heard!).toString()).toBe('and I am not');
  }, 30_000);

  it.each([{who: 'client' as const}, {who: 'server' as const}])(
    'a reset by the $who is a reset for the other, and no end',
    async ({who}) => {
      /** How it ended for that side. */
      const code = (socket: Socket): Promise<string> =>
        new Promise((resolve) => {
          socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
          socket.once('end', () => resolve('a clean end'));
        });
      const listener = createServer();
      await program(family, 7003, listener);
      const accepted = once(listener, 'connection');
      const client = dial(ipOf('b', family), 7003);
      const [server] = (await accepted) as [Socket];
      server.resume();
      server.write('hello');
      const [left, right] = who === 'client' ? [client, server] : [server, client];
      const heard = code(right);
      left.on('error', () => undefined);
      await once(client, 'data');
      left.resetAndDestroy();
      expect(await heard).toBe('ECONNRESET');
      client.destroy();
      server.destroy();
    },
    30_000,
  );

  it('megabytes arrive whole, both ways at once, to readers that are slow', async () => {
    const bytes = randomBytes(8 * 1024 * 1024);
    const sum = (of: Buffer): string => createHash('sha256').update(of).digest('hex');
    await program(
      family,
      7004,
      halfOpen((socket) => socket.pipe(socket)),
    );
    const client = dial(ipOf('b', family), 7004);
    const back = all(client);
    client.end(bytes);
    expect(sum(await back)).toBe(sum(bytes));
  }, 60_000);

  it('a program’s own TLS goes inside of ours', async () => {
    const ca = testWorkloadCa(null);
    const own = testIdentity(ca, 'spiffe://cluster.local/ns/x/sa/y');
    await program(
      family,
      8443,
      createTlsServer({key: own.keyPem, cert: own.chainPem, ALPNProtocols: ['h2']}, (socket) => socket.end('inside')),
    );
    const client = tlsConnect({
      socket: dial(ipOf('b', family), 8443),
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    });
    expect((await all(client)).toString()).toBe('inside');
    expect(client.alpnProtocol).toBe('h2');
    expect(cluster.nodes.b.counts.get('mtls.in-plain')).toBeUndefined();
  }, 30_000);

  it('by the address of a Service, which kube-proxy makes a pod’s before we look', async () => {
    const service = family === 4 ? '10.96.0.10' : 'fd96::10';
    const ip = family === 4 ? 'ip' : 'ip6';
    const to = family === 4 ? `${ipOf('b', 4)}:7005` : `[${ipOf('b', 6)}]:7005`;
    const applied = await cluster.nodes.a.lab.exec('node', ['nft', '-f', '-'], {
      stdin: `table ${ip} kube {
        chain prerouting { type nat hook prerouting priority dstnat; ${ip} daddr ${service} tcp dport 80 dnat to ${to}
        }
      }`,
    });
    expect(applied.stderr).toBe('');
    const seen: string[] = [];
    await program(
      family,
      7005,
      halfOpen((socket) => {
        seen.push(`${socket.remoteAddress}`);
        socket.end(SECRET);
      }),
    );
    const stop = await cluster.record();
    const client = dial(service, 80);
    expect((await all(client)).toString()).toBe(SECRET);
    const packets = await stop();
    expect(seen).toEqual([ipOf('a', family)]);
    expect(packets).not.toContain(SECRET);
  }, 30_000);

  it('what nobody listens for is a reset', async () => {
    const client = dial(ipOf('b', family), 9);
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
  }, 30_000);

  it('a pod outside of the set is reached as ever', async () => {
    const server = createServer((socket) => socket.end(`hello ${socket.remoteAddress}`));
    servers.push(server);
    await listenIn(cluster.nodes.c.pod.path, server, ipOf('c', family), 7006);
    expect((await all(dial(ipOf('c', family), 7006))).toString()).toBe(`hello ${ipOf('a', family)}`);
  }, 30_000);
});

describe('when all is closed', () => {
  it('no connection is left behind', async () => {
    while (cluster.nodes.a.wire.connections() + cluster.nodes.b.wire.connections() > 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }, 30_000);
});
