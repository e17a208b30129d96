/** Workers and their supervisor: killed, hung, and back. */
import {createServer, type Server} from 'node:http';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import type {Socket} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, expect} from '@jest/globals';
import {eventually} from '../lab/capture-rig.ts';
import {proxiedLab, type ProxiedLab} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {connectIn} from '../lab/sockets.ts';
import {curl, curlFrom, descriptors, httpTo, lives, metric, policy, readyz, workersOf} from './fault-lab.ts';
import {within} from '../waiting.ts';

const it = labTest('curl', 'prlimit');

let world: ProxiedLab | null = null;
afterEach(async () => {
  await world?.close();
  world = null;
});

async function open(workers: number, ...more: readonly string[]): Promise<ProxiedLab> {
  const flags = ['--workers', String(workers), ...more];
  world = await proxiedLab({name: 'workers', policies: [policy(httpTo('a.test'))], flags});
  await world.addSite('a.test', 80, echo());
  return world;
}

/** Answers each request at once; on /held never. */
function echo(): Server {
  return createServer({keepAliveTimeout: 60_000}, (request, response) => {
    if (request.url !== '/held') response.end('hello');
  });
}

/** A kept connection of the pod: requests on it, and whether it was cut. */
class Kept {
  readonly socket: Socket;
  #answers = 0;
  #waiting: (() => void) | null = null;
  constructor(w: ProxiedLab, ip: string) {
    this.socket = connectIn(w.lab.pod('app').path, {ip, port: 80});
    this.socket.on('error', () => undefined);
    this.socket.on('data', (chunk: Buffer) => {
      if (!chunk.toString().includes('hello')) return;
      this.#answers++;
      this.#waiting?.();
    });
    this.socket.on('close', () => this.#waiting?.());
  }
  /** Whether one more request was answered. */
  async ask(): Promise<boolean> {
    if (this.socket.destroyed) return false;
    const before = this.#answers;
    const heard = new Promise<void>((resolve) => (this.#waiting = resolve));
    this.socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await within(heard, 'an answer, or the end of the connection');
    return this.#answers > before;
  }
}

it('a worker that is killed under load loses its own connections only, is replaced and counted', async () => {
  const w = await open(2);
  const ip = await w.addSite('a.test', 81, echo());
  const kept = Array.from({length: 24}, () => new Kept(w, ip));
  expect(await Promise.all(kept.map((one) => one.ask()))).not.toContain(false);
  const [first, second] = workersOf(w.proxy.pid!);
  process.kill(first!, 'SIGKILL');
  await w.seen((line) => line.event === 'worker.restarted' && String(line['message']).includes(`pid ${first}`));
  const after = await Promise.all(kept.map((one) => one.ask()));
  expect(after).toContain(true);
  expect(after).toContain(false);
  // Who was on the other worker goes on there: it is the same process.
  expect(lives(second!)).toBe(true);
  await eventually(async () => (await readyz(w)).workers.listening === 2);
  expect(await metric(w, 'sallyport_worker_restarts_total')).toBe(1);
  expect(await curl(w, 'http://a.test/')).toBe('200');
  expect(workersOf(w.proxy.pid!)).toHaveLength(2);
  for (const one of kept) one.socket.destroy();
}, 40_000);

it('a worker that hangs shows in readiness, is killed and replaced', async () => {
  const w = await open(1);
  const [hung] = workersOf(w.proxy.pid!);
  expect(await curl(w, 'http://a.test/')).toBe('200');
  process.kill(hung!, 'SIGSTOP');
  // Nobody decides any more: not ready, long before it is given up.
  await eventually(async () => !(await readyz(w)).ready);
  const waiting = curl(w, 'http://a.test/', '--retry', '3', '--retry-all-errors', '-m', '20');
  const said = await w.seen((line) => line.event === 'worker.hung');
  expect(said['message']).toMatch(/has not answered for \d+ s/);
  await w.seen((line) => line.event === 'worker.restarted');
  expect(await waiting).toBe('200');
  await eventually(async () => (await readyz(w)).ready);
  expect(lives(hung!)).toBe(false);
  expect(await metric(w, 'sallyport_worker_restarts_total')).toBe(1);
}, 60_000);

it('a policy that changes while a worker starts is in force when it serves', async () => {
  const filters = mkdtempSync(join(tmpdir(), 'sallyport-faults-'));
  try {
    // A worker serves when its filters are loaded; these wait until the test lets them.
    const gate = join(filters, 'gate', 'open.mjs');
    mkdirSync(join(filters, 'gate'));
    writeFileSync(gate, '');
    writeFileSync(
      join(filters, 'slow.mjs'),
      `for (let n = 0; ; n++)
  try {
    await import('./gate/open.mjs?' + n);
    break;
  } catch {
    await new Promise((done) => setTimeout(done, 20));
  }
export function response() {}
`,
    );
    const w = await open(1, '--filters', filters);
    expect(await curl(w, 'http://a.test/')).toBe('200');
    const loads = w.journal.length;
    rmSync(gate);
    process.kill(workersOf(w.proxy.pid!)[0]!, 'SIGKILL');
    await w.seen((line) => line.event === 'worker.restarted');
    await eventually(() => workersOf(w.proxy.pid!).length === 1);
    w.setPolicy(policy(httpTo('other.test')));
    await w.seen((line) => line.event === 'policy.loaded' && w.journal.indexOf(line) >= loads);
    expect((await readyz(w)).workers.listening).toBe(0);
    writeFileSync(gate, '');
    await eventually(async () => (await readyz(w)).workers.current);
    expect(await curl(w, 'http://a.test/')).toBe('403');
  } finally {
    rmSync(filters, {recursive: true});
  }
}, 40_000);

it('a worker that cannot be started, for want of descriptors, is tried again until it can', async () => {
  const w = await open(1);
  const limit = (descriptorsAtMost: string) =>
    w.lab.exec('node', ['prlimit', '--pid', String(w.proxy.pid), `--nofile=${descriptorsAtMost}:`]);
  // Fewer than it has: not one more, nor one in the place of the dead worker's.
  expect((await limit(String(Math.floor(descriptors(w.proxy.pid!) / 2)))).status).toBe(0);
  process.kill(workersOf(w.proxy.pid!)[0]!, 'SIGKILL');
  await w.seen((line) => line.event === 'worker.restarted' && String(line['message']).includes('EMFILE'));
  expect(lives(w.proxy.pid!)).toBe(true);
  expect(workersOf(w.proxy.pid!)).toEqual([]);
  expect((await limit('1024')).status).toBe(0);
  await eventually(async () => (await readyz(w)).ready);
  expect(await curl(w, 'http://a.test/')).toBe('200');
}, 40_000);

it('with the supervisor killed nothing leaves until it is back, and then all is as before', async () => {
  const w = await open(2);
  const ip = await w.addSite('a.test', 81, echo());
  const kept = new Kept(w, ip);
  expect(await kept.ask()).toBe(true);
  const workers = workersOf(w.proxy.pid!);
  const gone = new Promise((resolve) => w.proxy.once('exit', resolve));
  w.proxy.kill('SIGKILL');
  await within(gone, 'the end of the supervisor');
  await eventually(() => !workers.some(lives));
  expect(await kept.ask()).toBe(false);
  expect(await curl(w, 'http://a.test/', '-m', '3')).toBe('curl exit 28');
  expect(await curlFrom(w, 'free', 'http://a.test/')).toBe('200');
  // A pod that tries while it is away is answered once it is back: its SYN is repeated.
  const trying = curl(w, 'http://a.test/', '-m', '30');
  await w.restart();
  expect(await trying).toBe('200');
  expect(await readyz(w)).toMatchObject({ready: true, workers: {wanted: 2, listening: 2}});
}, 60_000);
