/** `sallyport tproxy --capture pod --mtls`: pods of one node on one bridge, each with its own rules and proxy; the bridge is recorded. */
import type {ChildProcess} from 'node:child_process';
import {chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {createServer, type Server} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {listening, tproxyCommand} from '../../cli/demo/proxy-process.ts';
import {POD_MTLS, POD_PROXY_UID, PORTS} from '../../runtime/names.ts';
import {datagram, udpEcho} from '../../test/lab/capture-rig.ts';
import {connectIn, createLab, endServer, listenIn, type Lab} from '../../test/lab/index.ts';
import {recordIn, spiffeIdOf} from '../../test/lab/mtls/labs.ts';
import {BRIDGE} from '../../test/lab/plan.ts';
import {labTest} from '../../test/lab/require.ts';
import {until, within} from '../../test/waiting.ts';
import type {Identity} from './identity/identity.ts';
import {testIdentity, testWorkloadCa} from './identity/testing.ts';

const it = labTest('curl', 'tcpdump', 'nft', 'setpriv');
const CLI = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
/** a and b are Strict, p is Permissive, the pod called free is of nobody's. */
const PODS = ['a', 'b', 'p'] as const;
type Name = (typeof PODS)[number];
const RESOLVER = '9.9.9.9';
const PLAIN_PORT = 9090;
const PROBE_PORT = 8090;

let lab: Lab;
let dir: string;
const ca = testWorkloadCa();
const proxies = new Map<Name, ChildProcess>();
const lines: string[] = [];
const servers: Server[] = [];

const entry = (name: Name): object => ({
  ...{ips: lab.pod(name).ips, namespace: 'shop', name, uid: `uid-${name}`, labels: {}, serviceAccount: name},
  mtls: name === 'p' ? 'Permissive' : 'Strict',
  ...(name === 'b' ? {mtlsPlainPorts: [PLAIN_PORT]} : {}),
});

function put(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, {mode: 0o644});
  renameSync(`${file}.new`, file);
}

function bring(name: Name, identity: Identity): void {
  const to = join(dir, name, 'identity');
  mkdirSync(to, {recursive: true});
  put(join(to, 'tls.key'), identity.keyPem);
  put(join(to, 'tls.crt'), identity.chainPem);
  put(join(to, 'ca.crt'), identity.rootsPem);
}

/** As its container is started: root with these capabilities. What it makes of them is looked at below. */
const AS_PROXY = [
  'setpriv',
  '--no-new-privs',
  '--inh-caps=-all',
  '--bounding-set=-all,+net_raw,+setgid,+setpcap,+setuid',
];

const rules = (name: Name): Promise<{status: number | null; stdout: string; stderr: string}> => {
  const at = join(dir, name);
  const {ips} = lab.pod(name);
  return lab.exec(name, [
    ...[process.execPath, CLI, 'pod-rules', '--workload-file', join(at, 'own.yaml'), '--pod-uid', `uid-${name}`],
    ...['--pod-name', name, '--pod-namespace', 'shop', '--pod-ips', ips.join(','), '--service-account', name],
    ...['--mtls-mode', name === 'p' ? 'Permissive' : 'Strict', '--mtls-probe-port', String(PROBE_PORT)],
    ...(name === 'b' ? ['--mtls-plain-port', String(PLAIN_PORT)] : []),
  ]);
};

async function start(name: Name): Promise<void> {
  const at = join(dir, name);
  const child = lab.spawn(
    name,
    [
      ...AS_PROXY,
      ...tproxyCommand([
        ...['--capture', 'pod', '--policy', join(dir, 'policy.yaml'), '--workloads', join(at, 'own.yaml')],
        ...['--ca-dir', join(at, 'ca'), '--log-format', 'json', '--resolver', RESOLVER, '--drain-deadline', '1'],
        ...['--admin', `*:${PORTS.admin}`],
        ...['--mtls', '--mtls-identity', join(at, 'identity'), '--mtls-peers', join(dir, 'peers.yaml')],
      ]),
    ],
    {cwd: at},
  );
  proxies.set(name, child);
  await listening(child, (line) => lines.push(`${name} ${line}`));
}

async function stop(name: Name, signal: NodeJS.Signals): Promise<void> {
  const child = proxies.get(name)!;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await within(gone, 'the end of the proxy');
}

/** Says who it sees and where, and answers what it hears with the same, until its peer ends. */
async function program(name: string, ip: string, port: number): Promise<void> {
  const server = createServer({allowHalfOpen: true}, (socket) => {
    socket.on('error', () => undefined);
    socket.write(`the-secret for ${socket.remoteAddress} ${socket.remotePort} at ${socket.localAddress}\n`);
    socket.pipe(socket);
  });
  servers.push(server);
  await listenIn(lab.pod(name).path, server, ip, port);
}

/** Waits for the server's word, says its own, ends, and hears what comes until the server ends. */
async function talk(from: string, ip: string, port: number, localPort?: number): Promise<string> {
  const {path, ips} = from === 'node' ? lab.node : lab.pod(from);
  const own = ips.find((one) => one.includes(':') === ip.includes(':'))!;
  const client = connectIn(path, {ip, port}, localPort === undefined ? undefined : {ip: own, port: localPort});
  let heard = '';
  return within(
    new Promise<string>((resolve) => {
      client.on('data', (chunk: Buffer) => {
        const first = heard === '';
        heard += chunk.toString();
        if (first) client.end('spoken-in-secret');
      });
      client.once('end', () => resolve(heard));
      client.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      client.once('close', () => resolve('closed'));
    }),
    'an answer',
  ).finally(() => client.destroy());
}

/** A connection that nobody answers: a reset, before or after it seemed to be there. */
const REFUSED = /^(ECONNRESET|ECONNREFUSED|EPIPE|)$/;
const HEARD = /^the-secret for (\S+) (\d+) at (\S+)\nspoken-in-secret$/;
const said = (name: Name, what: string): (() => boolean) => {
  const before = lines.length;
  return () => lines.slice(before).some((line) => line.startsWith(`${name} `) && line.includes(what));
};

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-podmtls-'));
  chmodSync(dir, 0o755);
  lab = await createLab({name: 'podmtls', bridge: true, pods: [...PODS, 'free'].map((name) => ({name}))});
  await lab.internet.addAddress(RESOLVER);
  const reachable = {
    cidrs: ['10.77.0.0/24', 'fd77::/64'],
    ports: [8080, 8081, 8082, PLAIN_PORT],
    schemes: ['http', 'tcp'],
  };
  put(
    join(dir, 'policy.yaml'),
    stringify({
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'EgressPolicy',
      metadata: {name: 'reach', namespace: 'shop'},
      spec: {podSelector: {}, rules: [{name: 'pods', to: reachable}]},
    }),
  );
  put(join(dir, 'peers.yaml'), stringify(PODS.map(entry)));
  for (const name of PODS) {
    lab.setResolver(name, RESOLVER);
    mkdirSync(join(dir, name, 'ca'), {recursive: true, mode: 0o755});
    chownSync(join(dir, name, 'ca'), POD_PROXY_UID, POD_PROXY_UID);
    bring(name, testIdentity(ca, spiffeIdOf(name)));
    expect(await rules(name)).toMatchObject({status: 0, stderr: ''});
  }
  for (const name of PODS) {
    for (const ip of ['0.0.0.0', '::']) await program(name, ip, 8080);
    await start(name);
  }
  // Of the pod's address alone, as databases have it.
  for (const ip of lab.pod('b').ips) {
    await program('b', ip, 8081);
    await program('b', ip, PLAIN_PORT);
    await program('b', ip, PROBE_PORT);
  }
  await program('b', '127.0.0.1', 8082);
  await program('p', '0.0.0.0', 8081);
}, 120_000);

afterAll(async () => {
  for (const server of servers) endServer(server);
  await lab?.close();
  rmSync(dir, {recursive: true, force: true});
});

describe('two pods of one node that capture themselves', () => {
  it.each([{family: 0}, {family: 1}])(
    'speak mTLS: the server first, half-closed, under the peer’s own address and port; nothing in the clear, family $family',
    async ({family}) => {
      const [from, to] = [lab.pod('a').ips[family]!, lab.pod('b').ips[family]!];
      const ended = await recordIn(lab, 'node', BRIDGE.interface);
      for (const port of [8080, 8081]) {
        const [, address, , at] = HEARD.exec(await talk('a', to, port)) ?? [];
        expect([address, at]).toEqual([from, to]);
      }
      const packets = await ended();
      expect(packets).toContain('sallyport-mtls/1');
      expect(packets).not.toContain('secret');
    },
    60_000,
  );

  it('refuse plain where they are Strict, and say from whom, over both families', async () => {
    for (const ip of lab.pod('b').ips) {
      const refused = said('b', 'from an address that is not enrolled, to a Strict pod');
      expect(await talk('free', ip, 8080)).toMatch(REFUSED);
      await until(refused, (seen) => seen);
    }
  }, 60_000);

  it('take plain on a port that is left plain, and from the node where it probes; nobody else’s, and nowhere else', async () => {
    const {ip4} = lab.pod('b');
    expect(await talk('free', ip4, PLAIN_PORT)).toMatch(HEARD);
    expect(await talk('a', ip4, PLAIN_PORT)).toMatch(HEARD);
    expect(await talk('node', ip4, PROBE_PORT)).toMatch(HEARD);
    expect(await talk('node', ip4, 8080)).toMatch(REFUSED);
    expect(await talk('free', ip4, PROBE_PORT)).toMatch(REFUSED);
  }, 60_000);

  it('take both where they are Permissive; two connections from one port of a peer’s are two, with that port', async () => {
    const {ip4} = lab.pod('p');
    const heard = await Promise.all([8080, 8081].map((port) => talk('free', ip4, port, 40_404)));
    for (const one of heard) expect(HEARD.exec(one)?.slice(1)).toEqual([lab.pod('free').ip4, '40404', ip4]);
    const ended = await recordIn(lab, 'node', BRIDGE.interface);
    expect(await talk('a', ip4, 8080)).toMatch(HEARD);
    expect(await ended()).not.toContain('secret');
  }, 60_000);

  it('take nothing plain any more once they are said to be Strict, and again what they took before', async () => {
    const {ip4} = lab.pod('p');
    put(join(dir, 'peers.yaml'), stringify(PODS.map((name) => ({...entry(name), mtls: 'Strict'}))));
    await until(
      () => talk('free', ip4, 8080),
      (heard) => REFUSED.test(heard),
    );
    expect(await talk('a', ip4, 8080)).toMatch(HEARD);
    put(join(dir, 'peers.yaml'), stringify(PODS.map(entry)));
    await until(
      () => talk('free', ip4, 8080),
      (heard) => HEARD.test(heard),
    );
  }, 90_000);

  it('are not opened further: what listens on loopback alone is reached by nobody, nor are the proxy’s own ports', async () => {
    const {ip4} = lab.pod('b');
    expect(await talk('a', ip4, 8082)).toMatch(REFUSED);
    for (const port of [PORTS.captured, POD_MTLS.ports.first, POD_MTLS.ports.last])
      expect(await talk('free', ip4, port)).toMatch(REFUSED);
    for (const port of [PORTS.captured, POD_MTLS.ports.first])
      expect(await talk('free', lab.pod('p').ip4, port)).toMatch(REFUSED);
  }, 60_000);

  it('have a proxy that is a user of its own, with raw sockets and nothing else, and its workers too', () => {
    const {pid} = proxies.get('b')!;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    expect(children.length).toBeGreaterThan(0);
    for (const one of [pid, ...children]) {
      const status = readFileSync(`/proc/${one}/status`, 'utf8');
      expect(/^Uid:\s+(\d+)\s+(\d+)/m.exec(status)?.slice(1)).toEqual(['15080', '15080']);
      // Bit 13 is CAP_NET_RAW (capability.h).
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
        expect(new RegExp(`^${set}:\\s+(\\w+)`, 'm').exec(status)?.[1]).toBe('0000000000002000');
      expect(status).toMatch(/^NoNewPrivs:\s+1/m);
    }
  });

  it('refuse datagrams where they are Strict', async () => {
    const echo = await udpEcho(lab.pod('b').path, lab.pod('b').ip4, 5353);
    expect(await datagram(lab.pod('free').path, lab.pod('free').ip4, {ip: lab.pod('b').ip4, port: 5353})).toBe(
      'EHOSTUNREACH',
    );
    expect(echo.seen).toEqual([]);
    echo.close();
  }, 30_000);

  it('refuse the valid certificate of another ServiceAccount', async () => {
    const {ip4} = lab.pod('b');
    const refused = said('b', `it is ${spiffeIdOf('p')}, and its address is of ${spiffeIdOf('a')}`);
    bring('a', testIdentity(ca, spiffeIdOf('p')));
    // Nor does its own proxy show it: it is not who it is.
    await until(
      () => talk('a', ip4, 8080),
      (heard) => REFUSED.test(heard),
    );
    expect(refused()).toBe(false);
    bring('a', testIdentity(ca, spiffeIdOf('a')));
    await until(
      () => talk('a', ip4, 8080),
      (heard) => HEARD.test(heard),
    );
  }, 90_000);

  it('are not ready before they have a certificate, and say so', async () => {
    const {ip4} = lab.pod('p');
    const readyz = async (): Promise<number> => {
      const argv = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', `http://${ip4}:${PORTS.admin}/readyz`];
      return Number((await lab.exec('node', argv)).stdout);
    };
    await until(readyz, (status) => status === 200);
    await stop('p', 'SIGTERM');
    rmSync(join(dir, 'p', 'identity'), {recursive: true});
    mkdirSync(join(dir, 'p', 'identity'));
    await start('p');
    expect(await readyz()).toBe(503);
    expect(await talk('free', ip4, 8080)).toMatch(REFUSED);
    bring('p', testIdentity(ca, spiffeIdOf('p')));
    await until(readyz, (status) => status === 200);
    await until(
      () => talk('a', ip4, 8080),
      (heard) => HEARD.test(heard),
    );
  }, 90_000);

  it('let nothing in or out in plain while the proxy is dead, and a restart changes no rule', async () => {
    const {ip4} = lab.pod('b');
    const kernel = async (): Promise<string> => {
      const tables = ['sallyport_pod', 'sallyport_pod_mtls'].map((table) =>
        lab.exec('b', ['nft', '-s', 'list', 'table', 'inet', table]),
      );
      const routes = ['-4', '-6'].map((family) => lab.exec('b', ['ip', family, 'rule', 'show']));
      return (await Promise.all([...tables, ...routes])).map(({stdout}) => stdout).join('');
    };
    const before = await kernel();
    const ended = await recordIn(lab, 'node', BRIDGE.interface);
    await stop('b', 'SIGKILL');
    // Its worker ends with it, in a moment.
    await until(
      () => talk('a', ip4, 8080),
      (heard) => REFUSED.test(heard),
    );
    for (const port of [8080, 8081]) expect(await talk('free', ip4, port)).toMatch(REFUSED);
    expect(await talk('b', lab.pod('a').ip4, 8080)).toMatch(REFUSED);
    expect(await talk('b', lab.pod('free').ip4, 8080)).toMatch(REFUSED);
    expect(await rules('b')).toMatchObject({status: 0, stderr: ''});
    await start('b');
    expect(await kernel()).toBe(before);
    expect(await talk('a', ip4, 8080)).toMatch(HEARD);
    expect(await talk('b', lab.pod('a').ip4, 8080)).toMatch(HEARD);
    expect(await ended()).not.toContain('secret');
  }, 120_000);

  it('have ports of the proxy’s alone: a program that takes them while it is dead is heard by nobody', async () => {
    const {path, ip4} = lab.pod('b');
    await stop('b', 'SIGKILL');
    await until(
      () => talk('a', ip4, 8080),
      (heard) => REFUSED.test(heard),
    );
    const thieves: Server[] = [];
    const {first, last} = POD_MTLS.ports;
    for (let port = first; port <= last; port++) {
      const thief = createServer((socket) => socket.on('error', () => undefined).end('the-secret'));
      servers.push(thief);
      thieves.push(thief);
      await listenIn(path, thief, '0.0.0.0', port);
    }
    const client = connectIn(lab.pod('free').path, {ip: ip4, port: 8080});
    const heard: string[] = [];
    client.on('error', (error) => heard.push(error.message));
    client.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
    const table = ['inet', 'sallyport_pod_mtls'];
    await until(
      async () => (await lab.exec('b', ['nft', 'list', 'counter', ...table, 'mtls_not_the_proxy'])).stdout,
      (counter) => /packets [1-9]/.test(counter),
    );
    expect(heard).toEqual([]);
    // The control: without the rule the same client hears the program's next try.
    expect(await lab.exec('b', ['nft', 'flush', 'chain', ...table, 'answers'])).toMatchObject({status: 0});
    await until(
      () => heard.join(''),
      (text) => text === 'the-secret',
    );
    client.destroy();
    for (const thief of thieves) endServer(thief);
    expect(await rules('b')).toMatchObject({status: 0, stderr: ''});
    await start('b');
    expect(await talk('a', ip4, 8080)).toMatch(HEARD);
  }, 120_000);
});
