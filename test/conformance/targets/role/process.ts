/** A role of `sallyport` as a process in the lab's node namespace, with its files. */
import type {ChildProcess} from 'node:child_process';
import {mkdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs';
import {get} from 'node:http';
import {join, resolve} from 'node:path';
import {stringify} from 'yaml';
import {PORTS} from '../../../../runtime/names.ts';
import {connectIn, type Lab} from '../../../lab/index.ts';
import {documentsText} from '../../documents.ts';
import {namespaceLabels, type Case, type DocumentValue, type WorkloadSpec} from '../../format/case.ts';
import {RESOLVER} from '../../world/world.ts';
import {INSTALLATION} from '../policy/installation.ts';
import {RoleLog} from './log.ts';

const ROOT = resolve(import.meta.dirname, '../../../..');
/** A process that makes its CA, forks a worker and sets up the capture, on a machine that does much else. */
const READY_TIMEOUT_MS = 30_000;
/** FORMAT: the next steps see a change within this time; beyond it the change did not work. */
const APPLY_TIMEOUT_MS = 2000;
const POLL_MS = 20;

export interface RoleFiles {
  readonly directory: string;
  readonly policies: string;
  readonly workloads: string;
  readonly refs: string;
  readonly ca: string;
  readonly upstreamCa: string;
}

/** Writes what the flags name; `podOf` is the pod of a workload in the lab. */
export function writeFiles(
  directory: string,
  world: Case,
  documents: readonly DocumentValue[],
  worldCa: string,
  lab: Lab,
  podOf: (spec: WorkloadSpec) => string,
): RoleFiles {
  const files: RoleFiles = {
    directory,
    policies: join(directory, 'policies'),
    workloads: join(directory, 'workloads.yaml'),
    refs: join(directory, 'refs'),
    ca: join(directory, 'ca'),
    upstreamCa: join(directory, 'world-ca.crt'),
  };
  mkdirSync(files.policies, {recursive: true});
  mkdirSync(files.refs, {recursive: true});
  writePolicies(files, documents);
  writeFileSync(files.upstreamCa, worldCa);
  for (const [place, values] of world.secrets) {
    const folder = join(files.refs, 'secrets', place);
    mkdirSync(folder, {recursive: true});
    for (const [key, value] of Object.entries(values)) writeFileSync(join(folder, key), value, {mode: 0o600});
  }
  const entries = world.workloads.map((spec) => ({
    ips: lab.pod(podOf(spec)).ips,
    interface: lab.pod(podOf(spec)).interface,
    namespace: spec.namespace,
    namespaceLabels: namespaceLabels(world, spec.namespace),
    name: spec.name,
    uid: `${spec.namespace}/${spec.name}`,
    labels: spec.labels,
    serviceAccount: spec.serviceAccount,
    trustsCa: spec.trustsCa,
  }));
  writeFileSync(files.workloads, stringify(entries));
  return files;
}

/** All documents in one file, swapped at once: no reader sees half of a change. */
export function writePolicies(files: RoleFiles, documents: readonly DocumentValue[]): void {
  const next = join(files.directory, 'policies.next');
  writeFileSync(next, documentsText(documents));
  renameSync(next, join(files.policies, 'policies.yaml'));
}

/** What came of a change. */
export interface Applied {
  /** What was wrong; null: nothing. */
  readonly error: string | null;
  /** The objects that were refused, as messages name them; null among them: one that could not be told. */
  readonly refused: ReadonlySet<string | null>;
}

export type Role = 'tproxy' | 'extauthz';

export class RoleProcess {
  readonly log = new RoleLog();
  readonly #lab: Lab;
  readonly #child: ChildProcess;
  #ended = false;

  private constructor(lab: Lab, child: ChildProcess) {
    this.#lab = lab;
    this.#child = child;
    this.log.follow(child.stdout, child.stderr);
    child.once('exit', () => {
      this.#ended = true;
      this.log.end();
    });
  }

  /** @param more the flags of this role alone. Resolves when /readyz says so; rejects with what the process said where it ends before. */
  static async start(lab: Lab, role: Role, files: RoleFiles, more: readonly string[]): Promise<RoleProcess> {
    const list = (flag: string, values: readonly string[]): string[] => values.flatMap((value) => [flag, value]);
    const argv = [
      ...[role, '--policy', files.policies, '--workloads', files.workloads, '--refs', files.refs],
      ...['--ca-dir', files.ca, '--admin', `127.0.0.1:${PORTS.admin}`, '--resolver', RESOLVER, '--log-format', 'json'],
      ...['--cluster-domain', INSTALLATION.clusterDomain, '--default-action', INSTALLATION.defaultAction],
      ...list('--service-cidr', INSTALLATION.serviceCidrs),
      ...list('--pod-cidr', INSTALLATION.podCidrs),
      ...list('--node-cidr', INSTALLATION.nodeCidrs),
      ...more,
    ];
    const child = lab.spawn('node', [process.execPath, join(ROOT, 'cli/main.ts'), ...argv], {cwd: files.directory});
    const proxy = new RoleProcess(lab, child);
    const deadline = performance.now() + READY_TIMEOUT_MS;
    for (;;) {
      if ((await proxy.#readiness())?.['ready'] === true) return proxy;
      if (proxy.#ended || performance.now() > deadline) {
        await proxy.stop();
        const what = proxy.#child.exitCode === null ? 'is not ready' : `ended with ${proxy.#child.exitCode}`;
        throw new Error(`sallyport ${role} ${what}:\n${proxy.log.lines.map(({text}) => text).join('\n')}`);
      }
      await proxy.log.until(() => false, POLL_MS);
    }
  }

  /** The proxy's CA, as pods are given it. */
  caCertificate(files: RoleFiles): string {
    return readFileSync(join(files.ca, 'ca.crt'), 'utf8');
  }

  /** Writes the documents and waits until they are in force, or refused. */
  async apply(files: RoleFiles, documents: readonly DocumentValue[]): Promise<Applied> {
    const from = this.log.lines.length;
    writePolicies(files, documents);
    const result = (): string | null =>
      this.log.find(from, 'policy.loaded').length > 0
        ? 'loaded'
        : this.log.find(from, 'policy.failed').length > 0
          ? 'failed'
          : null;
    if (!(await this.log.until(() => result() !== null, APPLY_TIMEOUT_MS)))
      return {error: `the change was not seen within ${APPLY_TIMEOUT_MS / 1000} s`, refused: new Set([null])};
    const findings = this.log.find(from, 'policy.finding', {level: 'error'});
    const applied: Applied =
      result() === 'loaded'
        ? {error: null, refused: new Set()}
        : {
            error: findings.map((line) => String(line['message'])).join('\n'),
            refused: new Set(findings.map((line) => (typeof line['object'] === 'string' ? line['object'] : null))),
          };
    const deadline = performance.now() + APPLY_TIMEOUT_MS;
    while (performance.now() < deadline) {
      const detail = await this.#readiness();
      if (detail !== null && !Object.values(detail).some(isBehind)) return applied;
      await this.log.until(() => false, POLL_MS);
    }
    return {
      error: `the change was not in force everywhere within ${APPLY_TIMEOUT_MS / 1000} s`,
      refused: new Set([null]),
    };
  }

  /** The detail of /readyz; null where nobody answers. */
  async #readiness(): Promise<Record<string, unknown> | null> {
    const {promise, resolve} = Promise.withResolvers<Record<string, unknown> | null>();
    const socket = connectIn(this.#lab.node.path, {ip: '127.0.0.1', port: PORTS.admin});
    const request = get({path: '/readyz', createConnection: () => socket}, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        try {
          resolve(JSON.parse(text) as Record<string, unknown>);
        } catch {
          resolve(null);
        }
      });
    });
    request.on('error', () => resolve(null));
    return promise;
  }

  /** A world is thrown away whole: nothing to drain. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    const {promise, resolve} = Promise.withResolvers<void>();
    this.#child.once('exit', () => resolve());
    this.#child.kill('SIGKILL');
    await promise;
  }
}

/** A part of /readyz that has not taken the last change. */
const isBehind = (part: unknown): boolean =>
  typeof part === 'object' && part !== null && 'current' in part && part.current !== true;
