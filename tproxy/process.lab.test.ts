/** `sallyport tproxy` as a process in a lab: how it starts, reloads, loses a worker, drains and ends. */
import {createServer} from 'node:http';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import type {AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect} from '@jest/globals';
import {openCa} from '../pki/index.ts';
import {proxiedLab, type ProxiedLab} from '../test/lab/proxied.ts';
import {labTest} from '../test/lab/require.ts';
import {lives} from '../test/faults/fault-lab.ts';
import {until, within} from '../test/waiting.ts';

const it = labTest('curl');
const policy = (...hosts: string[]): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'default'},
  spec: {podSelector: {}, rules: hosts.map((host, i) => ({name: `r${i}`, to: {hosts: [host], schemes: ['http']}}))},
});

let world: ProxiedLab | null = null;
afterEach(async () => {
  await world?.close();
  world = null;
});

async function open(flags: readonly string[] = []): Promise<ProxiedLab> {
  world = await proxiedLab({name: 'process', policies: [policy('a.test')], flags});
  await world.addSite(
    'a.test',
    80,
    createServer((_, response) => response.end('hello')),
  );
  return world;
}
/** `timeoutS`: long, but for what is dropped. */
const curl = async (w: ProxiedLab, url: string, pod = 'app', timeoutS = 30): Promise<string> => {
  const {stdout, status} = await w.lab.exec(pod, [
    'curl',
    '-s',
    '-m',
    String(timeoutS),
    '-o',
    '/dev/null',
    '-w',
    '%{http_code}',
    url,
  ]);
  return status === 0 ? stdout : `curl exit ${status}`;
};
/** The pids of a supervisor's workers. */
const workersOf = (pid: number): number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((child) => {
      try {
        const text = readFileSync(`/proc/${child}/stat`, 'utf8');
        const parent = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
        return parent === pid && readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('tproxy/worker.');
      } catch {
        return false;
      }
    });
const admin = async (w: ProxiedLab, path: string): Promise<string> =>
  (await w.lab.exec('node', ['curl', '-s', '-m', '20', `http://127.0.0.1:15084${path}`])).stdout;

it('tells what alerts ask for: the capture and its members, and until when it can sign', async () => {
  const w = await open();
  const text = await admin(w, '/metrics');
  for (const state of ['started', 'current', 'in-force'])
    expect(text).toContain(`sallyport_capture_state{state="${state}"} 1`);
  const [wanted, held] = ['wanted', 'held'].map((what) =>
    Number(new RegExp(`sallyport_capture_members{what="${what}"} (\\d+)`).exec(text)?.[1]),
  );
  expect(wanted).toBeGreaterThan(0);
  expect(held).toBe(wanted);
  const end = /sallyport_certificate_end_timestamp_seconds{certificate="signing"} (\S+)/.exec(text)?.[1];
  expect(Number(end) * 1000).toBeGreaterThan(Date.now());
}, 30_000);

describe.each(['tproxy', 'redirect'])('captured by %s', (intercept) => {
  it('an allowed site answers, another is refused, over IPv4', async () => {
    const w = await open(['--intercept', intercept]);
    expect(await curl(w, 'http://a.test/')).toBe('200');
    await w.addSite(
      'b.test',
      80,
      createServer((_, response) => response.end('hello')),
    );
    expect(await curl(w, 'http://b.test/')).toBe('403');
    expect(await curl(w, 'http://b.test/', 'free')).toBe('200');
  }, 30_000);
});

it('a worker that is killed is replaced, and the pod goes on', async () => {
  const w = await open();
  const before = workersOf(w.proxy.pid!);
  expect(before).toHaveLength(1);
  process.kill(before[0]!, 'SIGKILL');
  await w.seen((line) => line.event === 'worker.restarted');
  // The SYN of a pod is dropped until the new worker listens, so this curl waits and is answered.
  expect(await curl(w, 'http://a.test/')).toBe('200');
  expect(workersOf(w.proxy.pid!)).not.toContain(before[0]);
}, 30_000);

it('with the supervisor killed the workers end too, and nothing leaves', async () => {
  const w = await open();
  const workers = workersOf(w.proxy.pid!);
  expect(await curl(w, 'http://a.test/')).toBe('200');
  const gone = new Promise((resolve) => w.proxy.once('exit', resolve));
  w.proxy.kill('SIGKILL');
  await within(gone, 'the end of the supervisor');
  // In their own time: until then they answer.
  expect(workers).toHaveLength(1);
  await until(
    () => workers.filter(lives),
    (living) => living.length === 0,
  );
  expect(await curl(w, 'http://a.test/', 'app', 3)).toBe('curl exit 28');
  expect(await curl(w, 'http://a.test/', 'free')).toBe('200');
}, 30_000);

it('a bad policy keeps the last good one, and shows in readiness and metrics', async () => {
  const w = await open();
  writeFileSync(join(w.dir, 'policies', 'policy.yaml'), 'kind: EgressPolicy\nspec: {rulez: []}\n');
  await w.seen((line) => line.event === 'policy.failed');
  expect(await curl(w, 'http://a.test/')).toBe('200');
  const ready = JSON.parse(await admin(w, '/readyz')) as {
    ready: boolean;
    policies: {lastLoad: string; findings: string[]};
  };
  expect(ready.ready).toBe(true);
  expect(ready.policies.lastLoad).toMatch(/failed/);
  expect(ready.policies.findings.join()).toMatch(/policy\.yaml:\d+:\d+: error/);
  expect(await admin(w, '/metrics')).toMatch(/sallyport_policy_loads_total\{result="failed"\} 1/);
}, 30_000);

it('a workload that leaves the table has no way out, and one that enters gets its own', async () => {
  const w = await open();
  expect(await curl(w, 'http://a.test/')).toBe('200');
  const free = w.lab.pod('free');
  writeFileSync(
    join(w.dir, 'workloads.yaml'),
    `- {ips: [${free.ip4}], interface: ${free.interface}, namespace: other, name: free}\n`,
  );
  // No policy is in its namespace: what was free is refused now.
  const refused = w.seen((line) => line.event === 'egress.decision' && line['reason'] === 'NoPolicySelects');
  await until(
    () => curl(w, 'http://a.test/', 'free'),
    (answer) => answer === '403',
  );
  await refused;
}, 30_000);

it('SIGTERM lets a running request finish, refuses readiness, and ends with 0', async () => {
  const w = await open();
  let answer: () => void = () => {};
  await w.addSite(
    'slow.test',
    80,
    createServer((_, response) => {
      answer = () => response.end('late');
    }),
  );
  w.setPolicy(policy('slow.test'));
  await w.seen(() => w.journal.filter((line) => line.event === 'policy.loaded').length > 1);
  const running = curl(w, 'http://slow.test/');
  await w.seen((line) => line.event === 'egress.decision' && line['name'] === 'slow.test');
  const ended = new Promise((resolve) => w.proxy.once('exit', resolve));
  w.proxy.kill('SIGTERM');
  await w.seen((line) => line.event === 'tproxy.draining');
  expect((JSON.parse(await admin(w, '/readyz')) as {ready: boolean}).ready).toBe(false);
  answer();
  expect(await running).toBe('200');
  expect(await within(ended, 'the end of the proxy')).toBe(0);
}, 30_000);

it('a stream that does not end keeps nobody waiting while we drain, and is cut and counted at the deadline', async () => {
  const w = await open(['--drain-deadline', '10']);
  await w.addSite(
    'stream.test',
    80,
    createServer((_, response) => void response.write('begun')),
  );
  w.setPolicy(policy('stream.test', 'a.test'));
  await w.seen(() => w.journal.filter((line) => line.event === 'policy.loaded').length > 1);
  const stream = curl(w, 'http://stream.test/', 'app', 60);
  await w.seen((line) => line.event === 'egress.decision' && line['name'] === 'stream.test');
  const ended = new Promise((resolve) => w.proxy.once('exit', resolve));
  w.proxy.kill('SIGTERM');
  await w.seen((line) => line.event === 'tproxy.draining');
  expect(await curl(w, 'http://a.test/')).toBe('200');
  expect((await w.seen((line) => line.event === 'tproxy.cut')).message).toContain('1 connections');
  expect((await w.seen((line) => line.event === 'egress.flow' && line['name'] === 'stream.test'))['failure']).toBe(
    'LimitExceeded',
  );
  expect(await stream).toMatch(/^curl exit/);
  expect(await ended).toBe(0);
}, 60_000);

describe('what cannot start says why and what to do, and exits with 3', () => {
  const start = async (dir: string, ...flags: string[]): Promise<string> => {
    const {exitCode, stderr} = await new Promise<{exitCode: number | null; stderr: string}>((resolve) => {
      const child = spawn(
        process.execPath,
        ['cli/main.ts', 'tproxy', '--policy', 'samples/policies', '--ca-dir', join(dir, 'ca'), ...flags],
        {
          stdio: ['ignore', 'ignore', 'pipe'],
        },
      );
      let stderr = '';
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      child.on('exit', (exitCode) => resolve({exitCode, stderr}));
    });
    expect(exitCode).toBe(3);
    return stderr;
  };
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-start-'));
  });
  afterEach(() => rmSync(dir, {recursive: true}));

  it('a port in use', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const {port} = holder.address() as AddressInfo;
    const ports = ['--admin', '127.0.0.1:0', '--explicit', `127.0.0.1:${port}`];
    expect(await start(dir, ...ports)).toMatch(
      `PortInUse: --explicit 127.0.0.1:${port} is in use by another process. Stop it, or choose another port`,
    );
    holder.close();
  });
  it('a CA key that others can read', async () => {
    openCa({dir: join(dir, 'ca')});
    chmodSync(join(dir, 'ca', 'root.key'), 0o644);
    expect(await start(dir, '--admin', '127.0.0.1:0')).toMatch(
      /CaPermissions: .*root\.key can be read by others.* chmod 600/,
    );
  });
  it('an --upstream-ca without certificates', async () => {
    writeFileSync(join(dir, 'roots.pem'), 'nothing');
    expect(await start(dir, '--upstream-ca', join(dir, 'roots.pem'))).toMatch(/--upstream-ca .*roots\.pem/);
  });
  it('a policy with an error, by file, line and column', async () => {
    writeFileSync(
      join(dir, 'bad.yaml'),
      'apiVersion: sallyport.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: a, namespace: b}\nspec: {podSelektor: {}}\n',
    );
    expect(await start(dir, '--policy', join(dir, 'bad.yaml'))).toMatch(
      /PolicyInvalid: \d+ errors? in the policy files\n.*bad\.yaml:4:\d+: error UnknownField.*podSelector/,
    );
  });
  it('a filter that does not load', async () => {
    mkdirSync(join(dir, 'filters'));
    writeFileSync(join(dir, 'filters', 'a.mjs'), 'export function request( {');
    const ports = ['--admin', '127.0.0.1:0', '--explicit', '127.0.0.1:0'];
    expect(await start(dir, '--filters', join(dir, 'filters'), ...ports)).toMatch(/FilterNotLoaded: .*a\.mjs/);
  });
});
