/** The files that it reads: replaced by garbage, half-written, gone, swapped. What was good stays in force, and it is said. */
import {createServer} from 'node:http';
import {execFileSync} from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {eventually} from '../lab/capture-rig.ts';
import {proxiedLab, type JournalLine, type ProxiedLab, type ProxiedOptions} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {listenIn} from '../lab/sockets.ts';
import {curl, httpTo, metric, page, policy, readyz} from './fault-lab.ts';
import {parent, upstreamProxy} from './parent.ts';

const it = labTest('curl');

let world: ProxiedLab | null = null;
const folders: string[] = [];
afterEach(async () => {
  await world?.close();
  world = null;
  for (const folder of folders.splice(0)) rmSync(folder, {recursive: true, force: true});
});

const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), 'sallyport-faults-'));
  folders.push(made);
  return made;
};

async function open(options: Partial<ProxiedOptions> = {}): Promise<ProxiedLab> {
  world = await proxiedLab({name: 'files', policies: [policy(httpTo('a.test'))], ...options});
  const site = createServer((_, response) => response.end('hello'));
  await world.addSite('a.test', 80, site);
  await world.addSite(
    'b.test',
    80,
    createServer((_, response) => response.end('hello')),
  );
  return world;
}

/** The next line of that event, from now on. */
function next(w: ProxiedLab, event: string): Promise<JournalLine> {
  const before = w.journal.length;
  return w.seen((line) => line.event === event && w.journal.indexOf(line) >= before);
}

it('a policy file: garbage, half of it, a dangling link, a pipe, a device, the folder gone; the last good documents stay in force', async () => {
  const w = await open();
  const dir = join(w.dir, 'policies');
  const file = join(dir, 'policy.yaml');
  const good = readFileSync(file);
  // At once: a moment in which the file is not there, or empty, is a load without documents, and good.
  const beside = `${file}.new~`;
  const swap = (make: () => void) => (): void => {
    make();
    renameSync(beside, file);
  };
  const faults: [what: string, make: () => void, undo: () => void][] = [
    ['garbage', swap(() => writeFileSync(beside, Buffer.from([0, 255, 254, 1, 2, 0x7b, 0x5b, 0]))), () => undefined],
    [
      'half of a document',
      swap(() => writeFileSync(beside, good.subarray(0, good.indexOf('elector')))),
      () => undefined,
    ],
    [
      'a dangling link, as of a ConfigMap half swapped',
      swap(() => symlinkSync('..data/policy.yaml', beside)),
      () => undefined,
    ],
    ['a pipe', swap(() => execFileSync('mkfifo', [beside])), () => undefined],
    ['a device', swap(() => symlinkSync('/dev/zero', beside)), () => undefined],
    ['the folder gone', () => renameSync(dir, `${dir}.away`), () => renameSync(`${dir}.away`, dir)],
    [
      'the folder a link to itself',
      () => (renameSync(dir, `${dir}.away`), symlinkSync(dir, dir)),
      () => (unlinkSync(dir), renameSync(`${dir}.away`, dir)),
    ],
  ];
  for (const [what, make, undo] of faults) {
    const failed = next(w, 'policy.failed');
    make();
    await failed;
    expect([what, await curl(w, 'http://a.test/'), await curl(w, 'http://b.test/')]).toEqual([what, '200', '403']);
    const {ready, policies} = await readyz(w);
    expect([what, ready, policies.lastLoad]).toEqual([what, true, expect.stringContaining('failed')]);
    expect([what, policies.findings.length + policies.unreadable.length]).toEqual([what, 1]);
    const loaded = next(w, 'policy.loaded');
    undo();
    swap(() => writeFileSync(beside, good))();
    await loaded;
    await eventually(async () => (await readyz(w)).policies.lastLoad === 'ok');
  }
  expect(await metric(w, 'sallyport_policy_loads_total{result="failed"}')).toBeGreaterThanOrEqual(faults.length);
}, 90_000);

it('a file that is removed takes its documents with it', async () => {
  const w = await open();
  const loaded = next(w, 'policy.loaded');
  unlinkSync(join(w.dir, 'policies', 'policy.yaml'));
  await loaded;
  await eventually(async () => (await readyz(w)).workers.current);
  expect(await page(w, 'http://a.test/')).toMatchObject({
    status: '403',
    body: expect.stringContaining('NoPolicySelects') as unknown,
  });
}, 30_000);

it('a ConfigMap mount: the swap of ..data is one load, and no document is missing meanwhile', async () => {
  const mount = folder();
  const version = (name: string, ...hosts: string[]): void => {
    mkdirSync(join(mount, name));
    writeFileSync(join(mount, name, 'policy.yaml'), stringify(policy(httpTo(...hosts))));
    symlinkSync(name, join(mount, '..data_tmp'));
    renameSync(join(mount, '..data_tmp'), join(mount, '..data'));
  };
  version('..1', 'a.test', 'c.test');
  symlinkSync('..data/policy.yaml', join(mount, 'policy.yaml'));
  const w = await open({policies: [], flags: ['--policy', mount]});
  expect([await curl(w, 'http://a.test/'), await curl(w, 'http://b.test/')]).toEqual(['200', '403']);
  const loaded = next(w, 'policy.loaded');
  version('..2', 'b.test', 'c.test');
  rmSync(join(mount, '..1'), {recursive: true});
  await loaded;
  await eventually(async () => (await readyz(w)).workers.current);
  expect([await curl(w, 'http://a.test/'), await curl(w, 'http://b.test/')]).toEqual(['403', '200']);
  expect(w.journal.filter((line) => line.event === 'policy.failed')).toEqual([]);
}, 40_000);

it('the workload table replaced by garbage, or gone: the last good one stays in force', async () => {
  const w = await open();
  const file = join(w.dir, 'workloads.yaml');
  const good = readFileSync(file);
  for (const make of [() => writeFileSync(file, '- {ips: [10.0.0.999'), () => unlinkSync(file)]) {
    const failed = next(w, 'workloads.failed');
    make();
    expect((await failed)['message']).toMatch(/Workloads(Invalid|Unreadable).*last good table stays in force/);
    expect(await curl(w, 'http://a.test/')).toBe('200');
    expect(await readyz(w)).toMatchObject({ready: true, workloads: {count: 1}});
    writeFileSync(file, good);
    await eventually(async () => (await readyz(w)).workloads.lastLoad === 'ok');
  }
}, 40_000);

it("a parent's credentials removed: what goes through it is refused and nothing goes direct, until they are back", async () => {
  const refs = folder();
  const secret = join(refs, 'secrets', 'sallyport', 'corp');
  const write = (): void => {
    mkdirSync(secret, {recursive: true});
    writeFileSync(join(secret, 'username'), 'me');
    writeFileSync(join(secret, 'password'), 'pass');
  };
  write();
  const corp = upstreamProxy(['http://5.6.60.1:3128'], {
    auth: {secretRef: {name: 'corp', namespace: 'sallyport'}},
    hosts: ['*'],
  });
  const w = await open({policies: [policy(httpTo('a.test')), corp], flags: ['--refs', refs]});
  const proxy = parent(() => w, {'a.test': '5.6.40.1'});
  await w.lab.internet.addAddress('5.6.60.1');
  await listenIn(w.lab.internet.path, proxy.server, '5.6.60.1', 3128);
  expect(await curl(w, 'http://a.test/')).toBe('200');
  expect(proxy.heads.at(-1)).toMatch(/proxy-authorization: Basic bWU6cGFzcw==/i);
  const carried = proxy.heads.length;

  rmSync(join(refs, 'secrets'), {recursive: true});
  expect((await w.seen((line) => line.event === 'refs.missing'))['message']).toMatch(/corp cannot be used/);
  expect(await page(w, 'http://a.test/')).toMatchObject({
    status: '502',
    body: expect.stringContaining('UpstreamUnreachable') as unknown,
  });
  expect((await readyz(w)).missingRefs).toMatchObject([{proxy: 'corp'}]);
  expect(proxy.heads).toHaveLength(carried);

  write();
  await eventually(async () => (await readyz(w)).missingRefs.length === 0 && (await readyz(w)).workers.current);
  expect(await curl(w, 'http://a.test/')).toBe('200');
  proxy.cut();
  proxy.server.close();
}, 40_000);
