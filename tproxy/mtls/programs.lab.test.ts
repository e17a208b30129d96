/**
 * Programs as they are, between Strict pods of two nodes: redis, OpenSSH, iperf3, curl. Each conversation is held twice, and recorded
 * on the wire between the nodes: without mTLS it is there to be read, which shows that the record would show it; with it, it is not.
 */
import type {ChildProcess} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {decode, encode, AUTHORITATIVE_ANSWER, type Answer} from 'dns-packet';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {udpIn, type ExecResult} from '../../test/lab/index.ts';
import {createMtlsCluster, podIps, spiffeIdOf, type MtlsCluster, type MtlsNode} from '../../test/lab/mtls/nodes.ts';
import {labTest} from '../../test/lab/require.ts';
import {until} from '../../test/waiting.ts';
import {testIdentity} from './identity/testing.ts';

const it = labTest(
  'redis-server',
  'redis-cli',
  'redis-benchmark',
  'sshd',
  'ssh-keyscan',
  'iperf3',
  'curl',
  'tcpdump',
  'ss',
);
const SECRET = 'the-secret-of-the-shop';
/** A headless Service: its name has the addresses of its pods. */
const NAME = 'web.shop.svc.cluster.local';
const HOURS = 24;
const IPERF_BYTES = 4 * 1024 * 1024;
const PORTS = {redis: 6379, ssh: 22, iperf: 5201, http: 8080};

let dir: string;
let cluster: MtlsCluster;
let a: MtlsNode;
let b: MtlsNode;
const closing: (() => void)[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-programs-'));
  cluster = await createMtlsCluster();
  ({a, b} = cluster.nodes);
  await serveNames();
  await startPrograms();
}, 120_000);
afterAll(async () => {
  for (const close of closing) close();
  await cluster?.close();
  rmSync(dir, {recursive: true, force: true});
});

/** The cluster's name server is pod c, which is not enrolled: it is asked over UDP, as ever. */
async function serveNames(): Promise<void> {
  const [server] = podIps('c');
  const udp = await udpIn(cluster.nodes.c.pod.path, server, 53);
  closing.push(() => udp.close());
  udp.on('message', (message, from) => {
    const {id, questions = []} = decode(message);
    const answers = questions.flatMap(({name, type}): Answer[] => {
      if (name !== NAME || (type !== 'A' && type !== 'AAAA')) return [];
      return [{type, name, ttl: 5, data: podIps('b')[type === 'A' ? 0 : 1]}];
    });
    const answer = {type: 'response' as const, flags: AUTHORITATIVE_ANSWER, questions, answers};
    udp.send(encode(id === undefined ? answer : {...answer, id}), from.port, from.address);
  });
  a.lab.setResolver('app', server);
}

async function startPrograms(): Promise<void> {
  writeFileSync(join(dir, 'index.html'), SECRET);
  const key = join(dir, 'host-key');
  await b.lab.exec('app', ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key]);
  writeFileSync(join(dir, 'sshd.conf'), `Port ${PORTS.ssh}\nHostKey ${key}\nPidFile none\nUsePAM no\n`);
  const run = (...argv: readonly string[]): ChildProcess => b.lab.spawn('app', argv, {cwd: dir, stdio: 'ignore'});
  run('redis-server', '--port', `${PORTS.redis}`, '--bind', ...podIps('b'), '--protected-mode', 'no', '--save', '');
  // It wants /run/sshd; of that no more is seen than by itself.
  run('sh', '-c', `mount -t tmpfs none /run && mkdir /run/sshd && exec $(command -v sshd) -D -f ${dir}/sshd.conf`);
  run('iperf3', '-s', '-p', `${PORTS.iperf}`);
  run('python3', '-m', 'http.server', '--bind', '::', `${PORTS.http}`);
  await until(
    async () => (await b.lab.exec('app', ['ss', '-Hltn'])).stdout,
    (listening) => Object.values(PORTS).every((port) => listening.includes(`:${port} `)),
  );
}

/** Run in pod a, to its end. */
async function client(...argv: readonly string[]): Promise<string> {
  const {status, stdout, stderr} = await a.lab.exec('app', argv);
  if (status !== 0) throw new Error(`${argv.join(' ')}: status ${status}\n${stdout}\n${stderr}`);
  return stdout;
}
const redis = (ip: string, ...command: readonly string[]): Promise<string> =>
  client('redis-cli', '-h', ip, '-p', `${PORTS.redis}`, ...command);

interface Conversation {
  readonly what: string;
  /** What of it is to be read in a record. */
  readonly shows: string;
  /** Resolves when it has come to what it should. */
  readonly hold: (ip: string, family: 4 | 6) => Promise<void>;
}

const CONVERSATIONS: readonly Conversation[] = [
  {
    what: 'redis, which knows its client by the pod’s own address',
    shows: SECRET,
    hold: async (ip, family) => {
      expect(await redis(ip, 'SET', 'word', SECRET)).toBe('OK\n');
      expect(await redis(ip, 'GET', 'word')).toBe(`${SECRET}\n`);
      const {4: v4, 6: v6} = {4: podIps('a')[0], 6: `[${podIps('a')[1]}]`};
      expect(await redis(ip, 'CLIENT', 'INFO')).toContain(` addr=${family === 4 ? v4 : v6}:`);
    },
  },
  {
    what: 'OpenSSH, whose server speaks first',
    shows: 'SSH-2.0-OpenSSH',
    hold: async (ip) => {
      const [kind, key] = readFileSync(join(dir, 'host-key.pub'), 'utf8').split(' ');
      expect(await client('ssh-keyscan', '-p', `${PORTS.ssh}`, '-t', 'ed25519', ip)).toContain(`${kind} ${key}`);
    },
  },
  {
    what: 'iperf3, by several connections, to the server and from it',
    // What both say of the test, before its bytes.
    shows: '"parallel":2',
    hold: async (ip) => {
      for (const way of [[], ['--reverse']]) {
        const argv = ['iperf3', '-c', ip, '-p', `${PORTS.iperf}`, '-n', `${IPERF_BYTES}`, '-P', '2', '-J', ...way];
        // It serves one test at a time, and the one before may not have ended for it.
        const asked = (): Promise<ExecResult> => a.lab.exec('app', argv);
        const {stdout} = await until(asked, ({stdout: said}) => !said.includes('the server is busy'));
        const {error, end} = JSON.parse(stdout) as {error?: string; end: Record<string, {bytes: number}>};
        expect(error).toBeUndefined();
        // What the receiver has counted when the sender is done; the rest is on its way.
        expect(end['sum_sent']!.bytes).toBeGreaterThanOrEqual(IPERF_BYTES);
        expect(end['sum_received']!.bytes).toBeGreaterThan(0);
      }
    },
  },
  {
    what: 'curl, by the name of a headless Service, from a program that ends each connection',
    shows: SECRET,
    hold: async (_ip, family) => {
      expect(await client('curl', '-sS', '-m', '20', `-${family}`, `http://${NAME}:${PORTS.http}/`)).toBe(SECRET);
    },
  },
  {
    what: 'a client that ends its half before it is answered',
    shows: SECRET,
    hold: async (ip) => {
      // As `nc -N` does, which not every machine has.
      const program = [
        'import socket',
        `s = socket.create_connection(('${ip}', ${PORTS.http}))`,
        `s.sendall(b'GET /?${SECRET} HTTP/1.0\\r\\n\\r\\n')`,
        's.shutdown(socket.SHUT_WR)',
        `print(b''.join(iter(lambda: s.recv(65536), b'')).decode().rpartition('\\n')[2])`,
      ];
      expect(await client('python3', '-c', program.join('\n'))).toBe(`${SECRET}\n`);
    },
  },
];

describe.each([{family: 4 as const}, {family: 6 as const}])('IPv$family', ({family}) => {
  it.each(CONVERSATIONS)(
    '$what: to be read on the wire without mTLS, and not with it',
    async ({shows, hold}) => {
      const ip = podIps('b')[family === 4 ? 0 : 1];
      const recorded = async (): Promise<string> => {
        const stop = await cluster.record();
        await hold(ip, family);
        return stop();
      };
      await cluster.enrol({a: {mode: 'Off'}, b: {mode: 'Off'}});
      expect((await recorded()).includes(shows)).toBe(true);
      await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}});
      const packets = await recorded();
      expect(packets.includes(shows)).toBe(false);
      expect(packets.includes('sallyport-mtls/1')).toBe(true);
      expect([...a.said, ...b.said].filter((line) => line.startsWith('mtls.'))).toEqual([]);
    },
    60_000,
  );
});

describe('a day of rotations, certificates of an hour', () => {
  it('loses redis no connection and no answer, of those that stay open and of those that are new each time', async () => {
    await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}});
    const [ip] = podIps('b');
    const kept = keptOpen(ip);
    const before = await kept.ask('CLIENT ID');
    const benchmark = ['redis-benchmark', '-h', ip, '-p', `${PORTS.redis}`, '-c', '8', '-q', '-t', 'incr'];
    let running = 2;
    const load = ['-n 10000 -k 1', '-n 500 -k 0'].map(async (options) => {
      const {status, stdout, stderr} = await a.lab.exec('app', [...benchmark, ...options.split(' ')], {
        timeoutMs: 200_000,
      });
      running--;
      // Its advice about connections that are many is no error.
      return {
        status,
        stderr: stderr.replace(/^WARNING: Keepalive disabled.*\n/, ''),
        answered: stdout.includes('requests per second'),
      };
    });
    for (let hour = 0; hour < HOURS || running > 0; hour++) {
      for (const node of [a, b]) node.identity = testIdentity(cluster.ca, spiffeIdOf(node.name));
      expect(await kept.ask('INCR hours')).toBe(`${hour + 1}`);
      expect(await redis(ip, 'PING')).toBe('PONG\n');
    }
    const whole = {status: 0, stderr: '', answered: true};
    expect(await Promise.all(load)).toEqual([whole, whole]);
    // Not one that it has opened again in silence.
    expect(await kept.ask('CLIENT ID')).toBe(before);
    expect(Number(await redis(ip, 'GET', 'counter:__rand_int__'))).toBeGreaterThanOrEqual(10_500);
    expect([...a.said, ...b.said].filter((line) => line.startsWith('mtls.'))).toEqual([]);
    kept.end();
  }, 240_000);
});

/** A redis-cli of pod a that lives, and is asked line by line. */
function keptOpen(ip: string): {ask(command: string): Promise<string>; end(): void} {
  const child = a.lab.spawn('app', ['redis-cli', '-h', ip, '-p', `${PORTS.redis}`], {stdio: 'pipe'});
  const lines = createInterface({input: child.stdout!})[Symbol.asyncIterator]();
  return {
    async ask(command) {
      child.stdin!.write(`${command}\n`);
      const {value, done} = await lines.next();
      if (done === true) throw new Error(`redis-cli has ended before it answered ${command}`);
      return value;
    },
    end: () => void child.stdin!.end(),
  };
}
