/** A log that cannot be written is no reason to stop guarding: lines are lost, counted, and written again when they can be. */
import {createServer} from 'node:http';
import {closeSync, openSync, readFileSync, writeFileSync} from 'node:fs';
import {afterEach, expect} from '@jest/globals';
import {eventually} from '../lab/capture-rig.ts';
import {proxiedLab, type ProxiedLab, type ProxiedOptions} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {admin, curl, descriptors, httpTo, metric, policy, readyz, residentKb, workersOf} from './fault-lab.ts';
import {within} from '../waiting.ts';

const it = labTest('curl', 'mount');
const DROPPED = 'sallyport_log_lines_dropped_total';

let world: ProxiedLab | null = null;
afterEach(async () => {
  await world?.close();
  world = null;
});

async function open(options: Partial<ProxiedOptions> = {}): Promise<ProxiedLab> {
  world = await proxiedLab({name: 'log', policies: [policy(httpTo('a.test'))], ...options});
  await world.addSite(
    'a.test',
    80,
    createServer((_, response) => response.end('hello')),
  );
  return world;
}

/** Many requests on one connection: lines without a process each. */
async function requests(w: ProxiedLab, count: number): Promise<string> {
  const {stdout} = await w.lab.exec('app', ['curl', '-s', '-m', '120', `http://a.test/[1-${count}]`], {
    timeoutMs: 130_000,
  });
  return stdout;
}

it('a full disk: requests are answered, the lost lines counted, and nothing is held for them', async () => {
  const full = openSync('/dev/full', 'w');
  try {
    const w = await open({stdout: full});
    expect(await requests(w, 300)).toBe('hello'.repeat(300));
    await eventually(async () => (await metric(w, DROPPED)) > 100);
    expect((await readyz(w)).ready).toBe(true);
    const [worker] = workersOf(w.proxy.pid!);
    const before = descriptors(worker!);
    expect(await requests(w, 300)).toBe('hello'.repeat(300));
    expect(descriptors(worker!)).toBeLessThanOrEqual(before + 1);
  } finally {
    closeSync(full);
  }
}, 40_000);

it('a disk that fills up and gets room again: the lines go on, and a line says how many are missing', async () => {
  const nowhere = openSync('/dev/null', 'w');
  try {
    // A file system of its own, in the mount namespace that `ip netns exec` makes; gone with the process.
    const under = ['sh', '-c', 'mount -t tmpfs -o size=64k log /mnt && exec "$@" >> /mnt/log', 'sh'];
    const w = await open({stdout: nowhere, under});
    const files = `/proc/${w.proxy.pid}/root/mnt`;
    const log = (): string => readFileSync(`${files}/log`, 'utf8');
    await requests(w, 200);
    await eventually(async () => (await metric(w, DROPPED)) > 0);
    expect(await curl(w, 'http://a.test/')).toBe('200');
    // Rotated away, as logrotate's copytruncate does.
    writeFileSync(`${files}/log`, '');
    expect(await curl(w, 'http://a.test/afterwards')).toBe('200');
    await eventually(() => log().includes('/afterwards'));
    await eventually(() => /"log\.dropped".*\d+ log lines were lost/.test(log()));
    // A line is whole, or not there: what was cut by the full disk does not run into the next one.
    const whole = log()
      .split('\n')
      .filter((line) => line !== '' && !line.includes('\0'));
    for (const line of whole) expect(() => JSON.parse(line) as unknown).not.toThrow();
  } finally {
    closeSync(nowhere);
  }
}, 40_000);

it('the reader of the log is gone: requests are answered, and the lost lines are counted', async () => {
  const w = await open();
  expect(await curl(w, 'http://a.test/')).toBe('200');
  w.proxy.stdout!.destroy();
  expect(await requests(w, 300)).toBe('hello'.repeat(300));
  await eventually(async () => (await metric(w, DROPPED)) > 100);
  expect(await admin(w, '/healthz')).toBe('ok\n');
  const ended = new Promise((resolve) => w.proxy.once('exit', resolve));
  w.proxy.kill('SIGTERM');
  expect(await within(ended, 'the end of the proxy')).toBe(0);
}, 40_000);

it('the reader of the log stands still: requests are answered, nothing piles up, and the process can end', async () => {
  const w = await open();
  w.proxy.stdout!.pause();
  const [worker] = workersOf(w.proxy.pid!);
  await requests(w, 100);
  const before = {descriptors: descriptors(worker!), kb: residentKb(worker!)};
  // Far more than a pipe holds (64 KiB); what may wait in memory beside it is a unit test of runtime/output.
  expect(await requests(w, 2000)).toBe('hello'.repeat(2000));
  expect(descriptors(worker!)).toBeLessThanOrEqual(before.descriptors + 1);
  expect(residentKb(worker!) - before.kb).toBeLessThan(64 * 1024);
  const ended = new Promise((resolve) => w.proxy.once('exit', resolve));
  w.proxy.kill('SIGTERM');
  expect(await within(ended, 'the end of the proxy')).toBe(0);
  w.proxy.stdout!.destroy();
}, 60_000);
