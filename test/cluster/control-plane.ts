/** A real etcd and a real kube-apiserver on loopback: a cluster's API without nodes. Up in seconds, gone without a trace. */
import {spawn, spawnSync, type ChildProcess} from 'node:child_process';
import {mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {until, WITHIN_MS} from '../waiting.ts';
import {programPath, type Program} from './binaries.ts';
import {freePorts} from './ports.ts';
import {makeAuthority, makeCertificate, makeSigningKey} from './certificates.ts';

export interface ControlPlane {
  /** https://127.0.0.1:PORT */
  readonly url: string;
  /** A kubeconfig file of a member of system:masters. */
  readonly kubeconfig: string;
  /** Certificates, logs, kubeconfigs; removed by stop(). */
  readonly dir: string;
  /** Runs kubectl as the administrator; `input` is its stdin. */
  kubectl(argv: readonly string[], input?: string): Ran;
  /** A kubeconfig file for a user of these groups, by a certificate of the cluster's CA. */
  kubeconfigOf(user: string, groups: readonly string[]): string;
  /** Ends the API server, as an upgrade does; etcd stays. */
  stopApiServer(): Promise<void>;
  /** Starts it again on the same port, and waits until it is ready. */
  startApiServer(): Promise<void>;
  stop(): Promise<void>;
}

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Service addresses: clear of the labs' own. */
const SERVICE_CIDR = '10.233.0.0/16';
const SERVICE_OF_API = '10.233.0.1';
const READY_TIMEOUT_MS = 180_000;
/** Of a log, in an error. */
const LOG_CHARACTERS = 2_000;
const STOP_TIMEOUT_MS = 10_000;
/** Of one kubectl. It is waited for in this very thread, where no test's limit would end it. */
const KUBECTL_TIMEOUT_MS = 2 * WITHIN_MS;
/** A port that was free may be somebody's by now. */
const STARTS = 3;
const PORT_TAKEN = 'address already in use';
/** The API server's OpenAPI document is 4 MB. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Starts both. Rejects with the end of the log of the one that did not come up. */
export async function startControlPlane(): Promise<ControlPlane> {
  for (let start = 1; ; start++)
    try {
      return await startOnce();
    } catch (error) {
      if (start === STARTS || !(error as Error).message.includes(PORT_TAKEN)) throw error;
    }
}

async function startOnce(): Promise<ControlPlane> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-cluster-'));
  const removeFiles = (): void => rmSync(dir, {recursive: true, force: true});
  process.once('exit', removeFiles);
  const [etcdPort, peerPort, apiPort] = (await freePorts(3)) as [number, number, number];
  const pki = makePki(dir);
  const processes: Running[] = [];
  const stop = async (): Promise<void> => {
    for (const running of processes.reverse()) await end(running.child);
    process.removeListener('exit', removeFiles);
    removeFiles();
  };
  try {
    processes.push(start(dir, 'etcd', etcdFlags(dir, etcdPort, peerPort)));
    const flags = apiServerFlags(pki, etcdPort, apiPort);
    processes.push(start(dir, 'kube-apiserver', flags));
    const url = `https://127.0.0.1:${apiPort}`;
    const kubeconfigOf = (user: string, groups: readonly string[]): string => {
      const name = user.replaceAll(/[^\w.-]/g, '-');
      makeCertificate(pki, name, `${groups.map((group) => `/O=${group}`).join('')}/CN=${user}`);
      return writeKubeconfig(dir, pki, name, url);
    };
    const kubeconfig = kubeconfigOf('admin', ['system:masters']);
    const kubectl = (argv: readonly string[], input = ''): Ran => {
      const limits = {maxBuffer: MAX_OUTPUT_BYTES, timeout: KUBECTL_TIMEOUT_MS, killSignal: 'SIGKILL'} as const;
      const options = {input, encoding: 'utf8', ...limits} as const;
      const ran = spawnSync(programOf('kubectl'), ['--kubeconfig', kubeconfig, ...argv], options);
      const failure = ran.error === undefined ? '' : `kubectl ${argv.join(' ')}: ${ran.error.message}\n`;
      return {status: ran.status ?? 1, stdout: ran.stdout ?? '', stderr: `${failure}${ran.stderr ?? ''}`};
    };
    const ready = async (): Promise<void> => {
      await succeeds(processes, () => kubectl(['get', '--raw', '/readyz']));
      await succeeds(processes, () => kubectl(['get', 'namespace', 'default']));
      // What is defined is served a moment later than it is ready.
      const {stdout} = kubectl(['get', 'crd', '-o', 'jsonpath={.items[*].metadata.name}']);
      if (stdout !== '')
        await succeeds(processes, () => kubectl(['get', stdout.replaceAll(' ', ','), '--all-namespaces']));
    };
    await ready();
    const stopApiServer = (): Promise<void> => end(processes.pop()!.child);
    const startApiServer = (): Promise<void> => {
      processes.push(start(dir, 'kube-apiserver', flags));
      return ready();
    };
    return {url, kubeconfig, dir, kubectl, kubeconfigOf, stopApiServer, startApiServer, stop};
  } catch (error) {
    await stop();
    throw error;
  }
}

function makePki(dir: string): string {
  const pki = join(dir, 'pki');
  mkdirSync(pki, {mode: 0o700});
  makeAuthority(pki);
  const names = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'];
  makeCertificate(pki, 'apiserver', '/CN=kube-apiserver', [
    ...['127.0.0.1', SERVICE_OF_API].map((ip) => `IP:${ip}`),
    ...['localhost', ...names].map((name) => `DNS:${name}`),
  ]);
  makeSigningKey(pki, 'service-accounts');
  return pki;
}

function etcdFlags(dir: string, port: number, peerPort: number): string[] {
  const [client, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`];
  return [
    ...['--name', 'one', '--data-dir', join(dir, 'etcd'), '--unsafe-no-fsync', '--log-level', 'warn'],
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `one=${peer}`],
  ];
}

function apiServerFlags(pki: string, etcdPort: number, port: number): string[] {
  const issuer = 'https://kubernetes.default.svc.cluster.local';
  return Object.entries({
    'etcd-servers': `http://127.0.0.1:${etcdPort}`,
    'bind-address': '127.0.0.1',
    'advertise-address': '127.0.0.1',
    // An advertised loopback address makes no endpoints; nothing here dials the Service.
    'endpoint-reconciler-type': 'none',
    'secure-port': String(port),
    'service-cluster-ip-range': SERVICE_CIDR,
    'tls-cert-file': join(pki, 'apiserver.crt'),
    'tls-private-key-file': join(pki, 'apiserver.key'),
    'client-ca-file': join(pki, 'ca.crt'),
    'authorization-mode': 'Node,RBAC',
    'enable-admission-plugins': 'NodeRestriction',
    'allow-privileged': 'true',
    'service-account-issuer': issuer,
    'service-account-key-file': join(pki, 'service-accounts.key'),
    'service-account-signing-key-file': join(pki, 'service-accounts.key'),
    profiling: 'false',
  }).map(([flag, value]) => `--${flag}=${value}`);
}

function writeKubeconfig(dir: string, pki: string, name: string, server: string): string {
  const file = join(dir, `${name}.kubeconfig`);
  const value = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{name: 'lab', cluster: {server, 'certificate-authority': join(pki, 'ca.crt')}}],
    users: [{name, user: {'client-certificate': join(pki, `${name}.crt`), 'client-key': join(pki, `${name}.key`)}}],
    contexts: [{name: 'lab', context: {cluster: 'lab', user: name}}],
    'current-context': 'lab',
  };
  writeFileSync(file, stringify(value), {mode: 0o600});
  return file;
}

interface Running {
  readonly child: ChildProcess;
  readonly name: string;
  readonly log: string;
}

function programOf(name: Program): string {
  const path = programPath(name);
  if (path === null) throw new Error(`${name} is not built: node test/cluster/build.ts`);
  return path;
}

function start(dir: string, name: Program, flags: readonly string[]): Running {
  const log = join(dir, `${name}.log`);
  const to = openSync(log, 'a');
  return {child: spawn(programOf(name), flags, {stdio: ['ignore', to, to]}), name, log};
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  child.kill('SIGTERM');
  await ended;
  clearTimeout(late);
}

async function succeeds(processes: readonly Running[], run: () => Ran): Promise<void> {
  const isDead = ({child}: Running): boolean => child.exitCode !== null || child.signalCode !== null;
  const said = (): string => {
    const {name, log} = processes.find(isDead) ?? processes.at(-1)!;
    return `${name}:\n${readFileSync(log, 'utf8').slice(-LOG_CHARACTERS)}`;
  };
  const look = (): Ran => {
    if (processes.some(isDead)) throw new Error(`it has ended: ${said()}`);
    return run();
  };
  await until(look, ({status}) => status === 0, {what: 'the control plane answers', withinMs: READY_TIMEOUT_MS, said});
}
