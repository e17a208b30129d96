/** `sallyport tproxy --mtls` on three nodes, as processes: files for identities and tables, curl, PostgreSQL's own tools, rotation. */
import type {ChildProcess} from 'node:child_process';
import {mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {createServer as createHttpServer} from 'node:http';
import {createServer, type Server, type Socket} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {listening, tproxyCommand} from '../../cli/demo/proxy-process.ts';
import {connectIn, endServer, listenIn, type Lab} from '../../test/lab/index.ts';
import {createMtlsLabs, NODES, podIps, spiffeIdOf, type MtlsLabs, type NodeName} from '../../test/lab/mtls/labs.ts';
import {labTest} from '../../test/lab/require.ts';
import {until} from '../../test/waiting.ts';
import {PORTS} from '../../runtime/names.ts';
import type {Identity} from './identity/identity.ts';
import {testIdentity, testWorkloadCa} from './identity/testing.ts';

const it = labTest('curl', 'tcpdump', 'nft', 'ss');
let labs: MtlsLabs;
let dir: string;
const ca = testWorkloadCa();
const proxies = new Map<NodeName, ChildProcess>();
const lines: string[] = [];
const servers: Server[] = [];
/** Of a test that fails too: nothing may keep the process. */
const sockets = new Set<Socket>();

/** Addresses of a Service, translated on node a as kube-proxy does: port 80 to c's 8080, 81 to its 9090, which is left plain. */
const SERVICE = ['10.96.0.10', 'fd96::10'] as const;
/** The same, at an address of no Service's range: a load balancer's. The relay dials it under the node's own address. */
const BALANCER = ['203.0.113.80', '2001:db8:0:113::80'] as const;
const PLAIN_PORT = 9090;

const entry = (name: NodeName): object => ({
  // Pod c takes both, so that what reached it in plain would be served.
  ...(name === 'c' ? {mtls: 'Permissive', mtlsPlainPorts: [PLAIN_PORT]} : {}),
  ips: podIps(name),
  namespace: 'shop',
  name,
  uid: `uid-${name}`,
  labels: {app: name},
  serviceAccount: name,
});
const dirOf = (name: NodeName): string => join(dir, name);

/** As cert-manager's driver does it: each file whole at once. */
function bring(name: NodeName, identity: Identity): void {
  const to = join(dirOf(name), 'identity');
  mkdirSync(to, {recursive: true});
  for (const [file, text] of [
    ['tls.key', identity.keyPem],
    ['tls.crt', identity.chainPem],
    ['ca.crt', identity.rootsPem],
  ] as const) {
    writeFileSync(join(to, `.${file}`), text);
    renameSync(join(to, `.${file}`), join(to, file));
  }
}

async function start(name: NodeName): Promise<void> {
  const at = dirOf(name);
  const child = labs.labs[name].spawn(
    'node',
    tproxyCommand([
      ...['--capture', 'node', '--policy', join(at, 'policy.yaml'), '--workloads', join(at, 'own.yaml')],
      ...['--ca-dir', join(at, 'ca'), '--resolver', '9.9.9.9', '--workers', '1', '--log-format', 'json'],
      ...['--service-cidr', SERVICE.map((ip, family) => `${ip}/${family === 0 ? 32 : 128}`).join(',')],
      ...['--mtls', '--mtls-identity', join(at, 'identity'), '--mtls-peers', join(at, 'peers.yaml')],
      ...['--mtls-cidr', '10.77.0.0/16=Strict,fd77::/32=Strict', '--drain-deadline', '1'],
    ]),
    {cwd: at},
  );
  proxies.set(name, child);
  await listening(child, (line) => lines.push(`${name} ${line}`));
}

async function stop(name: NodeName, signal: NodeJS.Signals): Promise<void> {
  const child = proxies.get(name)!;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
  // A worker whose supervisor was killed sees it a moment later.
  await until(
    async () => (await labs.labs[name].exec('node', ['ss', '-Hltn'])).stdout,
    (listening) => !listening.includes(`:${PORTS.mtls} `),
  );
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-mtls-'));
  labs = await createMtlsLabs();
  for (const name of NODES) {
    mkdirSync(dirOf(name));
    bring(name, testIdentity(ca, spiffeIdOf(name)));
    // Pod a is held to a policy, that lets it reach b; the others are held by nothing but Audit.
    const spec =
      name === 'a'
        ? {
            podSelector: {},
            rules: [
              {
                name: 'b',
                to: {cidrs: [`${podIps('b')[0]}/32`, `${podIps('b')[1]}/128`], ports: [8080], schemes: ['http']},
              },
              {
                name: 'service',
                to: {
                  cidrs: [SERVICE, BALANCER].flatMap(([ip4, ip6]) => [`${ip4}/32`, `${ip6}/128`]),
                  ports: [80, 81],
                  schemes: ['http'],
                },
              },
            ],
          }
        : {mode: 'Audit', podSelector: {}, rules: []};
    const policy = {
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'EgressPolicy',
      metadata: {name: 'reach', namespace: 'shop'},
      spec,
    };
    writeFileSync(join(dirOf(name), 'policy.yaml'), stringify(policy));
    writeFileSync(join(dirOf(name), 'own.yaml'), stringify([entry(name)]));
    writeFileSync(join(dirOf(name), 'peers.yaml'), stringify(NODES.filter((other) => other !== name).map(entry)));
  }
  // One after the other: three at once start too slowly on a loaded machine.
  for (const name of NODES) await start(name);
}, 120_000);

afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  await labs?.close();
  rmSync(dir, {recursive: true, force: true});
});

const curl = async (from: NodeName, url: string): Promise<string> => {
  const {stdout, status} = await labs.labs[from].exec('app', ['curl', '-s', '-m', '20', '-H', 'x: the-secret', url]);
  return status === 0 ? stdout : `curl exit ${status}`;
};

describe('sallyport tproxy --mtls', () => {
  it.each([{family: 0}, {family: 1}])(
    'carries a pod that a policy holds, after its decision, family $family; nothing in the clear',
    async ({family}) => {
      const ip = podIps('b')[family]!;
      const seen: string[] = [];
      const server = createHttpServer((request, response) => {
        seen.push(`${request.socket.remoteAddress}`);
        response.end('the-secret');
      });
      servers.push(server);
      await listenIn(labs.labs.b.pod('app').path, server, ip, 8080);
      const url = `http://${family === 0 ? ip : `[${ip}]`}:8080/`;
      const ended = await labs.record();
      expect(await curl('a', url)).toBe('the-secret');
      const packets = await ended();
      expect(seen).toEqual([podIps('a')[family]]);
      expect(packets).toContain('sallyport-mtls/1');
      expect(packets).not.toContain('the-secret');
      expect(await curl('c', url)).toBe('the-secret');
      expect(seen).toEqual([podIps('a')[family], podIps('c')[family]]);
    },
    60_000,
  );

  it.each([
    {what: 'a ClusterIP', address: SERVICE, family: 0},
    {what: 'a ClusterIP', address: SERVICE, family: 1},
    {what: 'the address of a load balancer', address: BALANCER, family: 0},
    {what: 'the address of a load balancer', address: BALANCER, family: 1},
  ])(
    'says nothing in plain for a held Strict pod where $what leads to another node, to a server that would take it, family $family',
    async ({address, family}) => {
      const ip = podIps('c')[family]!;
      const [protocol, at] = family === 0 ? ['ip', ip] : ['ip6', `[${ip}]`];
      const own: Server[] = [];
      for (const port of [8080, PLAIN_PORT]) {
        const server = createHttpServer((_request, response) => void response.end('the-secret'));
        own.push(server);
        await listenIn(labs.labs.c.pod('app').path, server, ip, port);
      }
      const translation = `table ${protocol} kube {
        chain output {
          type nat hook output priority -100
          ${protocol} daddr ${address[family]} tcp dport 80 dnat to ${at}:8080
          ${protocol} daddr ${address[family]} tcp dport 81 dnat to ${at}:${PLAIN_PORT}
        }
        chain postrouting {
          type nat hook postrouting priority srcnat
          oifname "link" fib saddr type local masquerade
        }
      }`;
      const added = await labs.labs.a.exec('node', ['nft', '-f', '-'], {stdin: translation});
      expect(added.stderr).toBe('');
      const service = family === 0 ? address[0] : `[${address[1]}]`;
      const refused = await labs.record();
      expect(await curl('a', `http://${service}:80/`)).not.toContain('the-secret');
      expect(await refused()).not.toContain('the-secret');
      // The control: by the same way, over a port that is left plain, it is served, and can be read.
      const ended = await labs.record();
      expect(await curl('a', `http://${service}:81/`)).toBe('the-secret');
      expect(await ended()).toContain('the-secret');
      for (const server of own) endServer(server);
    },
    60_000,
  );

  it('sallyport doctor finds nothing wrong on the node of a held pod, and what somebody took out of the table', async () => {
    const {a} = labs.labs;
    // Nothing answers for names here, and who is stopped says nothing.
    const skip = ['node.resolver', 'node.agent', 'node.workers'].flatMap((check) => ['--skip', check]);
    const doctor = (): ReturnType<Lab['exec']> =>
      a.exec('node', [process.execPath, 'cli/main.ts', 'doctor', ...skip], {timeoutMs: 60_000});
    const well = await doctor();
    expect(well.stdout).toContain('inet sallyport and inet sallyport_mtls are as they should be');
    expect(well.stdout).toContain(`mTLS *:${PORTS.mtls}`);
    expect([well.status, well.stdout]).toEqual([0, expect.stringMatching(/10 ok, 0 warnings, 0 failed\n$/)]);
    proxies.get('a')!.kill('SIGSTOP');
    try {
      await a.exec('node', ['nft', 'flush', 'chain', 'inet', 'sallyport_mtls', 'relayed']);
      const {status, stdout} = await doctor();
      expect([status, stdout]).toEqual([
        1,
        expect.stringMatching(/^FAIL {2}node\.rules .* missing \(chain relayed: /m),
      ]);
      await a.exec('node', ['nft', 'delete', 'table', 'inet', 'sallyport_mtls']);
      expect((await doctor()).stdout).toContain('there is no table inet sallyport_mtls: pods of this node speak plain');
    } finally {
      proxies.get('a')!.kill('SIGCONT');
    }
    await until(doctor, ({status}) => status === 0);
  }, 180_000);

  it('what no rule lets through is refused before anything is dialled', async () => {
    expect(await curl('a', `http://${podIps('c')[0]}:8080/`)).not.toContain('the-secret');
    expect(lines.filter((line) => line.startsWith('c ') && line.includes('mtls.'))).toEqual([]);
  }, 30_000);

  it.each([
    {how: 'stopped', signal: 'SIGTERM' as const},
    {how: 'killed', signal: 'SIGKILL' as const},
  ])(
    '$how and started again is a pause: the table is replaced, and nothing is left of the one before',
    async ({signal}) => {
      const table = async (): Promise<string> =>
        (await labs.labs.b.exec('node', ['nft', '-s', 'list', 'table', 'inet', 'sallyport_mtls'])).stdout;
      const before = await table();
      await stop('b', signal);
      expect(await table()).toBe(before);
      const waiting = curl('c', `http://${podIps('b')[0]}:8080/`);
      await start('b');
      expect(await waiting).toBe('the-secret');
      expect(await table()).toBe(before);
      const rules = await labs.labs.b.exec('node', ['ip', '-4', 'rule', 'show']);
      expect(rules.stdout.match(/lookup 15080/g)).toHaveLength(1);
    },
    120_000,
  );

  it('certificates are rotated under load, and no connection is dropped', async () => {
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.pipe(socket);
    });
    servers.push(server);
    await listenIn(labs.labs.b.pod('app').path, server, podIps('b')[0], 8081);
    const open = (): Socket => {
      const client = connectIn(labs.labs.c.pod('app').path, {ip: podIps('b')[0], port: 8081});
      sockets.add(client);
      return client;
    };
    /** What no detection takes for HTTP or TLS, so that each connection of the client's is one on the wire. */
    const echoed = (socket: Socket): Promise<string> =>
      new Promise((resolve) => {
        const ended = (): void => resolve('cut');
        socket.once('close', ended);
        socket.once('error', ended);
        socket.once('data', (chunk: Buffer) => {
          socket.off('close', ended);
          socket.off('error', ended);
          resolve(chunk.toString('latin1'));
        });
        socket.write('\0ping');
      });
    const fresh = async (): Promise<string> => {
      const socket = open();
      const answer = await echoed(socket);
      socket.destroy();
      return answer;
    };
    const kept = [open(), open(), open(), open()];
    const serials = new Set<string>();
    const before = lines.length;
    // A day of certificates that live for an hour, each brought while connections are kept and opened.
    for (let hour = 0; hour < 24; hour++) {
      for (const name of ['b', 'c'] as const) {
        const identity = testIdentity(ca, spiffeIdOf(name));
        serials.add(identity.chainPem);
        bring(name, identity);
      }
      const answers = await Promise.all([...kept.map(echoed), fresh(), fresh()]);
      expect(new Set(answers)).toEqual(new Set(['\0ping']));
    }
    expect(serials.size).toBe(48);
    expect(lines.slice(before).filter((line) => line.includes('mtls.refused'))).toEqual([]);
    // And it is the last one that counts: with one of another CA new connections are refused, and those that live go on.
    bring('c', testIdentity(testWorkloadCa(), spiffeIdOf('c')));
    let last = await fresh();
    for (let tries = 0; last !== 'cut' && tries < 1000; tries++) last = await fresh();
    expect(last).toBe('cut');
    expect(await echoed(kept[0]!)).toBe('\0ping');
    for (const socket of kept) socket.destroy();
    bring('c', testIdentity(ca, spiffeIdOf('c')));
  }, 120_000);
});
