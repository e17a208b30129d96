/** Out of something: descriptors, ports, connection tracking. It is said, nobody spins or dies, and it recovers. */
import {createServer} from 'node:http';
import {readdirSync, readFileSync} from 'node:fs';
import {afterEach, expect} from '@jest/globals';
import {eventually} from '../lab/capture-rig.ts';
import {proxiedLab, type ProxiedLab} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {connectIn} from '../lab/sockets.ts';
import {curl, descriptors, httpTo, lives, page, policy, workersOf} from './fault-lab.ts';
import {heard} from '../waiting.ts';

const it = labTest('curl', 'prlimit');

let world: ProxiedLab | null = null;
afterEach(async () => {
  await world?.close();
  world = null;
});

async function open(rules: readonly object[] = httpTo('a.test')): Promise<ProxiedLab> {
  world = await proxiedLab({name: 'descriptors', policies: [policy(rules)]});
  await world.addSite(
    'a.test',
    80,
    createServer((_, response) => response.end('hello')),
  );
  return world;
}

/** CPU time of a process so far, in clock ticks (10 ms). */
function cpuTicks(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

it('a worker without a descriptor left: the next connections are closed, it neither spins nor dies, and it is said', async () => {
  const w = await open();
  const ip = await w.addSite('b.test', 80, createServer());
  expect(await curl(w, 'http://a.test/')).toBe('200');
  const [worker] = workersOf(w.proxy.pid!);
  const limit = (count: number) => w.lab.exec('node', ['prlimit', '--pid', String(worker), `--nofile=${count}:`]);
  const before = descriptors(worker!);
  expect((await limit(before + 10)).status).toBe(0);
  // Idle connections take all that is left.
  const idle = Array.from({length: 40}, () => {
    const socket = connectIn(w.lab.pod('app').path, {ip, port: 80});
    socket.on('error', () => undefined);
    return socket;
  });
  const said = await w.seen((line) => line.event === 'worker.descriptors');
  expect(said['message']).toMatch(/descriptor/);
  const ticks = cpuTicks(worker!);
  const started = performance.now();
  await eventually(() => performance.now() - started > 1000);
  // Far from a core that is busy all the time (100 ticks a second).
  expect(cpuTicks(worker!) - ticks).toBeLessThan(50);
  for (const socket of idle) socket.destroy();
  expect((await limit(1024)).status).toBe(0);
  await eventually(async () => (await curl(w, 'http://a.test/')) === '200');
  expect(lives(worker!)).toBe(true);
  expect(workersOf(w.proxy.pid!)).toEqual([worker]);
  await eventually(() => descriptors(worker!) <= before + 2);
}, 60_000);

it('no descriptor for the upstream: the request that needs one is answered 502, and the next ones as usual', async () => {
  const w = await open();
  expect(await curl(w, 'http://a.test/')).toBe('200');
  const [worker] = workersOf(w.proxy.pid!);
  const limit = (count: number) => w.lab.exec('node', ['prlimit', '--pid', String(worker), `--nofile=${count}:`]);
  // The client's connection first, so that the limit meets the upstream's.
  const client = connectIn(w.lab.pod('app').path, {ip: await w.addSite('a.test', 81, createServer()), port: 80});
  client.write('GET /');
  await eventually(async () =>
    (await w.lab.exec('app', ['ss', '-Htn', 'state', 'established'])).stdout.includes(':80'),
  );
  // The idle leg of the first request must not serve this one: a policy change closes it.
  w.setPolicy(policy([...httpTo('a.test'), ...[{name: 'more', to: {hosts: ['c.test'], schemes: ['http']}}]]));
  await w.seen(
    (line) => line.event === 'policy.loaded' && w.journal.filter((one) => one.event === 'policy.loaded').length > 1,
  );
  expect((await limit(highest(worker!) + 1)).status).toBe(0);
  client.write(' HTTP/1.1\r\nHost: a.test\r\n\r\n');
  const text = await heard(client, (answer) => answer.includes('\r\n\r\n'));
  expect(text).toMatch(/^HTTP\/1.1 (502|200)/);
  expect((await limit(1024)).status).toBe(0);
  client.destroy();
  expect(await curl(w, 'http://a.test/')).toBe('200');
  expect(lives(worker!)).toBe(true);
}, 60_000);

/** The highest descriptor number: the limit is on numbers, not on the count. */
const highest = (pid: number): number => Math.max(...readdirSync(`/proc/${pid}/fd`).map(Number));

it('no local port left towards a destination: 502 with the reason, and it recovers', async () => {
  const w = await open();
  // One port for all: the second connection to the same place finds none.
  expect((await w.lab.exec('node', ['sysctl', '-qw', 'net.ipv4.ip_local_port_range=40000 40000'])).status).toBe(0);
  const hold: (() => void)[] = [];
  const held = createServer((request, response) => {
    if (request.url === '/held') hold.push(() => response.end('hello'));
    else response.end('hello');
  });
  await w.addSite('held.test', 80, held);
  w.setPolicy(policy(httpTo('a.test', 'held.test')));
  await w.seen(
    (line) => line.event === 'policy.loaded' && w.journal.filter((one) => one.event === 'policy.loaded').length > 1,
  );
  const first = curl(w, 'http://held.test/held');
  await eventually(() => hold.length === 1);
  const {status, body} = await page(w, 'http://held.test/');
  expect(status).toBe('502');
  expect(body).toMatch(/UpstreamUnreachable/);
  hold[0]!();
  expect(await first).toBe('200');
  expect((await w.lab.exec('node', ['sysctl', '-qw', 'net.ipv4.ip_local_port_range=32768 60999'])).status).toBe(0);
  expect(await curl(w, 'http://held.test/')).toBe('200');
}, 60_000);
