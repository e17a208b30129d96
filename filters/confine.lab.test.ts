/** The kernel's walls, without Node's: what a filter could do that had broken out of both of Node's. Needs root. */
import {execFile} from 'node:child_process';
import {once} from 'node:events';
import {chmodSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import type {AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {afterAll, beforeAll, describe, expect, jest} from '@jest/globals';
import {labTest} from '../test/lab/require.ts';
import {confinementGap, findConfinement} from './confine.ts';
import type {Confinement} from './confine.ts';
import {createFilters} from './index.ts';
import {within} from '../test/waiting.ts';

const test = labTest('unshare', 'setpriv', 'prlimit');
// Each starts processes; on a loaded machine that takes its time.
jest.setTimeout(60_000);
const server = createServer((socket) => socket.end('reached'));
let open: string;
let closed: string;

beforeAll(async () => {
  open = mkdtempSync(join(tmpdir(), 'sp-open-'));
  chmodSync(open, 0o755);
  closed = mkdtempSync(join(tmpdir(), 'sp-closed-'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.close();
  rmSync(open, {recursive: true});
  rmSync(closed, {recursive: true});
});

/** What a program says that runs where filters run, but without Node's permission model. */
async function inside(confinement: Confinement, code: string): Promise<unknown> {
  const argv = [...confinement.argv, process.execPath, '-e', code];
  const {stdout} = await promisify(execFile)(argv[0]!, argv.slice(1), {env: {}, cwd: '/'});
  return JSON.parse(stdout);
}
const print = (value: string) => `console.log(JSON.stringify(${value}))`;
const status = print(
  `require('fs').readFileSync('/proc/thread-self/status', 'utf8').split('\\n').filter((line) => /^(Uid|Groups|NoNewPrivs|CapPrm|CapEff|CapBnd|CapAmb)/.test(line))`,
);

describe('as root', () => {
  test('filters are nobody, without capabilities and ways to regain them', async () => {
    const confinement = await findConfinement([open]);
    expect(confinementGap(confinement)).toBeNull();
    const lines = ((await inside(confinement, status)) as string[]).map((line) => line.replace(/\s+/g, ' ').trim());
    expect(lines).toEqual([
      'Uid: 65534 65534 65534 65534',
      'Groups:',
      ...['CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map((set) => `${set}: 0000000000000000`),
      'NoNewPrivs: 1',
    ]);
  });

  test.each([
    ['with NET_ADMIN alone nothing can be given up, and it is said so', ['net_admin'], false],
    [
      'with what the chart adds for filters, they give up everything',
      ['net_admin', 'setpcap', 'setuid', 'setgid', 'kill'],
      true,
    ],
  ])('in a pod, %s', async (_title, capabilities, privileges) => {
    const kept = ['-all', ...capabilities.map((name) => `+${name}`)].join(',');
    const limited = ['--bounding-set', kept, '--inh-caps=-all', '--no-new-privs', '--', process.execPath];
    const code = `import(${JSON.stringify(join(import.meta.dirname, 'confine.ts'))}).then(async ({findConfinement, confinementGap}) => {
      const found = await findConfinement([${JSON.stringify(open)}]);
      console.log(JSON.stringify({privileges: found.privileges, gap: confinementGap(found)}));
    })`;
    const {stdout} = await promisify(execFile)('setpriv', [...limited, '-e', code], {env: {}});
    const found = JSON.parse(stdout) as {privileges: boolean; gap: string};
    expect(found.privileges).toBe(privileges);
    expect(found.gap.includes('giving up root’s powers')).toBe(!privileges);
  });

  test('where nobody cannot read the folder, they keep the user’s number and none of its powers', async () => {
    const confinement = await findConfinement([closed]);
    expect(confinement).toMatchObject({network: true, privileges: true});
    const lines = ((await inside(confinement, status)) as string[]).join(' ').replace(/\s+/g, ' ');
    expect(lines).toContain('Uid: 0 0 0 0');
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) expect(lines).toContain(`${set}: 0000000000000000`);
  });

  test('a socket finds no network, not even loopback', async () => {
    const {port} = server.address() as AddressInfo;
    const connect = `require('net').connect(${port}, '127.0.0.1').on('data', (data) => ${print('String(data)')}).on('error', (error) => ${print('error.code')})`;
    // The same program reaches the server from where we are: the test can fail.
    expect(await inside({argv: [], network: false, privileges: false}, connect)).toBe('reached');
    expect(await inside(await findConfinement([open]), connect)).toBe('ENETUNREACH');
  });

  test('no other process can be seen or signalled', async () => {
    const signal = `let said; try { process.kill(${process.pid}, 0); said = 'sent'; } catch (error) { said = error.code; } ${print('[said, process.pid]')}`;
    expect(await inside({argv: [], network: false, privileges: false}, signal)).toEqual(['sent', expect.any(Number)]);
    expect(await inside(await findConfinement([closed]), signal)).toEqual(['ESRCH', 1]);
  });

  test('no namespace can be entered or made', async () => {
    const unshare = `const {status} = require('child_process').spawnSync('/usr/bin/unshare', ['--net', 'true']); ${print('status')}`;
    expect(await inside(await findConfinement([open]), unshare)).not.toBe(0);
  });

  test('memory outside of the heap is bounded too', async () => {
    const eat = `let megabytes = 0; const kept = []; try { for (; megabytes < 2000; megabytes += 50) kept.push(Buffer.alloc(5e7)); } catch (error) {} ${print('megabytes')}`;
    expect(await inside({argv: [], network: false, privileges: false}, eat)).toBe(2000);
    const megabytes = await inside(await findConfinement([open]), eat);
    expect(megabytes).toBeGreaterThan(100);
    expect(megabytes).toBeLessThan(1000);
  });

  test('its /proc shows nobody else', async () => {
    const pids = print(`require('fs').readdirSync('/proc').filter((name) => /^\\d+$/.test(name))`);
    expect(await inside({argv: [], network: false, privileges: false}, pids)).toContain(String(process.pid));
    // The one process that starts the other, if it is still there.
    expect(await inside(await findConfinement([open]), pids)).toEqual(['1']);
  });

  test('it has no descriptor but those of its output and the calls', async () => {
    writeFileSync(join(open, 'a.ts'), `export function request() {}`);
    const filters = createFilters({dir: open, onNotice: () => undefined});
    try {
      await filters.ready;
      const [pid] = await processesOf(open);
      const sockets = readdirSync(`/proc/${pid}/fd`).filter((fd) =>
        readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:'),
      );
      // 1 and 2 carry what it prints, 3 the calls. Our listening server, which is open meanwhile, is not among them.
      expect(sockets.sort()).toEqual(['1', '2', '3']);
    } finally {
      await filters.close();
    }
  });

  test('and they work there', async () => {
    writeFileSync(join(open, 'a.ts'), `export function request(flow: any) { flow.respond({status: 418}); }`);
    const notices: string[] = [];
    const filters = createFilters({dir: open, onNotice: (_level, event) => notices.push(event)});
    await filters.ready;
    expect(notices).toEqual(['filters.loaded']);
    await filters.close();
  });

  test('the process of a filter that spins ends when ours is killed', async () => {
    writeFileSync(join(open, 'a.ts'), `export function request() { console.log('spinning'); for (;;); }`);
    const index = new URL('./index.ts', import.meta.url).href;
    const script = `import {createFilters} from ${JSON.stringify(index)};
      const filters = createFilters({dir: process.argv[1], timeoutMs: 600000, onNotice: (level, event) => { if (event === 'filters.output') console.log('spinning'); }});
      await filters.ready;
      filters.request({id: 'x', workload: {namespace: '', name: '', labels: {}, serviceAccount: ''}, scheme: 'http', host: 'a', port: 80, method: 'GET', path: '/', query: null, headers: []}, () => undefined);
      setInterval(() => undefined, 1000);`;
    const child = execFile(process.execPath, ['--input-type=module', '-e', script, open]);
    await within(once(child.stdout!, 'data'), 'the filter spins');
    const pids = await processesOf(open);
    expect(pids).toHaveLength(1);
    child.kill('SIGKILL');
    await within(once(child, 'close'), 'the end of the process');
    await gone(pids[0]!);
  });
});

/** The filters' processes of a folder. */
async function processesOf(dir: string): Promise<number[]> {
  const {stdout} = await promisify(execFile)('pgrep', [
    '-f',
    `^${process.execPath} --permission .*--allow-fs-read=${dir} `,
  ]);
  return stdout.trim().split('\n').map(Number);
}

/** Waits for a process to end; the test's own time limit is the bound. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
