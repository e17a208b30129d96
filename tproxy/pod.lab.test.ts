/** `capture: pod`: a pod's own namespace with the rules, the proxy as their exempt user, and programs of other users. */
import type {ChildProcess} from 'node:child_process';
import {chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:http';
import type {Server} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {answerQuery} from '../cli/demo/dns.ts';
import {tproxyCommand} from '../cli/demo/proxy-process.ts';
import {POD_PROXY_UID} from '../runtime/names.ts';
import {datagram, firstLine, greeter, udpEcho} from '../test/lab/capture-rig.ts';
import {createLab, listenIn, udpIn, type Lab} from '../test/lab/index.ts';
import {labTest} from '../test/lab/require.ts';
import {until, within} from '../test/waiting.ts';

const it = labTest('curl', 'setpriv');
const CLI = fileURLToPath(new URL('../cli/main.ts', import.meta.url));
const RESOLVER = '9.9.9.9';
const SITE = {4: '203.0.113.20', 6: '2001:db8::20'} as const;
const UID = 'f7f2cc1e-0b54-4a1e-9a0b-2f7c6a1d0002';

let lab: Lab;
let dir: string;
let proxy: ChildProcess;
const servers: {close(): void}[] = [];

/** As a container of this user runs a program: no capability, and none to be had. */
const as = (uid: number, ...argv: string[]): string[] => [
  ...['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--inh-caps=-all', '--bounding-set=-all'],
  ...['--no-new-privs', ...argv],
];
const curl = async (url: string, uid = 1000, ...more: string[]): Promise<string> => {
  const argv = as(uid, 'curl', '-s', '-m', '20', '-o', '/dev/null', '-w', '%{http_code}', ...more, url);
  const {status, stdout} = await lab.exec('app', argv);
  return status === 0 ? stdout : `curl exit ${status}`;
};

async function startProxy(): Promise<void> {
  const flags = [
    ...['--capture', 'pod', '--policy', join(dir, 'policy.yaml'), '--workloads', join(dir, 'workloads.yaml')],
    ...['--ca-dir', join(dir, 'ca'), '--trust-dir', join(dir, 'trust'), '--log-format', 'json', '--resolver', RESOLVER],
  ];
  proxy = lab.spawn('app', as(POD_PROXY_UID, ...tproxyCommand(flags)), {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: dir,
  });
  const listening = new Promise<void>((resolve, reject) => {
    createInterface({input: proxy.stdout!}).on('line', (line) => {
      if (line.includes('tproxy.listening')) resolve();
    });
    proxy.once('exit', (code) => reject(new Error(`the proxy ended with ${code}`)));
  });
  await within(listening, 'the proxy listens');
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-pod-'));
  chmodSync(dir, 0o755);
  for (const name of ['ca', 'trust']) {
    mkdirSync(join(dir, name), {mode: name === 'ca' ? 0o700 : 0o755});
    chownSync(join(dir, name), POD_PROXY_UID, POD_PROXY_UID);
  }
  lab = await createLab({name: 'inpod', pods: [{name: 'app'}, {name: 'other'}]});
  await lab.internet.addAddress(RESOLVER, SITE[4], SITE[6]);
  const dns = await udpIn(lab.internet.path, RESOLVER, 53);
  dns.on('message', (query, from) => {
    const answer = answerQuery(query, (name) => (name === 'a.test' || name === 'b.test' ? SITE[4] : undefined));
    if (answer !== null) dns.send(answer, from.port, from.address);
  });
  servers.push(dns);
  lab.setResolver('app', RESOLVER);
  for (const ip of Object.values(SITE)) {
    const site: Server = createServer((_, response) => response.end('hello'));
    await listenIn(lab.internet.path, site, ip, 80);
    servers.push(site);
  }
  const policy = {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressPolicy',
    metadata: {name: 'web', namespace: 'default'},
    spec: {podSelector: {matchLabels: {app: 'self'}}, rules: [{name: 'r', to: {hosts: ['a.test'], schemes: ['http']}}]},
  };
  writeFileSync(join(dir, 'policy.yaml'), stringify(policy));
  writeFileSync(join(dir, 'labels'), 'app="self"\n');
  const table = [
    ...['--workload-file', join(dir, 'workloads.yaml'), '--labels-file', join(dir, 'labels'), '--pod-uid', UID],
    ...['--pod-name', 'app', '--pod-namespace', 'default', '--pod-ips', lab.pod('app').ips.join(',')],
  ];
  // The init container: root of the pod, with NET_ADMIN.
  const rules = await lab.exec('app', [process.execPath, CLI, 'pod-rules', ...table]);
  expect(rules).toMatchObject({status: 0, stderr: '', stdout: `captured; names by ${RESOLVER}\n`});
  await startProxy();
}, 60_000);

afterAll(async () => {
  for (const server of servers) server.close();
  await lab?.close();
  rmSync(dir, {recursive: true, force: true});
});

describe('a pod that captures itself', () => {
  it('is held to the policy, whoever its programs are: root is not exempt', async () => {
    for (const uid of [0, 1000, 65532]) {
      expect(await curl('http://a.test/', uid)).toBe('200');
      expect(await curl('http://b.test/', uid)).toBe('403');
    }
    expect(await curl(`http://[${SITE[6]}]/`)).toBe('403');
  }, 60_000);

  it('passes the guard, over both families', async () => {
    const {stdout, stderr, status} = await lab.exec(
      'app',
      as(65532, process.execPath, CLI, 'guard', '--pod-uid', UID, '--ca', join(dir, 'trust', 'ca.crt')),
      {timeoutMs: 90_000},
    );
    expect(stdout + stderr).toMatch(/default\/app is captured and locked.*over IPv4 and IPv6/);
    expect(status).toBe(0);
  }, 120_000);

  it('gets no datagram out, but to its resolver', async () => {
    const echo = await udpEcho(lab.internet.path, SITE[4], 5353);
    const {path} = lab.pod('app');
    for (const port of [5353, 53]) {
      const code = await datagram(path, lab.pod('app').ip4, {ip: SITE[4], port});
      expect(['EHOSTUNREACH', 'EPERM']).toContain(code);
    }
    expect(echo.seen).toEqual([]);
    echo.close();
  }, 30_000);

  it('is answered when somebody dials it, and what it answers is not captured', async () => {
    const {path, ip4} = lab.pod('app');
    const inside = await greeter(path, ip4, 8080);
    expect(await firstLine(lab.pod('other').path, ip4, 8080)).toBe(`hello ${lab.pod('other').ip4}`);
    inside.close();
  }, 30_000);

  it('talks to itself, but not to the proxy’s own ports', async () => {
    const {path} = lab.pod('app');
    const inside = await greeter(path, '127.0.0.1', 8081);
    expect(await firstLine(path, '127.0.0.1', 8081)).toBe('hello 127.0.0.1');
    inside.close();
    expect(await curl('http://127.0.0.1:15084/metrics')).toBe('curl exit 7');
    expect(await curl('http://127.0.0.1:15080/')).toBe('curl exit 7');
    expect(await curl(`http://${lab.pod('app').ip4}:15080/`)).toBe('curl exit 7');
  }, 30_000);

  it('finds the certificates, and no key', () => {
    expect(readdirSync(join(dir, 'trust')).sort()).toEqual(['added.crt', 'bundle.crt', 'ca.crt', 'truststore.p12']);
    for (const name of ['added.crt', 'bundle.crt', 'ca.crt'])
      expect(readFileSync(join(dir, 'trust', name), 'utf8')).not.toContain('PRIVATE KEY');
  });

  it('cannot change its rules', async () => {
    const {status, stderr} = await lab.exec('app', as(0, 'nft', 'delete', 'table', 'inet', 'sallyport_pod'));
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/Operation not permitted/);
  });

  it('is closed while the proxy is dead, and served again by its successor with the same CA', async () => {
    const before = readFileSync(join(dir, 'trust', 'ca.crt'), 'utf8');
    const gone = new Promise((resolve) => proxy.once('exit', resolve));
    proxy.kill('SIGKILL');
    await within(gone, 'the end of the supervisor');
    // The workers end with it, in a moment: until then they answer, or end in the middle of an answer.
    await until(
      () => curl('http://a.test/'),
      (answer) => answer === 'curl exit 7',
    );
    expect(await curl(`http://[${SITE[6]}]/`)).toBe('curl exit 7');
    await startProxy();
    expect(await curl('http://a.test/')).toBe('200');
    expect(readFileSync(join(dir, 'trust', 'ca.crt'), 'utf8')).toBe(before);
  }, 60_000);
});
