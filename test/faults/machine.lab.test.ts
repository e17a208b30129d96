/** The machine under it: disks that cannot be written, and an nft that fails or is away while it runs. */
import {spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {chmodSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {tproxyCommand} from '../../cli/demo/proxy-process.ts';
import {eventually} from '../lab/capture-rig.ts';
import {proxiedLab, type ProxiedLab} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {curl, curlFrom, httpTo, policy, readyz} from './fault-lab.ts';

const it = labTest('curl', 'unshare', 'mount');

let dir: string;
let world: ProxiedLab | null = null;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-faults-'));
});
afterEach(async () => {
  await world?.close();
  world = null;
  rmSync(dir, {recursive: true});
});

describe('a disk that cannot be written', () => {
  /** Runs the proxy in a mount namespace of its own after `mounts`, and ends it when it listens; its exit code and words. */
  const start = async (mounts: string): Promise<{status: number | null; stdout: string; stderr: string}> => {
    const flags = ['--policy', 'samples/policies', '--ca-dir', join(dir, 'ca'), '--log-format', 'json'];
    const ports = ['--admin', '127.0.0.1:0', '--explicit', '127.0.0.1:0', '--workers', '1'];
    const command = tproxyCommand([...flags, ...ports]);
    const child = spawn('unshare', ['-m', 'sh', '-c', `${mounts}; exec "$@"`, 'sh', ...command]);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      if (stdout.includes('tproxy.listening')) child.kill('SIGTERM');
    });
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const [status] = (await once(child, 'close')) as [number | null];
    return {status, stdout, stderr};
  };

  it('--ca-dir on a full file system: it says so and does not start', async () => {
    mkdirSync(join(dir, 'ca'), {mode: 0o700});
    const {status, stderr} = await start(
      `mount -t tmpfs -o size=4k,mode=700 ca ${dir}/ca; head -c 4096 /dev/zero > ${dir}/ca/full`,
    );
    expect(status).toBe(3);
    expect(stderr).toMatch(/CaUnwritable.*ENOSPC/);
    expect(stderr).toContain(join(dir, 'ca'));
  }, 30_000);

  it('--ca-dir read-only and empty: it says so and does not start; with its CA inside it starts', async () => {
    mkdirSync(join(dir, 'ca'), {mode: 0o700});
    const readOnly = `mount --bind ${dir}/ca ${dir}/ca; mount -o remount,ro,bind ${dir}/ca`;
    const empty = await start(readOnly);
    expect([empty.status, empty.stderr]).toEqual([3, expect.stringMatching(/CaUnwritable.*EROFS/)]);
    expect((await start(':')).stdout).toContain('tproxy.listening');
    const kept = await start(readOnly);
    expect([kept.stdout, kept.stderr]).toEqual([expect.stringContaining('tproxy.listening'), '']);
  }, 60_000);

  it('the code cache full or read-only: it starts without it', async () => {
    const cache = join(dir, 'cache');
    mkdirSync(cache, {mode: 0o700});
    for (const mounts of [
      `mount -t tmpfs -o size=64k,mode=700 cache ${cache}`,
      `mount -t tmpfs -o size=64k,mode=700 cache ${cache}; mount -o remount,ro ${cache}`,
    ])
      expect(await start(`export XDG_CACHE_HOME=${cache}; ${mounts}`)).toMatchObject({
        stdout: expect.stringContaining('tproxy.listening') as unknown,
        stderr: '',
      });
  }, 60_000);
});

describe('nft while it runs', () => {
  /** An `nft` in front of the real one that a test can break. */
  async function open(): Promise<{w: ProxiedLab; nft: (how: 'works' | 'fails') => void}> {
    const bin = join(dir, 'bin');
    mkdirSync(bin);
    const real = spawnSync('sh', ['-c', 'PATH="$PATH:/usr/sbin:/sbin"; command -v nft'], {
      encoding: 'utf8',
    }).stdout.trim();
    const file = join(bin, 'nft');
    const nft = (how: 'works' | 'fails'): void => {
      const body = how === 'works' ? `exec ${real} "$@"` : 'echo "nft: Operation not supported" >&2; exit 1';
      writeFileSync(`${file}.new`, `#!/bin/sh\n${body}\n`);
      chmodSync(`${file}.new`, 0o755);
      renameSync(`${file}.new`, file);
    };
    nft('works');
    const w = await proxiedLab({
      name: 'machine',
      policies: [policy(httpTo('a.test'))],
      under: ['env', `PATH=${bin}:${process.env['PATH'] ?? ''}`],
    });
    world = w;
    await w.addSite(
      'a.test',
      80,
      createServer((_, response) => response.end('hello')),
    );
    return {w, nft};
  }

  it('it fails when a pod is to be added: that is said, the others stay held, and it is made good', async () => {
    const {w, nft} = await open();
    expect(await curl(w, 'http://a.test/')).toBe('200');
    nft('fails');
    const table = join(w.dir, 'workloads.yaml');
    const before = readFileSync(table, 'utf8');
    const free = w.lab.pod('free');
    const entry = {ips: free.ips, interface: free.interface, namespace: 'other', name: 'free'};
    writeFileSync(table, before + stringify([entry]));
    const said = await w.seen((line) => line.event === 'capture.failed');
    expect(said['message']).toMatch(/nft/);
    expect(await curl(w, 'http://a.test/')).toBe('200');
    expect((await readyz(w)).capture).toMatchObject({
      inForce: false,
      lastError: expect.stringContaining('nft') as unknown,
    });
    nft('works');
    // Without anybody's doing: it is tried again.
    await eventually(async () => (await curlFrom(w, 'free', 'http://a.test/')) === '403');
    await eventually(async () => ((await readyz(w)).capture as {inForce: boolean}).inForce);
    expect(await curl(w, 'http://a.test/')).toBe('200');
  }, 60_000);
});
