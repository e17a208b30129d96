/** The clients of a world in a lab: each workload's pod tries what a step says, and it is told what came of it. */
import {writeFileSync} from 'node:fs';
import {isIP} from 'node:net';
import {join} from 'node:path';
import type {Lab, LabPod} from '../../lab/index.ts';
import type {Case, Expectation, HostPort, RequestAction, Step, WorkloadSpec} from '../format/case.ts';
import {worldName} from '../format/places.ts';
import type {Answer} from '../observation.ts';
import {curlCommand, readCurl} from './curl.ts';
import {runUdp} from './datagram.ts';
import {KeptConnections} from './kept.ts';
import {runRaw} from './raw.ts';

/** The world's web servers answer at once; two seconds without a reply to a ping is an answer too. */
const PING_SECONDS = 2;
const CURL_TIMEOUT_MS = 60_000;

/** What a client's attempt comes to, before any log is asked. */
export interface Attempt {
  readonly answer: Answer;
  readonly source: string | null;
  readonly responses?: readonly number[];
  readonly closed?: boolean;
  readonly connectionWasClosed?: boolean;
  readonly notes?: readonly string[];
}

/** The pod of a workload in a world's lab. */
export const podName = (world: Case, spec: WorkloadSpec): string => `w${world.workloads.indexOf(spec)}`;

export interface ClientPlaces {
  readonly world: Case;
  readonly lab: Lab;
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  /** Where `via: explicit` goes. */
  readonly explicit: HostPort;
  /** What clients trust: the CA of what is tested, and the world's. PEM. */
  readonly ca: string;
  readonly worldCa: string;
  /** A folder for their files. */
  readonly directory: string;
}

export class Clients {
  readonly #at: ClientPlaces;
  readonly #kept = new Map<WorkloadSpec, KeptConnections>();
  /** PEM and its file, by whether the tested CA is trusted. */
  readonly #trust: Record<'ours' | 'theirs', {readonly pem: string; readonly file: string}>;

  constructor(at: ClientPlaces) {
    this.#at = at;
    const bundle = (name: string, pem: string): {pem: string; file: string} => {
      const file = join(at.directory, `${name}.pem`);
      writeFileSync(file, pem);
      return {pem, file};
    };
    // What passes through unseen still shows the server's own certificate, so both are trusted.
    this.#trust = {ours: bundle('trusts-both', `${at.ca}\n${at.worldCa}`), theirs: bundle('trusts-world', at.worldCa)};
  }

  async attempt({action, workload, expect}: Step): Promise<Attempt> {
    const pod = this.#at.lab.pod(podName(this.#at.world, workload));
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
        const argv = ['ping', '-n', '-c', '1', '-W', String(PING_SECONDS), ip];
        const {status, stdout} = await this.#at.lab.exec(pod, argv);
        return {
          answer: status === 0 ? {kind: 'bytes', latin1: stdout} : {kind: 'refused', how: 'no reply'},
          source: null,
          notes: stdout.trim().split('\n'),
        };
      }
      case 'udp': {
        const ip = this.#resolve(action.to.host);
        if (ip === null) return unresolved(action.to.host);
        const own = isIP(ip) === 6 ? pod.ip6 : pod.ip4;
        return {answer: await runUdp(pod.path, own, {ip, port: action.to.port}, action.latin1), source: null};
      }
      case 'apply':
        throw new Error('an apply step has no client');
    }
  }

  async #curl(action: RequestAction, pod: LabPod, workload: WorkloadSpec): Promise<Attempt> {
    const trust = this.#trust[workload.trustsCa ? 'ours' : 'theirs'];
    const {argv, stdin} = curlCommand(action, {
      caFile: trust.file,
      proxy: this.#at.explicit,
      literal: this.#resolve(action.connectTo?.host ?? action.url.host),
    });
    const options = {...(stdin === null ? {} : {stdin}), timeoutMs: CURL_TIMEOUT_MS};
    const run = await this.#at.lab.exec(pod, argv, options);
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
    const ca = this.#trust[workload.trustsCa ? 'ours' : 'theirs'].pem;
    const place = {path: pod.path, ip, proxy: this.#at.explicit, ca};
    const {answer, source, wasClosed, version} = await kept.request(name, action, place, expect.refused === true);
    return {answer: asAsked(answer, version, action), source, connectionWasClosed: wasClosed};
  }

  /** As the world's resolver would. */
  #resolve(host: string): string | null {
    return isIP(host) !== 0 ? host : (this.#at.addresses.get(worldName(host))?.[0] ?? null);
  }

  close(): void {
    for (const kept of this.#kept.values()) kept.close();
  }
}

const unresolved = (host: string): Attempt => ({
  answer: {kind: 'refused', how: `${host} does not resolve`},
  source: null,
});

/** A step that is to be tried over HTTP/2 and was not is no test of it. */
function asAsked(answer: Answer, version: string, action: RequestAction): Answer {
  if (action.http !== '2' || answer.kind !== 'response' || version === '2') return answer;
  return {kind: 'failed', why: `the step asks for HTTP/2, and the answer came over HTTP/${version}`};
}
