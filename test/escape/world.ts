/** A node with its proxy, a locked pod, a free one, a neighbour, and an internet where everything that arrives is heard. */
import {spawnSync, type ChildProcess} from 'node:child_process';
import {mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {once} from 'node:events';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {publicCa} from '../../cli/demo/public-ca.ts';
import {tproxyCommand} from '../../cli/demo/proxy-process.ts';
import {PORTS} from '../../runtime/names.ts';
import {connectIn, createLab, udpIn, type Lab} from '../lab/index.ts';
import {
  METADATA,
  NODE_IP4,
  NODE_IP6,
  NODE_PORT,
  OPEN_PROXY,
  OUTSIDE,
  RESOLVER,
  SERVICE,
  SERVICE_OF_METADATA,
} from './addresses.ts';
import type {Attacker} from './attempt.ts';
import {AUDIT, POLICY} from './policy.ts';
import {createWitness, type Ears, type Witness} from './witness.ts';
import {createZone} from './zone.ts';

const PROGRAMS = join(import.meta.dirname, 'programs');
const READY_TIMEOUT_MS = 60_000;
/** A way that is closed by silence is given up after this. */
const PATIENCE_SECONDS = 2;
/** What of the node a pod might want: ssh, http, https, etcd, an API server, what the rule for literals holds, the kubelet. */
const NODE_PORTS = [22, 80, 443, 2379, 6443, 8080, 8088, 10250];

export interface WorldOptions {
  readonly bridge?: boolean;
  readonly bridgeNetfilter?: boolean;
  readonly intercept?: 'tproxy' | 'redirect';
  readonly policies?: readonly object[];
  /** The supervisor is killed before the attempts are made. */
  readonly unattended?: true;
}

/** The ways in which a node may be laid out and pods be captured. */
export const WORLDS = {
  /** A veth and a route for each pod, as most clouds' CNIs do it; TPROXY. */
  routed: {},
  redirect: {intercept: 'redirect'},
  /** All pods on one bridge. */
  bridged: {bridge: true},
  /** The same with br_netfilter, where TPROXY does not work. */
  'bridged-redirect': {bridge: true, bridgeNetfilter: true, intercept: 'redirect'},
  /** Only Audit policies select the pod: it is watched, and kept from little. */
  audit: {policies: [AUDIT]},
  /** The same while the supervisor is dead, so that TCP is the kernel's to judge too. */
  'audit-unattended': {policies: [AUDIT], unattended: true},
} as const satisfies Readonly<Record<string, WorldOptions>>;
export type WorldName = keyof typeof WORLDS;

export interface World {
  readonly lab: Lab;
  readonly witness: Witness;
  /** The public roots of the sites and ours: what a pod is given. */
  readonly caBundle: string;
  readonly dir: string;
  attacker(name: string, token: string, patienceSeconds?: number): Attacker;
  setPolicy(...documents: readonly object[]): void;
  /** Writes the workload table: pods of these names are captured, and one that is still to come. */
  setMembers(pods: readonly string[], coming?: {readonly ips: readonly string[]; readonly interface: string}): void;
  /** The supervisor; another one after startProxy(). */
  proxy(): ChildProcess;
  startProxy(): Promise<void>;
  /** With -9; resolves when it is gone. */
  killProxy(): Promise<void>;
  /** Everything the proxy has said. */
  journal(): string;
  /** Resolves when the journal has the text, looking only at what is said after the call. */
  says(text: string): Promise<void>;
  close(): Promise<void>;
}

export async function createWorld(options: WorldOptions = {}): Promise<World> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-escape-'));
  const lab = await createLab({
    name: 'escape',
    pods: [{name: 'locked'}, {name: 'free'}, {name: 'peer'}],
    bridge: options.bridge ?? false,
    bridgeNetfilter: options.bridgeNetfilter ?? false,
    nodeIps: [NODE_IP4, NODE_IP6],
  });
  const ca = publicCa(join(dir, 'public-ca'));
  const witness = createWitness(lab, ca);
  const closing: (() => unknown)[] = [() => witness.close()];
  const policies = join(dir, 'policies');
  const workloads = join(dir, 'workloads.yaml');
  mkdirSync(policies);
  let proxy: ChildProcess;
  let journal = '';
  const listeners = new Set<(text: string) => void>();

  const replace = (file: string, text: string): void => {
    writeFileSync(`${file}.new~`, text);
    renameSync(`${file}.new~`, file);
  };
  const world: World = {
    lab,
    witness,
    dir,
    caBundle: join(dir, 'ca', 'bundle.pem'),
    attacker: (name, token, patienceSeconds = PATIENCE_SECONDS) => attacker(lab, name, token, patienceSeconds),
    setPolicy: (...documents) =>
      replace(join(policies, 'policy.yaml'), documents.map((document) => stringify(document)).join('---\n')),
    setMembers: (pods, coming) => {
      const entry = (name: string, ips: readonly string[], at: string): object => {
        return {ips, interface: at, namespace: 'default', name, labels: {}, trustsCa: true};
      };
      const entries = pods.map((name) => entry(name, lab.pod(name).ips, lab.pod(name).port));
      if (coming !== undefined) entries.push(entry('coming', coming.ips, coming.interface));
      replace(workloads, stringify(entries));
    },
    proxy: () => proxy,
    async startProxy() {
      const flags = ['--policy', policies, '--workloads', workloads, '--ca-dir', join(dir, 'ca')];
      flags.push('--upstream-ca', ca.bundle, '--capture', 'node', '--intercept', options.intercept ?? 'tproxy');
      flags.push('--resolver', RESOLVER, '--workers', '1', '--log-format', 'json');
      flags.push('--pod-cidr', '10.77.0.0/24', '--pod-cidr', 'fd77::/64', '--service-cidr', '10.96.0.0/16');
      const child = lab.spawn('node', tproxyCommand(flags), {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      proxy = child;
      for (const stream of [child.stdout!, child.stderr!])
        stream.on('data', (chunk: Buffer) => {
          journal += chunk.toString();
          for (const look of listeners) look(chunk.toString());
        });
      const ended = once(child, 'exit').then(() => {
        throw new Error(`the proxy ended:\n${journal.slice(-2000)}`);
      });
      await Promise.race([world.says('tproxy.listening'), ended]);
      ended.catch(() => undefined);
    },
    async killProxy() {
      const ended = once(proxy, 'exit');
      // `ip netns exec` has become the program: this is no wrapper's pid.
      proxy.kill('SIGKILL');
      await ended;
    },
    journal: () => journal,
    says: (text) =>
      new Promise((resolve, reject) => {
        let heard = '';
        const done = (): void => {
          clearTimeout(timer);
          listeners.delete(look);
        };
        const look = (more: string): void => {
          heard += more;
          if (!heard.includes(text)) return;
          done();
          resolve();
        };
        const timer = setTimeout(() => {
          done();
          reject(new Error(`the proxy did not say ${text}:\n${journal.slice(-2000)}`));
        }, READY_TIMEOUT_MS);
        listeners.add(look);
      }),
    async close() {
      await Promise.all(closing.map((end) => end()));
      await lab.close();
      rmSync(dir, {recursive: true, force: true});
    },
  };
  try {
    await prepare(lab, witness, closing);
    world.setPolicy(...(options.policies ?? [POLICY]));
    world.setMembers(['locked']);
    await world.startProxy();
  } catch (error) {
    await world.close();
    throw error;
  }
  return world;
}

async function prepare(lab: Lab, witness: Ears, closing: (() => unknown)[]): Promise<void> {
  const {internet, node} = lab;
  await must(lab, 'internet', [
    'ip',
    ['-batch', '-'],
    OUTSIDE.map((cidr) => `route add local ${cidr} dev lo\n`).join(''),
  ]);
  await lab.internet.addAddress(RESOLVER);
  const zone = createZone();
  const dns = await udpIn(internet.path, RESOLVER, 53);
  dns.on('message', (query, from) => {
    const answer = zone(query);
    if (answer !== null) dns.send(answer, from.port, from.address);
  });
  closing.push(() => dns.close());
  for (const where of ['locked', 'free', 'peer', 'node']) lab.setResolver(where, RESOLVER);
  await must(lab, 'node', ['nft', ['-f', '-'], KUBE_PROXY(lab.pod('peer').ip4)]);
  await Promise.all([
    witness.listenEverywhere('internet', internet.path, 'outside', []),
    witness.listenEverywhere('peer', lab.pod('peer').path, 'the neighbour', []),
    ...NODE_PORTS.flatMap((port) => ['0.0.0.0', '::'].map((ip) => witness.listenAt(node.path, ip, port, 'the node'))),
    ...NODE_PORTS.flatMap((port) =>
      [NODE_IP4, NODE_IP6].map(async (ip) => {
        const udp = await udpIn(node.path, ip, port);
        udp.on('message', (message) => witness.hear(`the node ${ip}, UDP`, message));
        closing.push(() => udp.close());
      }),
    ),
  ]);
}

/** As kube-proxy writes it, less what it needs for many. */
const KUBE_PROXY = (pod: string): string => `
table ip kube {
  chain services {
    ip daddr ${SERVICE} tcp dport 80 dnat to ${pod}:8080
    ip daddr ${SERVICE_OF_METADATA} tcp dport { 80, 8088 } dnat to ${METADATA}:80
    fib daddr type local tcp dport ${NODE_PORT} dnat to ${pod}:8080
  }
  chain prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain output { type nat hook output priority -100; jump services; }
  chain back {
    type nat hook postrouting priority srcnat;
    ct status dnat ip daddr ${pod} masquerade
  }
}
`;

async function must(
  lab: Lab,
  where: string,
  [program, args, stdin]: [string, readonly string[], string],
): Promise<void> {
  const outcome = await lab.exec(where, [program, ...args], {stdin});
  if (outcome.status !== 0) throw new Error(`${program}: ${outcome.stderr}`);
}

let interpreter: string | null = null;

/** The interpreter itself: what is in PATH may be a script that looks for it, hundreds of times. */
export function python(): string {
  interpreter ??= spawnSync('python3', ['-IS', '-c', 'import sys; print(sys.executable)'], {
    encoding: 'utf8',
  }).stdout.trim();
  return interpreter === '' ? 'python3' : interpreter;
}

function attacker(lab: Lab, name: string, token: string, patienceSeconds: number): Attacker {
  const node = name === 'node';
  const {path} = node ? lab.node : lab.pod(name);
  const by: Attacker = {
    name,
    path,
    ip4: node ? NODE_IP4 : lab.pod(name).ip4,
    ip6: node ? NODE_IP6 : lab.pod(name).ip6,
    token,
    run: (argv, options) => lab.exec(name, argv, options),
    curl: (...args) =>
      by.run(['curl', '-sk', '--path-as-is', '--noproxy', '*', '-m', String(patienceSeconds), '-o', '-', ...args]),
    program: (program, ...args) => by.run([python(), '-IS', join(PROGRAMS, `${program}.py`), ...args]),
    connect(ip, port, from) {
      const socket = connectIn(path, {ip, port}, from);
      socket.on('error', () => undefined);
      return socket;
    },
    async datagram(ip, port, payload) {
      const udp = await udpIn(path, ip.includes(':') ? '::' : '0.0.0.0', 0);
      udp.on('error', () => undefined);
      await new Promise<void>((resolve) =>
        udp.send(typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload, port, ip, () => resolve()),
      );
      udp.close();
    },
    explicit: () => by.connect(name === 'locked' ? NODE_IP4 : OPEN_PROXY, PORTS.explicit),
  };
  return by;
}
