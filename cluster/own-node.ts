/**
 * The Node object of the node that we are on: the addresses that it gives to its pods, and the taint that keeps pods away until
 * somebody holds them. Asked for by its name, since whoever may list nodes sees all of them.
 */
import {
  CoreV1Api,
  PatchStrategy,
  setHeaderOptions,
  type ConfigurationOptions,
  type KubeConfig,
  type V1Node,
} from '@kubernetes/client-node';
import {isDeepStrictEqual} from 'node:util';
import {parseCidr} from '../policy/index.ts';
import type {Journal} from '../runtime/journal.ts';
import {NOT_READY_TAINT} from '../runtime/names.ts';

export interface OwnNodeOptions {
  readonly config: KubeConfig;
  readonly name: string;
  /** Whether pods are held on this node: then the taint goes. It is put back by nobody (docs/NODE.md). */
  readonly ready: () => boolean;
  /**
   * The node's pod addresses as CIDRs, at first and when they change; none where the CNI allots them by itself. Resolves when they
   * are in force; where it rejects it is told again.
   */
  readonly onPodCidrs: (cidrs: readonly string[]) => Promise<void>;
  readonly journal: Journal;
  readonly timing?: OwnNodeTiming;
}

export interface OwnNodeTiming {
  /** Between two looks at whether we are ready; and between two tries where the API server does not answer. */
  readonly lookMs: number;
  /** Between two looks at a node that is as it should be: somebody may taint it again. */
  readonly againMs: number;
}

export interface OwnNode {
  /** Whether its pod addresses have been told, and are in force. */
  readonly known: boolean;
  close(): void;
}

const TIMING: OwnNodeTiming = {lookMs: 1_000, againMs: 30_000};
const JSON_PATCH: ConfigurationOptions = setHeaderOptions('Content-Type', PatchStrategy.JsonPatch);

/** Starts at once. */
export function startOwnNode(options: OwnNodeOptions): OwnNode {
  return new NodeOfOurs(options);
}

class NodeOfOurs implements OwnNode {
  readonly #options: OwnNodeOptions;
  readonly #timing: OwnNodeTiming;
  readonly #api: CoreV1Api;
  #cidrs: readonly string[] | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** When the object is asked for again though nothing is missing. */
  #dueMs = 0;
  #trouble: string | null = null;
  #closed = false;

  constructor(options: OwnNodeOptions) {
    this.#options = options;
    this.#timing = options.timing ?? TIMING;
    this.#api = options.config.makeApiClient(CoreV1Api);
    void this.#look();
  }

  get known(): boolean {
    return this.#cidrs !== null;
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const {ready} = this.#options;
    if (this.#cidrs === null || (ready() && performance.now() >= this.#dueMs)) {
      try {
        await this.#follow();
        this.#trouble = null;
      } catch (error) {
        this.#troubled((error as Error).message.split('\n')[0]!);
      }
    }
    if (!this.#closed) this.#timer = setTimeout(() => void this.#look(), this.#timing.lookMs);
  }

  async #follow(): Promise<void> {
    const {name, ready, onPodCidrs, journal} = this.#options;
    const node = await this.#api.readNode({name});
    if (this.#closed) return;
    const cidrs = podCidrsOf(node);
    if (!isDeepStrictEqual(cidrs, this.#cidrs)) {
      await onPodCidrs(cidrs);
      this.#cidrs = cidrs;
    }
    if (!ready()) return;
    const body = withoutTaint(node);
    if (body !== null) {
      await this.#api.patchNode({name, body}, JSON_PATCH);
      journal.notice('info', 'node.untainted', `pods are held on ${name}: the taint ${NOT_READY_TAINT} is removed`);
    }
    this.#dueMs = performance.now() + this.#timing.againMs;
  }

  #troubled(message: string): void {
    if (this.#closed || message === this.#trouble) return;
    this.#trouble = message;
    const {name, journal} = this.#options;
    journal.notice('error', 'node.away', `the node ${name} cannot be read, or its taint not removed: ${message}`);
  }
}

/** What is no CIDR is left out: it would be in the ruleset. */
export function podCidrsOf({spec}: V1Node): readonly string[] {
  const cidrs = spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR]);
  return [...new Set(cidrs)].filter((cidr) => cidr.includes('/') && parseCidr(cidr) !== null);
}

/** The taint alone, by a patch that fails where it is not the one that was read; null: it is not there. */
export function withoutTaint({spec}: V1Node): object[] | null {
  const at = (spec?.taints ?? []).findIndex(({key}) => key === NOT_READY_TAINT);
  if (at < 0) return null;
  const path = `/spec/taints/${at}`;
  return [
    {op: 'test', path: `${path}/key`, value: NOT_READY_TAINT},
    {op: 'remove', path},
  ];
}
