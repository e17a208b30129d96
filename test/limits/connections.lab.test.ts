/** Many connections, slow ones, half ones: bounded, ended in time, given back; and another workload is served meanwhile. */
import type {Socket} from 'node:net';
import {afterAll, beforeAll, expect} from '@jest/globals';
import {Duplex} from 'node:stream';
import {connect as tlsConnect} from 'node:tls';
import {RELAY_LIMITS} from '../../tproxy/relay/limits.ts';
import {labTest} from '../lab/require.ts';
import {limitsWorld, type LimitsWorld} from './world.ts';

const it = labTest('nft');
let world: LimitsWorld;
beforeAll(async () => {
  world = await limitsWorld('connections');
}, 60_000);
afterAll(() => world?.close());

const MB = 1_000_000;
const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({length: count}, (_, i) => make(i));
const GET = 'GET /ok/a HTTP/1.1\r\nHost: site.test\r\n\r\n';

/** A real ClientHello, as node:tls writes it: OpenSSL on our side does all of its work for it. */
function helloOf(servername: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _encoding, done) {
        resolve(chunk);
        done();
      },
    });
    tlsConnect({socket: wire, servername, ALPNProtocols: ['http/1.1']}).on('error', () => undefined);
  });
}

/** Resolves at the first of these events; a connection that breaks off has a close too. */
const first = (socket: Socket, ...events: readonly string[]): Promise<void> =>
  new Promise((resolve) => {
    for (const event of events) socket.once(event, () => resolve());
  });
/** The other side has ended or cut the connection. */
const over = async (socket: Socket): Promise<void> => {
  if (!socket.destroyed) await first(socket.resume(), 'end', 'close');
};
const connected = async (socket: Socket): Promise<Socket> => {
  if (socket.connecting) await first(socket, 'connect', 'close');
  return socket;
};
const otherIsServed = async (): Promise<void> => {
  expect((await world.ask('other', 'https://site.test/ok/b')).status).toBe(200);
  expect((await world.ask('other', 'http://site.test/ok/b')).status).toBe(200);
};
const held = async (what: string): Promise<number> =>
  (await world.metrics()).get(`sallyport_held{what="${what}"}`) ?? 0;
const limited = async (limit: string): Promise<number> =>
  (await world.metrics()).get(`sallyport_limited_total{limit="${limit}"}`) ?? 0;

it('500 idle intercepted connections cost a bounded amount each, and nothing after they are gone', async () => {
  const before = world.residentBytes();
  const clients: Socket[] = [];
  while (clients.length < 500)
    clients.push(...(await Promise.all(times(50, () => world.secure('app', 'site.test', 'http/1.1')))));
  expect(await held('connections')).toBe(500);
  await otherIsServed();
  // Once each is measured at 60 to 120 KB by the bench; here it must only be no multiple of that.
  expect(world.residentBytes() - before).toBeLessThan(200 * MB);
  for (const client of clients) client.destroy();
  await world.allGivenBack();
}, 60_000);

it('slowloris: heads and ClientHellos that drip are ended after the time for a head, all of them', async () => {
  const hello = await helloOf('site.test');
  const clients = await Promise.all([
    ...times(100, () => connected(world.dial('app', world.site, 80))),
    ...times(100, () => connected(world.dial('app', world.site, 443))),
  ]);
  clients.forEach((client, i) => client.write(i < 100 ? 'GET /ok/a HTTP/1.1\r\nHost: si' : hello.subarray(0, 40)));
  const dripping = setInterval(() => {
    for (const client of clients) if (!client.destroyed && client.writable) client.write('x');
  }, 500);
  try {
    await otherIsServed();
    await Promise.all(clients.map(over));
  } finally {
    clearInterval(dripping);
  }
  for (const client of clients) client.destroy();
  await world.allGivenBack();
}, 60_000);

it('a body that drips keeps one connection of its own, and no other workload waits for it', async () => {
  const client = await world.secure('app', 'site.test', 'http/1.1');
  client.write('POST /ok/a HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1000000\r\n\r\n');
  const dripping = setInterval(() => client.write('x'), 100);
  try {
    await world.eventually('the request is under way', async () => (await held('requests')) === 1);
    await otherIsServed();
  } finally {
    clearInterval(dripping);
    client.destroy();
  }
  await world.allGivenBack();
}, 60_000);

it('handshakes begun and left, and ClientHellos without an end: nothing stays', async () => {
  const hello = await helloOf('site.test');
  for (let round = 0; round < 5; round++) {
    const clients = await Promise.all(times(200, () => connected(world.dial('app', world.site, 443))));
    clients.forEach((client, i) => client.write(i % 2 === 0 ? hello : hello.subarray(0, 100)));
    await otherIsServed();
    for (const client of clients) client.destroy();
  }
  await world.allGivenBack();
}, 60_000);

it('random names under an allowed wildcard: mints are limited, another workload gets a new name at once, the cache stays bounded', async () => {
  const before = await limited('mints');
  const ask = (i: number): Promise<unknown> =>
    world.secure('app', `r${i}.wild.test`, 'http/1.1').then(
      (socket) => socket.destroy(),
      () => undefined,
    );
  for (let from = 0; from < 600; from += 50) await Promise.all(times(50, (i) => ask(from + i)));
  expect(await limited('mints')).toBeGreaterThan(before);
  expect((await world.ask('other', 'https://new.wild.test/')).status).toBe(200);
  // A quarter of the cache is one workload's at most; the other's leaves are still there.
  expect(await held('leaves')).toBeLessThan(300);
  await world.lab.seen(
    (line) =>
      line.event === 'egress.decision' && line['reason'] === 'LimitExceeded' && line['workload'] === 'default/app',
  );
  await world.allGivenBack();
}, 60_000);

it('denials of one workload beyond its lines are summed up, and those of another are all written', async () => {
  const lines = 2_000 * 10;
  const client = await world.secure('app', 'site.test', 'http/1.1');
  let answered = 0;
  let tail = '';
  client.on('data', (chunk: Buffer) => {
    tail += chunk.toString('latin1');
    const parts = tail.split('HTTP/1.1 403');
    answered += parts.length - 1;
    tail = parts.at(-1)!;
  });
  const denied = 'GET /no HTTP/1.1\r\nHost: site.test\r\n\r\n';
  // Each has a decision line and a flow line.
  for (let sent = 0; sent < lines; sent += 1_000) {
    client.write(denied.repeat(1_000));
    await world.eventually('they are answered', () => answered >= sent + 1_000 || answered);
  }
  expect((await world.ask('other', 'https://site.test/no')).status).toBe(403);
  await world.lab.seen(
    (line) => line.event === 'egress.decision' && line['workload'] === 'default/other' && line['verdict'] === 'deny',
  );
  const summary = await world.lab.seen((line) => line.event === 'journal.suppressed');
  expect(summary).toMatchObject({workload: 'default/app', allowed: 0});
  client.destroy();
  await world.eventually('every line was written or counted', async () => {
    const suppressed = (await world.metrics()).get('sallyport_log_lines_suppressed_total') ?? 0;
    const told = world.lab.journal
      .filter((line) => line.event === 'journal.suppressed')
      .reduce((sum, line) => sum + Number(line['denied']), 0);
    return (suppressed > 0 && told === suppressed) || `${told} of ${suppressed}`;
  });
}, 60_000);

it('more connections than a workload may have: 503 that says so, then resets; another workload is served, and room comes back', async () => {
  const {connectionsPerWorkload, answeredAboveLimit} = RELAY_LIMITS;
  const clients: Socket[] = [];
  while (clients.length < connectionsPerWorkload) {
    const more = await Promise.all(
      times(Math.min(200, connectionsPerWorkload - clients.length), () => connected(world.dial('app', world.site, 80))),
    );
    clients.push(...more);
    // Those that say nothing are ended after a while; a whole first request keeps them.
    for (const client of more) client.write(GET);
  }
  await world.eventually('all of them are there', async () => {
    const now = await held('connections');
    return now === connectionsPerWorkload || now;
  });
  const answered = await world.ask('app', 'http://site.test/ok/a');
  expect(answered.status).toBe(503);
  expect(answered.body).toContain('LimitExceeded');
  await otherIsServed();
  const silent = await Promise.all(times(answeredAboveLimit + 20, () => connected(world.dial('app', world.site, 80))));
  await world.eventually('beyond those that are answered they are reset', () => {
    const cut = silent.filter((socket) => socket.destroyed).length;
    return cut >= 20 || cut;
  });
  await otherIsServed();
  for (const client of [...clients, ...silent]) client.destroy();
  await world.allGivenBack();
  expect((await world.ask('app', 'http://site.test/ok/a')).status).toBe(200);
}, 120_000);
