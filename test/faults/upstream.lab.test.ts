/** Servers that break off, keep quiet or lie, at each step: what the client sees, what the log says, and nothing is left over. */
import {constants} from 'node:crypto';
import {createServer as createTcp, type Server, type Socket} from 'node:net';
import {createServer as createTls, type TLSSocket} from 'node:tls';
import {afterAll, beforeAll, expect} from '@jest/globals';
import {createLeafSource, ephemeralCa, openCa, type LeafSource} from '../../pki/index.ts';
import {join} from 'node:path';
import {eventually} from '../lab/capture-rig.ts';
import {proxiedLab, type ProxiedLab} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {curl, descriptors, metric, page, policy, workersOf} from './fault-lab.ts';

const it = labTest('curl', 'nft');

let world: ProxiedLab;
const sockets = new Set<Socket>();

beforeAll(async () => {
  const rules = [
    {name: 'http', to: {hosts: ['*.fault.test'], schemes: ['http']}},
    {name: 'https', to: {hosts: ['*.fault.test']}},
  ];
  world = await proxiedLab({name: 'upstream', policies: [policy(rules)]});
}, 40_000);
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await world.close();
});

/** A server that does `then` with each connection once it has heard something. */
function once(then: (socket: Socket) => void): Server {
  return createTcp({allowHalfOpen: true}, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.once('data', () => then(socket));
  });
}

/** Sends a text and cuts when it is on the wire; the proxy has read it before the reset comes. */
const sayThenReset =
  (text: string) =>
  (socket: Socket): void =>
    void socket.write(text, () => setImmediate(() => socket.resetAndDestroy()));
const sayThenEnd =
  (text: string) =>
  (socket: Socket): void =>
    void socket.end(text);

/** How a flow to `name` ended. */
async function failureOf(name: string): Promise<{failure: unknown; message: unknown}> {
  const line = await world.seen((line) => line.event === 'egress.flow' && line['name'] === name);
  return {failure: line['failure'], message: line['message']};
}

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n';
const http: readonly [what: string, name: string, serve: (socket: Socket) => void, sees: string, failure: string][] = [
  ['resets before the head', 'a1', (socket) => void socket.resetAndDestroy(), '502', 'UpstreamUnreachable'],
  ['closes before the head', 'a2', sayThenEnd(''), '502', 'UpstreamUnreachable'],
  ['closes within the status line', 'a3', sayThenEnd('HTTP/1.1 20'), '502', 'UpstreamUnreachable'],
  ['closes within a header', 'a4', sayThenEnd('HTTP/1.1 200 OK\r\nContent-Le'), '502', 'UpstreamUnreachable'],
  ['resets within a header', 'a5', sayThenReset('HTTP/1.1 200 OK\r\nContent-Le'), '502', 'UpstreamUnreachable'],
  ['resets after the head', 'a6', sayThenReset(HEAD), 'cut', 'UpstreamUnreachable'],
  ['resets within the body', 'a7', sayThenReset(`${HEAD}12345`), 'cut', 'UpstreamUnreachable'],
  ['ends short of its content-length', 'a8', sayThenEnd(`${HEAD}12345`), 'cut', 'UpstreamUnreachable'],
  [
    'ends within a chunk',
    'a9',
    sayThenEnd('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123'),
    'cut',
    'UpstreamUnreachable',
  ],
  [
    'ends before the last chunk',
    'a10',
    sayThenEnd('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n'),
    'cut',
    'UpstreamUnreachable',
  ],
  ['answers garbage', 'a11', sayThenEnd('\x00\x01\x02\x03 nonsense\r\n\r\n'), '502', 'UpstreamMalformed'],
];

it.each(http)(
  'a server that %s',
  async (_what, label, serve, sees, failure) => {
    const name = `${label}.fault.test`;
    await world.addSite(name, 80, once(serve));
    const {status, body} = await page(world, `http://${name}/`);
    // 18: partial file, 52: empty reply, 56: receive failure (ECONNRESET).
    if (sees === 'cut') expect(['curl exit 18', 'curl exit 56']).toContain(status);
    else {
      expect(status).toBe(sees);
      expect(body).toContain(failure);
    }
    expect((await failureOf(name)).failure).toBe(failure);
  },
  30_000,
);

it('a server that nobody answers for: refused at once, and given up where its SYN is swallowed', async () => {
  const away = await world.addSite('away.fault.test', 81, createTcp());
  expect(await page(world, 'http://away.fault.test/')).toMatchObject({status: '502'});
  expect((await failureOf('away.fault.test')).message).toMatch(
    /cannot connect to away.fault.test:80: connection refused/,
  );
  const swallow = `table ip faults { chain in { type filter hook input priority 0; ip daddr ${away} drop; }; }`;
  expect((await world.lab.exec('internet', ['nft', swallow])).status).toBe(0);
  expect(await page(world, 'http://away.fault.test:80/?2')).toMatchObject({status: '502'});
  expect((await world.lab.exec('internet', ['nft', 'delete table ip faults'])).status).toBe(0);
}, 30_000);

it('a server that never answers: soon after its client gave up nothing is left of it', async () => {
  let ended = 0;
  const silent = createTcp({allowHalfOpen: true}, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => undefined);
    socket.on('close', () => ended++);
    socket.on('end', () => socket.end());
  });
  await world.addSite('silent.fault.test', 80, silent);
  expect(await curl(world, 'http://silent.fault.test/', '-m', '1')).toBe('curl exit 28');
  await eventually(() => ended === 1);
  expect((await failureOf('silent.fault.test')).failure).toBe('UpstreamUnreachable');
}, 30_000);

const alert = (number: number): Buffer => Buffer.from([0x15, 3, 3, 0, 2, 2, number]);
const tls: readonly [what: string, name: string, serve: (socket: Socket) => void, failure: string, says: RegExp][] = [
  ['closes after the ClientHello', 't1', sayThenEnd(''), 'UpstreamUnreachable', /closed the connection during the TLS/],
  [
    'resets after the ClientHello',
    't2',
    (socket) => void socket.resetAndDestroy(),
    'UpstreamUnreachable',
    /closed the connection during the TLS/,
  ],
  [
    'answers handshake_failure',
    't3',
    (socket) => void socket.end(alert(40)),
    'UpstreamUntrusted',
    /handshake_failure.*write a `tls` rule/,
  ],
  ['answers internal_error', 't4', (socket) => void socket.end(alert(80)), 'UpstreamUnreachable', /internal_error/],
  ['answers protocol_version', 't5', (socket) => void socket.end(alert(70)), 'UpstreamUnreachable', /TLS 1.1 or older/],
  [
    'answers unrecognized_name',
    't6',
    (socket) => void socket.end(alert(112)),
    'UpstreamUnreachable',
    /unrecognized_name/,
  ],
  ['speaks plain HTTP', 't7', sayThenEnd('HTTP/1.1 400 Bad\r\n\r\n'), 'UpstreamUnreachable', /does not speak TLS/],
  [
    'stops within its ServerHello',
    't8',
    (socket) => void socket.write(Buffer.from([0x16, 3, 3, 0, 0x7a, 2, 0, 0, 0x76, 3, 3])),
    'UpstreamUnreachable',
    /handshake/,
  ],
];

it.each(tls)(
  'a TLS server that %s',
  async (_what, label, serve, failure, says) => {
    const name = `${label}.fault.test`;
    await world.addSite(name, 443, once(serve));
    const {status, body} = await page(world, `https://${name}/`);
    expect({status, body}).toMatchObject({status: '502', body: expect.stringContaining(failure) as unknown});
    const flow = await failureOf(name);
    expect(flow.failure).toBe(failure);
    expect(flow.message).toMatch(says);
  },
  30_000,
);

/** A TLS server whose certificate the test changes. */
function certified(name: string, leaves: () => LeafSource, answer: (socket: TLSSocket) => void): Server {
  // No tickets: each connection shows the certificate of the moment.
  const options = {secureOptions: constants.SSL_OP_NO_TICKET};
  const server = createTls({...options, SNICallback: (_, done) => done(null, leaves().context(name))}, (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => answer(socket));
  });
  server.on('tlsClientError', () => undefined);
  return server;
}
const hello = (socket: Socket): void => void socket.end(`${HEAD}1234567890`);

it('a certificate that expires while we run, and is renewed', async () => {
  const name = 'dated.fault.test';
  const publicCa = openCa({dir: join(world.dir, 'public-ca')});
  const DAY_MS = 24 * 3_600_000;
  const expired = createLeafSource({ca: publicCa, now: () => Date.now() - 20 * DAY_MS});
  let leaves = world.ca.leaves;
  await world.addSite(
    name,
    443,
    certified(name, () => leaves, hello),
  );
  expect(await curl(world, `https://${name}/`)).toBe('200');
  leaves = expired;
  expect(await page(world, `https://${name}/`)).toMatchObject({
    status: '502',
    body: expect.stringMatching(/UpstreamUntrusted.*expired/s) as unknown,
  });
  leaves = createLeafSource({ca: ephemeralCa()});
  expect(await page(world, `https://${name}/`)).toMatchObject({
    status: '502',
    body: expect.stringContaining('UpstreamUntrusted') as unknown,
  });
  leaves = world.ca.leaves;
  expect(await curl(world, `https://${name}/`)).toBe('200');
}, 30_000);

it('close_notify missing: a body of known length is whole all the same', async () => {
  const name = 'whole.fault.test';
  const cut = (socket: TLSSocket): void =>
    // The TCP connection ends beneath the TLS one.
    void socket.write(`${HEAD}1234567890`, () => (socket as TLSSocket & {_parent?: Socket})._parent?.end());
  await world.addSite(
    name,
    443,
    certified(name, () => world.ca.leaves, cut),
  );
  expect(await page(world, `https://${name}/`)).toEqual({status: '200', body: '1234567890'});
}, 30_000);

it('after all of it no descriptor is left, and the next request is answered', async () => {
  await world.addSite('fine.fault.test', 80, once(hello));
  const [worker] = workersOf(world.proxy.pid!);
  // One listener each for IPv4 and IPv6, captured and explicit; what else it has open does not grow with the faults.
  expect(await curl(world, 'http://fine.fault.test/')).toBe('200');
  await eventually(async () => (await metric(world, 'sallyport_connections{kind="client"}')) === 0);
  const before = descriptors(worker!);
  for (const [, label] of http) await curl(world, `http://${label}.fault.test/`);
  for (const [, label] of tls.slice(0, 7)) await curl(world, `https://${label}.fault.test/`);
  expect(await curl(world, 'http://fine.fault.test/')).toBe('200');
  await eventually(() => descriptors(worker!) <= before);
}, 60_000);
