/** The guard in a pod of the lab, beside a real `sallyport tproxy`: it passes where the pod is held, and only there. */
import {chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createServer} from 'node:tls';
import {fileURLToPath} from 'node:url';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {createLeafMint, ephemeralCa} from '../pki/index.ts';
import {PROOF} from '../runtime/names.ts';
import {listenIn, UPLINK} from '../test/lab/index.ts';
import {proxiedLab, type ProxiedLab} from '../test/lab/proxied.ts';
import {labTest} from '../test/lab/require.ts';
import {until} from '../test/waiting.ts';

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
  writeFileSync(log, '');
  // As the kubelet makes it.
  chmodSync(log, 0o666);
  const {status, stdout, stderr} = await w.lab.exec(
    pod,
    [
      ...['setpriv', '--reuid=65532', '--regid=65532', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all'],
      ...['--no-new-privs', process.execPath, CLI, 'guard', '--ca', join(dir, 'ca.crt'), '--pod-uid', UID],
      ...['--pod-ips', w.lab.pod(pod).ips.join(','), '--node-ips', w.lab.node.ips.join(','), '--node-name', 'node-7'],
      ...['--termination-log', log, ...flags],
    ],
    {timeoutMs: 120_000},
  );
  return {status, said: stdout + stderr, left: readFileSync(log, 'utf8')};
}
const nft = async (text: string): Promise<void> => {
  const {status, stderr} = await w.lab.exec('node', ['nft', '-f', '-'], {stdin: text});
  if (status !== 0) throw new Error(stderr);
};
/** Until the guard fails, the change that is waited for being in force. */
async function failure(pod = 'app'): Promise<Ran> {
  return until(
    () => guard(['--timeout', '1'], pod),
    (ran) => {
      if (ran.status !== 1) expect(ran).toMatchObject({status: 0});
      return ran.status === 1;
    },
  );
}

/**
 * What an eBPF dataplane does: packets of the pod's interface leave by the uplink from the ingress hook, and netfilter's
 * hooks never see them. `which` is a match of nft's.
 */
async function bypassing<T>(which: string, work: () => Promise<T>): Promise<T> {
  const device = w.lab.pod('app').interface;
  const chain = `type filter hook ingress device "${device}" priority -500\n${which} fwd to "${UPLINK.interface}"`;
  await nft(`table netdev bypass {\nchain c {\n${chain}\n}\n}\n`);
  try {
    return await work();
  } finally {
    await nft('delete table netdev bypass\n');
  }
}

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

it('where ICMP sockets cannot be had, what was not tried is said', async () => {
  await w.lab.exec('app', ['sysctl', '-qw', 'net.ipv4.ping_group_range=1 0']);
  try {
    const {status, said} = await guard();
    expect(said).toMatch(/is captured and locked.*; not tried: ICMP to 192\.0\.2\.151 \(EACCES\)/);
    expect(status).toBe(0);
  } finally {
    await w.lab.exec('app', ['sysctl', '-qw', 'net.ipv4.ping_group_range=0 2147483647']);
  }
}, 90_000);

it('a pod that only Audit policies select is captured; that it is not locked is said', async () => {
  w.setPolicy(policy('Audit'));
  try {
    for (;;) {
      const {status, said} = await guard();
      expect(status).toBe(0);
      if (/captured; not locked, since only Audit policies select it/.test(said)) break;
    }
  } finally {
    w.setPolicy(policy('Enforce'));
  }
}, 90_000);

it('a pod whose address is not known yet is waited for', async () => {
  table(null);
  await failure();
  const running = guard(['--timeout', '60']);
  table(UID);
  const {status, left} = await running;
  expect([status, left]).toEqual([0, '']);
}, 90_000);

describe('it fails, and says what is wrong and where,', () => {
  it('when the table gives the address to another pod', async () => {
    table('another');
    const {status, said, left} = await failure();
    table(UID);
    expect(status).toBe(1);
    expect(left).toMatch(
      /^WrongPod: the proxy on \S+ takes this pod for default\/app \(uid another\), and it is uid f7f2/,
    );
    expect(said).toContain(left);
  }, 90_000);

  it('when the pod is in no set: nothing answers', async () => {
    const {status, left} = await failure('free');
    expect(status).toBe(1);
    expect(left).toMatch(/^NotCaptured: nothing answers at 192\.0\.2\.151:443 .*spec\.nodeName=node-7.*Cilium.*Calico/);
  }, 90_000);

  it('when the network has somebody who answers there', async () => {
    const {chainPem, keyPem} = createLeafMint({ca: ephemeralCa()}).mint(PROOF.name);
    const server = createServer({cert: chainPem, key: keyPem}, (socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n{}'));
    await w.lab.internet.addAddress(PROOF.ip4);
    await listenIn(w.lab.internet.path, server, PROOF.ip4, PROOF.port);
    try {
      const {status, left} = await failure('free');
      expect(status).toBe(1);
      expect(left).toMatch(/^NotOurs: 192\.0\.2\.151:443 was answered by somebody whose certificate is not by the CA/);
    } finally {
      server.close();
    }
  }, 90_000);

  it('when a dataplane carries everything past netfilter', async () => {
    const {status, left} = await bypassing('counter', failure);
    expect(status).toBe(1);
    expect(left).toMatch(
      /^NotCaptured: nothing answers at 192\.0\.2\.151:443 \(ETIMEDOUT\).*eBPF carries packets past netfilter/,
    );
  }, 90_000);

  it('when it carries IPv6 past it', async () => {
    const {left} = await bypassing('meta protocol ip6', failure);
    expect(left).toMatch(/^NotCaptured: nothing answers at \[2001:db8:5a11::151\]:443/);
  }, 90_000);

  it('when it carries UDP past it: TCP alone is no proof', async () => {
    const {left} = await bypassing('meta l4proto udp', failure);
    expect(left).toMatch(/^NotClosed: TCP is handed to Sallyport, but UDP to 192\.0\.2\.151 left without a word/);
  }, 90_000);

  it('when it carries ICMP past it', async () => {
    const {left} = await bypassing('meta l4proto icmp', failure);
    expect(left).toMatch(/^NotClosed: .*but ICMP to 192\.0\.2\.151 left without a word/);
  }, 90_000);

  it('when only one port is captured', async () => {
    const {left} = await bypassing('tcp dport != 443', failure);
    expect(left).toMatch(/^NotCaptured: nothing answers at 192\.0\.2\.151:(?!443)\d+/);
  }, 90_000);

  it('when the pod has an interface that nobody captures', async () => {
    for (const words of [
      'link add net1 type veth peer name net2',
      'address add 10.200.0.7/24 dev net1',
      'link set net2 up',
      'link set net1 up',
    ])
      expect(await w.lab.exec('app', ['ip', ...words.split(' ')])).toMatchObject({status: 0});
    try {
      const {left} = await failure();
      expect(left).toMatch(/^SecondInterface: net1 with 10\.200\.0\.7 .*k8s\.v1\.cni\.cncf\.io\/networks/);
    } finally {
      await w.lab.exec('app', ['ip', 'link', 'delete', 'net1']);
    }
  }, 90_000);

  it('when the proxy is dead: closed is not captured', async () => {
    const gone = new Promise((resolve) => w.proxy.once('exit', resolve));
    w.proxy.kill('SIGKILL');
    await gone;
    expect((await failure()).left).toMatch(/^NotCaptured: nothing answers/);
    await w.restart();
    expect((await guard()).status).toBe(0);
  }, 90_000);
});
