/** The guard in a pod of the lab, beside a real `sallyport tproxy`: it passes where the pod is held, and only there. */
import {chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {ephemeralCa} from '../pki/index.ts';
import {PROOF} from '../runtime/names.ts';
import {proxiedLab, type ProxiedLab} from '../test/lab/proxied.ts';
import {labTest} from '../test/lab/require.ts';

const it = labTest('setpriv');
const CLI = fileURLToPath(new URL('../cli/main.ts', import.meta.url));
const UID = 'f7f2cc1e-0b54-4a1e-9a0b-2f7c6a1d0001';

let w: ProxiedLab;
let dir: string;

const policy = (mode: 'Enforce' | 'Audit'): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'default'},
  spec: {podSelector: {}, mode, rules: [{name: 'r', to: {hosts: ['a.test'], schemes: ['http']}}]},
});

/** The table of workloads: the pod `app`, under one uid or not at all. */
function table(uid: string | null): void {
  const {ips, interface: name} = w.lab.pod('app');
  const entry = {ips, interface: name, namespace: 'default', name: 'app', uid, trustsCa: true};
  writeFileSync(join(w.dir, 'workloads.yaml'), stringify(uid === null ? [] : [entry]));
}

interface Ran {
  readonly status: number | null;
  readonly said: string;
  /** What `kubectl describe pod` would show. */
  readonly left: string;
}

/** The guard as its container runs it: nobody's user, no capability, nothing writable but the termination log. */
async function guard(flags: readonly string[] = [], pod = 'app'): Promise<Ran> {
  const log = join(dir, 'termination-log');
  writeFileSync(log, '', {mode: 0o666});
  const {status, stdout, stderr} = await w.lab.exec(
    pod,
    [
      ...['setpriv', '--reuid=65532', '--regid=65532', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all'],
      ...['--no-new-privs', process.execPath, CLI, 'guard', '--ca', join(dir, 'ca.crt'), '--pod-uid', UID],
      ...['--pod-ips', w.lab.pod(pod).ips.join(','), '--node-ips', w.lab.node.ips.join(','), '--node-name', 'node-7'],
      ...['--termination-log', log, ...flags],
    ],
    {timeoutMs: 60_000},
  );
  return {status, said: stdout + stderr, left: readFileSync(log, 'utf8')};
}
const nft = async (text: string): Promise<void> => {
  const {status, stderr} = await w.lab.exec('node', ['nft', '-f', '-'], {stdin: text});
  if (status !== 0) throw new Error(stderr);
};

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-guard-'));
  // As a mounted ConfigMap is: for everybody to read.
  chmodSync(dir, 0o755);
  w = await proxiedLab({name: 'guard', policies: [policy('Enforce')]});
  writeFileSync(join(dir, 'ca.crt'), readFileSync(join(w.caDir, 'ca.crt')));
  table(UID);
}, 60_000);
afterAll(async () => {
  await w?.close();
  rmSync(dir, {recursive: true, force: true});
});

it('a pod that is captured and locked passes, over both families', async () => {
  const {status, said, left} = await guard();
  expect(said).toMatch(/^default\/app is captured and locked, by Sallyport \d.* over IPv4 and IPv6/m);
  expect([status, left]).toEqual([0, '']);
}, 90_000);

it('with neither ICMP sockets nor a node named, what could not be tried is said', async () => {
  await w.lab.exec('app', ['sysctl', '-qw', 'net.ipv4.ping_group_range=1 0']);
  const {status, said} = await guard();
  expect(said).toMatch(/not tried: ICMP to .*EACCES/);
  expect(status).toBe(0);
  await w.lab.exec('app', ['sysctl', '-qw', 'net.ipv4.ping_group_range=0 2147483647']);
}, 90_000);

describe('it fails, and says what is wrong and where,', () => {
  const short = ['--timeout', '1'];

  it('when the table belongs to another pod', async () => {
    table('another');
    await settled('another');
    const {status, said, left} = await guard(short);
    expect(status).toBe(1);
    expect(left).toMatch(/^WrongPod: the proxy on .* takes this pod for default\/app \(uid another\)/);
    expect(said).toContain(left);
    table(UID);
    await settled(UID);
  }, 90_000);

  it('when the pod is in no set: nothing answers', async () => {
    const {status, left} = await guard(short, 'free');
    expect(status).toBe(1);
    expect(left).toMatch(/^NotCaptured: .*192\.0\.2\.151:443.*node-7.*Cilium.*Calico/s);
  }, 90_000);

  it('when somebody else answers there', async () => {
    // What an on-path proxy of the network does: takes the connection, and shows a certificate of its own CA.
    const {chainPem, keyPem} = createLeafMint({ca: ephemeralCa()}).mint(PROOF.name);
    const server = createServer({cert: chainPem, key: keyPem}, (socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n{}'));
    await w.lab.internet.addAddress(PROOF.ip4);
    await listenIn(w.lab.internet.path, server, PROOF.ip4, PROOF.port);
    try {
      const {status, left} = await guard(short, 'free');
      expect(status).toBe(1);
      expect(left).toMatch(/^NotOurs: 192\.0\.2\.151:443 was answered by somebody whose certificate is not by the CA/);
    } finally {
      server.close();
    }
  }, 90_000);

  it('when TCP is captured and the lock is not there', async () => {
    await nft('flush chain inet sallyport lock\nadd rule inet sallyport lock accept\n');
    await nft('add table inet open_guard\ndelete table inet open_guard\n');
    const {status, left} = await guard(short);
    expect(status).toBe(1);
    expect(left).toMatch(/^NotClosed: TCP is handed to Sallyport, but UDP to 192\.0\.2\.151 left without a word/);
  }, 90_000);
});
