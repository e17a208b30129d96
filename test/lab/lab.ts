/** Network namespaces for tests and the demo: a node, its pods, and an internet. See plan.ts for the layout. */
import {spawn, type ChildProcess, type StdioOptions} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import {existsSync, mkdirSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {SallyportError} from '../../runtime/errors.ts';
import {inNamespace, namespacePath} from './namespace.ts';
import {attachCommands, interfaceName, internetCommands, nodeCommands, podCommands, sysctls, BRIDGE} from './plan.ts';
import type {PodPlan} from './plan.ts';
import {hasLabPrivileges} from './privileges.ts';
import {recordLab, removeLab, startTimeOf, sweepLabs, type LabRecord} from './sweep.ts';

export interface PodOptions {
  /** Lower-case, digits and dashes. */
  readonly name: string;
  /** An IPv4 and an IPv6 address; allotted from 10.77.0.0/24 and fd77::/64 where absent. On a bridge they must lie in these. */
  readonly ips?: readonly string[];
}

export interface LabOptions {
  /** A few letters, for `ip netns list`: namespaces are `sp-NAME.RANDOM-node`, `-internet` and `-POD`. */
  readonly name: string;
  readonly pods: readonly PodOptions[];
  /** The node's own addresses. Default 10.78.0.1 and fd78::1. */
  readonly nodeIps?: readonly string[];
  /** All pods on one bridge instead of a routed veth each. */
  readonly bridge?: boolean;
  /** The bridge's frames pass the IP rules too (br_netfilter). Default false. */
  readonly bridgeNetfilter?: boolean;
}

export interface LabNamespace {
  /** As `ip netns exec NAME` takes it. */
  readonly name: string;
  /** As inNamespace() takes it. */
  readonly path: string;
}

export interface LabPod extends LabNamespace {
  readonly ips: readonly string[];
  /** The first IPv4 and IPv6 address; '' where there is none. */
  readonly ip4: string;
  readonly ip6: string;
  /** Where the node sees its packets come from: the veth, or the bridge. */
  readonly interface: string;
  /** The node's end of its veth. */
  readonly port: string;
}

export interface LabNode extends LabNamespace {
  readonly ips: readonly string[];
}

export interface LabInternet extends LabNamespace {
  /** Gives the internet an address, usable when the promise resolves. */
  addAddress(...ips: readonly string[]): Promise<void>;
}

export interface ExecOptions {
  /** Beside PATH, HOME and LANG: nothing else of this process's environment gets in (a proxy variable would decide the test). */
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string | Buffer;
  /** Killed after this long; default 60 s. */
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

export interface ExecResult {
  /** null where it was killed. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/** A namespace, or its short name: `node`, `internet` or a pod's. */
export type Where = LabNamespace | string;

export interface Lab {
  readonly id: string;
  readonly node: LabNode;
  readonly internet: LabInternet;
  readonly pods: ReadonlyMap<string, LabPod>;
  /** Throws for a name that is none. */
  pod(name: string): LabPod;
  addPod(options: PodOptions): Promise<LabPod>;
  /** Runs a program to its end. Rejects only where it cannot be started. */
  exec(where: Where, argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /** Starts a program, killed at close() at the latest. `stdio` default: ignore, pipe, pipe. */
  spawn(
    where: Where,
    argv: readonly string[],
    options?: Omit<ExecOptions, 'stdin' | 'timeoutMs'> & {stdio?: StdioOptions},
  ): ChildProcess;
  /** Runs `work` with this process inside the namespace; see namespace.ts. */
  inside<T>(where: Where, work: () => T extends Promise<unknown> ? never : T): T;
  /** What programs started there find as /etc/FILE (resolv.conf, hosts). */
  writeEtc(where: Where, file: string, text: string): void;
  /** The name servers of programs started there. */
  setResolver(where: Where, ...servers: readonly string[]): void;
  /** Kills what runs in it and removes it; also done at exit, SIGINT and SIGTERM, and by the next lab after a crash. */
  close(): Promise<void>;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const living = new Set<LabRecord>();
let watching = false;

/** Makes a lab. Throws SallyportError `LabPrivileges` where the machine does not allow it; see hasLabPrivileges(). */
export async function createLab(options: LabOptions): Promise<Lab> {
  const privileges = hasLabPrivileges();
  if (!privileges.ok) throw new SallyportError('LabPrivileges', `a lab needs ${privileges.missing}`, 'Run as root.');
  sweepLabs();
  cleanUpAtExit();

  const id = `${options.name}.${randomBytes(3).toString('hex')}`;
  const bridge = options.bridge ?? false;
  const named = (short: string): LabNamespace => ({
    name: `sp-${id}-${short}`,
    path: namespacePath(`sp-${id}-${short}`),
  });
  const startTime = startTimeOf(process.pid) ?? '';
  const nodeIps = options.nodeIps ?? ['10.78.0.1', 'fd78::1'];
  const node: LabNode = {...named('node'), ips: nodeIps};
  const internetNamespace = named('internet');
  const pods = new Map<string, LabPod>();
  const children = new Set<ChildProcess>();
  let record: LabRecord = {id, pid: process.pid, startTime, namespaces: []};

  const plan = (pod: PodOptions): PodPlan => {
    const taken = new Set([...pods.values()].map((p) => p.port));
    // .1 and ::1 are the bridge's.
    const n = pods.size + 10;
    const plan = {
      name: pod.name,
      namespace: named(pod.name).name,
      interface: interfaceName(pod.name, taken),
      ips: pod.ips ?? [`10.77.0.${n}`, `fd77::${n.toString(16)}`],
    };
    pods.set(pod.name, {
      ...named(pod.name),
      ips: plan.ips,
      ip4: plan.ips.find((ip) => !ip.includes(':')) ?? '',
      ip6: plan.ips.find((ip) => ip.includes(':')) ?? '',
      interface: bridge ? BRIDGE.interface : plan.interface,
      port: plan.interface,
    });
    return plan;
  };

  /** Recorded before it is made, so that a crash in between is swept. */
  const make = async (namespaces: readonly LabNamespace[], forwards: LabNamespace | null): Promise<void> => {
    living.delete(record);
    record = {...record, namespaces: [...record.namespaces, ...namespaces.map((n) => n.name)]};
    living.add(record);
    recordLab(record);
    await ip(
      null,
      namespaces.map((n) => `netns add ${n.name}`),
    );
    for (const n of namespaces)
      inNamespace(n.path, () => {
        for (const [key, value] of sysctls(n === forwards, options.bridgeNetfilter ?? false)) {
          const file = join('/proc/sys', key);
          if (existsSync(file)) writeFileSync(file, value);
        }
      });
  };

  const find = (where: Where): LabNamespace => {
    if (typeof where !== 'string') return where;
    if (where === 'node') return node;
    if (where === 'internet') return internetNamespace;
    return lab.pod(where);
  };
  const start = (where: Where, argv: readonly string[], stdio: StdioOptions, options: ExecOptions): ChildProcess => {
    const child = spawn('ip', ['netns', 'exec', find(where).name, ...argv], {
      stdio,
      env: {...baseEnvironment(), ...options.env},
      ...(options.cwd === undefined ? {} : {cwd: options.cwd}),
    });
    children.add(child);
    child.once('exit', () => children.delete(child));
    return child;
  };

  const lab: Lab = {
    id,
    node,
    internet: {
      ...internetNamespace,
      addAddress: (...ips) =>
        ip(
          internetNamespace.path,
          ips.map((a) => (a.includes(':') ? `addr replace ${a}/128 dev lo nodad` : `addr replace ${a}/32 dev lo`)),
        ),
    },
    pods,
    pod(name) {
      const pod = pods.get(name);
      if (pod === undefined) throw new Error(`the lab has no pod ${name}`);
      return pod;
    },
    async addPod(pod) {
      const planned = plan(pod);
      await make([lab.pod(pod.name)], null);
      await ip(node.path, attachCommands(planned, bridge));
      await ip(lab.pod(pod.name).path, podCommands(planned, bridge));
      return lab.pod(pod.name);
    },
    async exec(where, argv, options = {}) {
      const child = start(where, argv, ['pipe', 'pipe', 'pipe'], options);
      let timedOut = false;
      const timer = setTimeout(() => {
        timedOut = true;
        child.kill('SIGKILL');
        // Its children may live, and hold its outputs open.
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
      // EPIPE where the program does not read its input.
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(options.stdin ?? '');
      try {
        const [status, stdout, stderr] = await Promise.all([ended(child), text(child.stdout), text(child.stderr)]);
        return {status, stdout, stderr, timedOut};
      } finally {
        clearTimeout(timer);
      }
    },
    spawn: (where, argv, options = {}) => start(where, argv, options.stdio ?? ['ignore', 'pipe', 'pipe'], options),
    inside: (where, work) => inNamespace(find(where).path, work),
    writeEtc(where, file, content) {
      const path = join('/etc/netns', find(where).name, file);
      mkdirSync(dirname(path), {recursive: true});
      writeFileSync(path, content);
    },
    setResolver(where, ...servers) {
      const lines = servers.map((server) => `nameserver ${server}\n`).join('');
      lab.writeEtc(where, 'resolv.conf', `${lines}options timeout:1 attempts:2\n`);
    },
    async close() {
      if (!living.delete(record)) return;
      const ends = [...children].map((child) => ended(child).catch(() => null));
      for (const child of children) child.kill('SIGKILL');
      await Promise.all(ends);
      removeLab(record);
    },
  };

  try {
    const planned = options.pods.map(plan);
    await make([node, internetNamespace, ...planned.map((p) => lab.pod(p.name))], node);
    await ip(node.path, [
      ...nodeCommands(internetNamespace.name, nodeIps, bridge),
      ...planned.flatMap((p) => attachCommands(p, bridge)),
    ]);
    await Promise.all([
      ip(internetNamespace.path, internetCommands()),
      ...planned.map((p) => ip(lab.pod(p.name).path, podCommands(p, bridge))),
    ]);
  } catch (cause) {
    await lab.close();
    throw cause;
  }
  return lab;
}

/** One `ip -batch` for all lines, in the namespace at `path`. */
async function ip(path: string | null, lines: readonly string[]): Promise<void> {
  const run = () => spawn('ip', ['-batch', '-'], {stdio: ['pipe', 'ignore', 'pipe']});
  const child = path === null ? run() : inNamespace(path, run);
  child.stdin.on('error', () => undefined);
  child.stdin.end(lines.map((line) => `${line}\n`).join(''));
  const [status, stderr] = await Promise.all([ended(child), text(child.stderr)]);
  if (status !== 0)
    throw new SallyportError('LabFailed', `ip -batch: ${stderr.trim()}`, 'Is iproute2 5 or later there?');
}

function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
}

async function text(stream: NodeJS.ReadableStream | null): Promise<string> {
  if (stream === null) return '';
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => stream.once('close', resolve));
  return Buffer.concat(chunks).toString('utf8');
}

function baseEnvironment(): Record<string, string> {
  const env: Record<string, string> = {LANG: 'C.UTF-8'};
  for (const name of ['PATH', 'HOME', 'TMPDIR', 'TERM']) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}

function cleanUpAtExit(): void {
  if (watching) return;
  watching = true;
  const removeAll = (): void => {
    for (const record of living) removeLab(record);
    living.clear();
  };
  process.once('exit', removeAll);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const onSignal = (): void => {
      // Somebody else handles it too and will close their labs in their own time; 'exit' is the last resort.
      if (process.listenerCount(signal) > 1) return;
      removeAll();
      process.off(signal, onSignal);
      process.kill(process.pid, signal);
    };
    process.on(signal, onSignal);
  }
}
