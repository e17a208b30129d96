/** The target `tproxy`: the real process, captured pods, real clients and servers, in network namespaces. */
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {isIP} from 'node:net';
import {join} from 'node:path';
import {PORTS} from '../../../../runtime/names.ts';
import {createLab, hasLabPrivileges, type Lab, type LabPod} from '../../../lab/index.ts';
import {curlCommand, readCurl} from '../../client/curl.ts';
import {runUdp} from '../../client/datagram.ts';
import {KeptConnections} from '../../client/kept.ts';
import {runRaw} from '../../client/raw.ts';
import {objectName, withDocuments} from '../../documents.ts';
import type {Case, DocumentValue, Expectation, HostPort, RequestAction, Step, WorkloadSpec} from '../../format/case.ts';
import {worldName} from '../../format/places.ts';
import {NOTHING_OBSERVED, type Answer, type Observation} from '../../observation.ts';
import {worldAddresses} from '../../world/addresses.ts';
import {createAuthorities, type Authorities} from '../../world/certificates.ts';
import {RESOLVER, startWorld, type StandingWorld} from '../../world/world.ts';
import type {OpenOptions, Target, TargetWorld} from '../target.ts';
import {decisionOf} from './decision.ts';
import {ProxyProcess, writeFiles, type ProxyFiles} from './process.ts';

/** The world's web servers answer at once; ten seconds without a reply to a ping is an answer too. */
const PING_SECONDS = 2;

let authorities: Authorities | null = null;

export const tproxyTarget: Target = {
  name: 'tproxy',
  scope: {network: true},
  parallel: 2,
  unavailable() {
    const privileges = hasLabPrivileges();
    return privileges.ok ? null : privileges.missing;
  },
  skips: () => null,
  open: (world, options) => TproxyWorld.open(world, options),
};

/** What a client's attempt comes to, before the log is asked. */
interface Attempt {
  readonly answer: Answer;
  readonly source: string | null;
  readonly responses?: readonly number[];
  readonly closed?: boolean;
  readonly connectionWasClosed?: boolean;
  readonly notes?: readonly string[];
}

class TproxyWorld implements TargetWorld {
  readonly #case: Case;
  readonly #lab: Lab;
  readonly #options: OpenOptions;
  readonly #world: StandingWorld;
  readonly #proxy: ProxyProcess;
  readonly #files: ProxyFiles;
  readonly #kept = new Map<WorkloadSpec, KeptConnections>();
  #documents: readonly DocumentValue[];
  /** PEM and its file, by whether the proxy's CA is trusted. */
  readonly #trust: Record<'ours' | 'theirs', {readonly pem: string; readonly file: string}>;

  private constructor(parts: {
    world: Case;
    lab: Lab;
    options: OpenOptions;
    standing: StandingWorld;
    proxy: ProxyProcess;
    files: ProxyFiles;
    worldCa: string;
  }) {
    this.#case = parts.world;
    this.#lab = parts.lab;
    this.#options = parts.options;
    this.#world = parts.standing;
    this.#proxy = parts.proxy;
    this.#files = parts.files;
    this.#documents = parts.world.documents;
    const bundle = (name: string, pem: string): {pem: string; file: string} => {
      const file = join(parts.files.directory, `${name}.pem`);
      writeFileSync(file, pem);
      return {pem, file};
    };
    // What passes through unseen still shows the server's own certificate, so both are trusted.
    this.#trust = {
      ours: bundle('trusts-both', `${parts.proxy.caCertificate(parts.files)}\n${parts.worldCa}`),
      theirs: bundle('trusts-world', parts.worldCa),
    };
  }

  static async open(world: Case, options: OpenOptions): Promise<TproxyWorld> {
    authorities ??= createAuthorities();
    const podOf = (spec: WorkloadSpec): string => `w${world.workloads.indexOf(spec)}`;
    const lab = await createLab({name: 'cf', pods: world.workloads.map((spec) => ({name: podOf(spec)}))});
    const directory = mkdtempSync(join(tmpdir(), 'sallyport-conformance-'));
    let standing: StandingWorld | null = null;
    try {
      lab.setResolver('node', RESOLVER);
      for (const name of lab.pods.keys()) lab.setResolver(name, RESOLVER);
      standing = await startWorld(world, lab, authorities, worldAddresses(world), options.say);
      const files = writeFiles(directory, world, world.documents, authorities.trusted, lab, podOf);
      const proxy = await ProxyProcess.start(lab, files);
      options.say(`${world.name}: ready, files in ${directory}, namespaces sp-${lab.id}-*`);
      return new TproxyWorld({world, lab, options, standing, proxy, files, worldCa: authorities.trusted});
    } catch (error) {
      await standing?.close();
      await lab.close();
      if (!options.keep) rmSync(directory, {recursive: true, force: true});
      throw error;
    }
  }

  async run(step: Step): Promise<Observation> {
    const from = this.#proxy.log.lines.length;
    this.#world.ledger.take();
    const {action, expect, workload} = step;
    if (action.kind === 'apply') {
      const next = withDocuments(this.#documents, action.documents);
      const {error, refused} = await this.#proxy.apply(this.#files, next);
      // A bad document is gone with the next change; the good one that it did not replace stays, and so do its neighbours.
      const good = action.documents.filter((document) => error === null || !refused.has(objectName(document)));
      this.#documents = withDocuments(this.#documents, refused.has(null) ? [] : good);
      return {
        ...NOTHING_OBSERVED,
        load: {error},
        sightings: this.#world.ledger.take(),
        notes: this.#proxy.log.since(from),
      };
    }
    const attempt = await this.#attempt(step);
    const traffic = {
      from,
      source: attempt.source,
      workload: `${workload.namespace}/${workload.name}`,
      answer: attempt.answer,
      responses: attempt.responses?.length ?? 0,
    };
    const decision = await decisionOf(this.#proxy.log, traffic, expect);
    // A server that was reached without an answer to the client may be a moment behind.
    if (typeof expect.reached === 'string') await this.#world.ledger.until(expect.reached, LATE_SERVER_MS);
    return {
      ...NOTHING_OBSERVED,
      decision,
      answer: attempt.answer,
      responses: attempt.responses ?? [],
      closed: attempt.closed ?? null,
      connectionWasClosed: attempt.connectionWasClosed ?? false,
      sightings: this.#world.ledger.take(),
      notes: [...(attempt.notes ?? []), ...this.#proxy.log.since(from)],
    };
  }

  async #attempt({action, workload, expect}: Step): Promise<Attempt> {
    const pod = this.#lab.pod(`w${this.#case.workloads.indexOf(workload)}`);
    switch (action.kind) {
      case 'request':
        return action.connection === null
          ? this.#curl(action, pod, workload)
          : this.#keep(action, action.connection, pod, workload, expect);
      case 'raw': {
        const ip = this.#resolve(action.to.host);
        if (ip === null) return unresolved(action.to.host);
        return runRaw(pod.path, ip, action, expect);
      }
      case 'ping': {
        const ip = this.#resolve(action.to);
        if (ip === null) return unresolved(action.to);
        const {status, stdout} = await this.#lab.exec(pod, ['ping', '-n', '-c', '1', '-W', String(PING_SECONDS), ip]);
        return {
          answer: status === 0 ? {kind: 'bytes', latin1: stdout} : {kind: 'refused', how: 'no reply'},
          source: null,
          notes: stdout.trim().split('\n'),
        };
      }
      case 'udp': {
        const ip = this.#resolve(action.to.host);
        if (ip === null) return unresolved(action.to.host);
        return {
          answer: await runUdp(pod.path, isIP(ip) === 6 ? pod.ip6 : pod.ip4, {ip, port: action.to.port}, action.latin1),
          source: null,
        };
      }
      case 'apply':
        throw new Error('an apply step has no client');
    }
  }

  async #curl(action: RequestAction, pod: LabPod, workload: WorkloadSpec): Promise<Attempt> {
    const trust = this.#trust[workload.trustsCa ? 'ours' : 'theirs'];
    const {argv, stdin} = curlCommand(action, {
      caFile: trust.file,
      proxy: this.#explicitPort(),
      literal: this.#resolve(action.connectTo?.host ?? action.url.host),
    });
    const run = await this.#lab.exec(pod, argv, {...(stdin === null ? {} : {stdin}), timeoutMs: 60_000});
    const known = action.via === 'explicit' || this.#resolve(action.url.host) !== null;
    const {answer, source, version, note} = readCurl(action, run, known);
    const notes = [note, argv.map((one) => (/^[\w./:=-]+$/.test(one) ? one : `'${one}'`)).join(' ')];
    return {answer: asAsked(answer, version, action), source, notes};
  }

  async #keep(
    action: RequestAction,
    name: string,
    pod: LabPod,
    workload: WorkloadSpec,
    expect: Expectation,
  ): Promise<Attempt> {
    const ip = action.via === 'explicit' ? '' : this.#resolve(action.connectTo?.host ?? action.url.host);
    if (ip === null) return unresolved(action.url.host);
    let kept = this.#kept.get(workload);
    if (kept === undefined) this.#kept.set(workload, (kept = new KeptConnections()));
    const place = {
      path: pod.path,
      ip,
      proxy: this.#explicitPort(),
      ca: this.#trust[workload.trustsCa ? 'ours' : 'theirs'].pem,
    };
    const {answer, source, wasClosed, version} = await kept.request(name, action, place, expect.refused === true);
    return {answer: asAsked(answer, version, action), source, connectionWasClosed: wasClosed};
  }

  #explicitPort(): HostPort {
    return {host: this.#lab.node.ips[0]!, port: PORTS.explicit};
  }

  /** As the world's resolver would. */
  #resolve(host: string): string | null {
    return isIP(host) !== 0 ? host : (this.#world.addresses.get(worldName(host))?.[0] ?? null);
  }

  late(): ReturnType<TargetWorld['late']> {
    return this.#world.ledger.take();
  }

  async close(): Promise<void> {
    for (const kept of this.#kept.values()) kept.close();
    await this.#proxy.stop();
    await this.#world.close();
    await this.#lab.close();
    if (this.#options.keep) console.log(`      ${this.#case.name}: files are in ${this.#files.directory}`);
    else rmSync(this.#files.directory, {recursive: true, force: true});
  }
}

/** A sighting is written down when the bytes arrive; a connection that is closed at once may outrun it. */
const LATE_SERVER_MS = 1000;

const unresolved = (host: string): Attempt => ({
  answer: {kind: 'refused', how: `${host} does not resolve`},
  source: null,
});

/** A step that is to be tried over HTTP/2 and was not is no test of it. */
function asAsked(answer: Answer, version: string, action: RequestAction): Answer {
  if (action.http !== '2' || answer.kind !== 'response' || version === '2') return answer;
  return {kind: 'failed', why: `the step asks for HTTP/2, and the answer came over HTTP/${version}`};
}
