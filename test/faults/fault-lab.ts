/** What the fault tests look at: processes, descriptors, readiness and metrics of a running proxy, and load that goes on. */
import {readdirSync, readFileSync} from 'node:fs';
import type {ProxiedLab} from '../lab/proxied.ts';
import {until} from '../waiting.ts';

/** The pids of a supervisor's workers. */
export function workersOf(supervisor: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => parentOf(pid) === supervisor && commandOf(pid).includes('tproxy/worker.'));
}

function parentOf(pid: number): number | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return null;
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** Whether a process is still there (a zombie is not). */
export function lives(pid: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2, text.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}

/** Open descriptors of a process. */
export const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** What the kernel says of a process's memory, in KB. */
export const residentKb = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);

export interface Readiness {
  readonly ready: boolean;
  readonly draining: boolean;
  readonly workers: {readonly wanted: number; readonly listening: number; readonly current: boolean};
  readonly policies: {
    readonly version: number;
    readonly documents: number;
    readonly lastLoad: string;
    readonly findings: readonly string[];
    readonly unreadable: readonly unknown[];
  };
  readonly workloads: {readonly count: number; readonly lastLoad: string};
  readonly missingRefs: readonly {readonly proxy: string; readonly message: string}[];
  readonly capture: unknown;
}

/** What the admin port answers under `path`; '' where nobody does. */
export const admin = async (world: ProxiedLab, path: string): Promise<string> =>
  (await world.lab.exec('node', ['curl', '-s', '-m', '20', `http://127.0.0.1:15084${path}`])).stdout;

/** Asked again where nobody answers: it is the supervisor's, and busy as everybody. */
export const readyz = async (world: ProxiedLab): Promise<Readiness> =>
  JSON.parse(
    await until(
      () => admin(world, '/readyz'),
      (text) => text !== '',
      {what: '/readyz answers'},
    ),
  ) as Readiness;

/** The value of one line of /metrics, labels included in `name` as they are printed; 0 where there is none. */
export async function metric(world: ProxiedLab, name: string): Promise<number> {
  const line = (await admin(world, '/metrics')).split('\n').find((text) => text.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

/** The status that curl in a pod was answered, or `curl exit N`. */
export async function curl(world: ProxiedLab, url: string, ...flags: readonly string[]): Promise<string> {
  return curlFrom(world, 'app', url, ...flags);
}

export async function curlFrom(
  world: ProxiedLab,
  pod: string,
  url: string,
  ...flags: readonly string[]
): Promise<string> {
  const argv = ['curl', '-s', '-m', '30', '-o', '/dev/null', '-w', '%{http_code}', ...flags, url];
  const {stdout, status} = await world.lab.exec(pod, argv, {env: world.trust});
  return status === 0 ? stdout : `curl exit ${status}`;
}

/** The status and body that curl was answered. */
export async function page(world: ProxiedLab, url: string): Promise<{status: string; body: string}> {
  const {stdout, status} = await world.lab.exec('app', ['curl', '-s', '-m', '30', '-w', '\n%{http_code}', url], {
    env: world.trust,
  });
  const at = stdout.lastIndexOf('\n');
  return {status: status === 0 ? stdout.slice(at + 1) : `curl exit ${status}`, body: stdout.slice(0, at)};
}

/** An EgressPolicy of the pods' namespace. */
export const policy = (rules: readonly object[], spec: object = {}): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'default'},
  spec: {podSelector: {}, rules, ...spec},
});

/** Rules that allow each host over plain HTTP. */
export const httpTo = (...hosts: readonly string[]): object[] =>
  hosts.map((host, i) => ({name: `r${i}`, to: {hosts: [host], schemes: ['http']}}));
