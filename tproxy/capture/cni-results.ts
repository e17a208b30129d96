/**
 * Which interface of the node is which pod's, as the CNI plugins said when they made it. On a bridge the route to a pod names
 * the bridge alone; without its port a neighbour could speak with its address (docs/NODE.md).
 */
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';

/** Where libcni keeps what plugins answered (containerd, CRI-O, k3s): one file for each of a pod's interfaces. */
export const CNI_RESULTS = '/var/lib/cni/results';
/** What runs of the plugins left and nobody removed, at most: a node has a few hundred pods. */
const MAX_FILES = 20_000;

/** The parts of libcni's cache file that are read (cniCacheV1; the result as of CNI 0.3.0 and later). */
interface CacheFile {
  readonly ifName?: unknown;
  readonly cniArgs?: unknown;
  readonly result?: {readonly interfaces?: unknown; readonly ips?: unknown};
}

interface Answer {
  readonly uid: string;
  /** The node's end; null: the plugin did not say, or said several. */
  readonly interface: string | null;
  readonly ips: readonly string[];
}

export class CniResults {
  readonly #dir: string;
  readonly #isBridge: (name: string) => boolean;
  /** By file name: a file is written once, before the pod's address is told. */
  #answers = new Map<string, Answer | null>();
  #byPod = new Map<string, string>();

  constructor(dir: string, isBridge = (name: string): boolean => existsSync(join('/sys/class/net', name, 'bridge'))) {
    this.#dir = dir;
    this.#isBridge = isBridge;
  }

  /** The node's interface of the pod's address; null: not known. */
  interfaceOf(uid: string, ip: string): string | null {
    return this.#byPod.get(keyOf(uid, ip)) ?? null;
  }

  /** Reads what has come, and forgets what is gone. A folder that is not there, or a file that is none of libcni's, says nothing. */
  look(): void {
    let names: string[];
    try {
      names = readdirSync(this.#dir).slice(0, MAX_FILES);
    } catch {
      names = [];
    }
    const answers = new Map<string, Answer | null>();
    const byPod = new Map<string, string>();
    for (const name of names) {
      const before = this.#answers.get(name);
      const answer = before === undefined ? this.#read(name) : before;
      // Half written: looked at again.
      if (answer === undefined) continue;
      answers.set(name, answer);
      if (answer === null || answer.interface === null) continue;
      for (const ip of answer.ips) byPod.set(keyOf(answer.uid, ip), answer.interface);
    }
    this.#answers = answers;
    this.#byPod = byPod;
  }

  /** null: none of a pod's; undefined: cannot be read now. */
  #read(name: string): Answer | null | undefined {
    try {
      return answerOf(JSON.parse(readFileSync(join(this.#dir, name), 'utf8')) as CacheFile, this.#isBridge);
    } catch {
      return undefined;
    }
  }
}

const keyOf = (uid: string, ip: string): string => `${uid} ${ip}`;

/** Pure. null: no interface of a Kubernetes pod. */
export function answerOf(file: CacheFile, isBridge: (name: string) => boolean): Answer | null {
  const {ifName, cniArgs, result} = file;
  if (ifName === 'lo' || !Array.isArray(cniArgs) || !Array.isArray(result?.ips)) return null;
  const uid = (cniArgs as unknown[]).flatMap((pair) =>
    Array.isArray(pair) && pair[0] === 'K8S_POD_UID' && typeof pair[1] === 'string' ? [pair[1]] : [],
  )[0];
  if (uid === undefined) return null;
  const interfaces = Array.isArray(result.interfaces)
    ? (result.interfaces as {name?: unknown; sandbox?: unknown}[])
    : [];
  // Those with a sandbox are inside of pods; a bridge is nobody's own.
  const onNode = interfaces.flatMap(({name, sandbox}) =>
    typeof name === 'string' && (sandbox === undefined || sandbox === '') && !isBridge(name) ? [name] : [],
  );
  const ips = (result.ips as {address?: unknown}[]).flatMap(({address}) =>
    typeof address === 'string' ? [address.split('/')[0]!] : [],
  );
  return {uid, interface: onNode.length === 1 ? onNode[0]! : null, ips};
}
