/** What the agents say, and whether they still say anything: by node. */
import {reportOf, SILENT_AFTER_MS, type NodeReport} from '../node-report/report.ts';
import type {KubeConfig, KubernetesObject} from '@kubernetes/client-node';
import {startReflector, type Reflector} from '../reflector.ts';
import {nodeSays, type NodeSays} from './enforced.ts';

export interface NodesOptions {
  readonly config: KubeConfig;
  /** Something that is known of this node has changed. */
  readonly onChange: (node: string) => void;
  readonly onSynced: () => void;
  readonly onTrouble: (message: string, retryMs: number) => void;
  /** An agent's report whose node is gone. */
  readonly onOrphan: (node: string) => void;
}

export interface Nodes {
  says(node: string): NodeSays | undefined;
  /** The node's own; null where it is not known. */
  bootId(node: string): string | null;
  /** Of the agents that are there, and that still say something. */
  reports(): Iterable<readonly [node: string, report: NodeReport]>;
  synced(): boolean;
  stop(): void;
}

/** How often it is looked at who has become silent. */
const SILENCE_LOOK_MS = 10_000;

interface Heard {
  readonly report: NodeReport;
  /** The agent's clock. */
  readonly heartbeat: string;
  /** Of the object: whatever is written makes another one. */
  readonly version: string;
}

interface Voice {
  readonly report: NodeReport;
  readonly version: string;
  /** By our clock: when it was last heard of. */
  readonly atMs: number;
  readonly says: NodeSays;
}

export function watchNodes(options: NodesOptions): Nodes {
  const {config, onChange, onSynced, onTrouble} = options;
  const voices = new Map<string, Voice>();
  const agents: Reflector<Heard> = startReflector<Heard>({
    ...{config, onTrouble},
    resource: {
      ...{apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressNode'},
      path: '/apis/sallyport.dev/v1alpha1/egressnodes',
    },
    keep: heard,
    onChange: (node, now) => {
      const before = voices.get(node);
      // Listed again: no sign of life.
      if (now !== null && before?.version === now.version) return;
      if (now === null) voices.delete(node);
      else {
        const {report, heartbeat, version} = now;
        const atMs = performance.now() - (before === undefined ? ageMs(heartbeat) : 0);
        const silent = performance.now() - atMs >= SILENT_AFTER_MS;
        const same = before !== undefined && before.says.silent === silent && sameReport(before.report, report);
        voices.set(node, {report, version, atMs, says: same ? before.says : nodeSays(report, silent)});
        // Most of what comes are signs of life.
        if (same) return;
      }
      onChange(node);
      orphan(node);
    },
    onSynced: () => settled(),
  });
  const nodes: Reflector<{bootId: string | null}> = startReflector<{bootId: string | null}>({
    ...{config, onTrouble},
    resource: {apiVersion: 'v1', kind: 'Node', path: '/api/v1/nodes'},
    // Empty before the kubelet has written it.
    keep: (object) => ({bootId: (object as Node).status?.nodeInfo?.bootID || null}),
    onChange: (node, now) => {
      onChange(node);
      if (now === null) orphan(node);
    },
    onSynced: () => settled(),
  });
  const synced = (): boolean => agents.synced() && nodes.synced();
  const orphan = (node: string): void => {
    if (synced() && voices.has(node) && !nodes.store.has(node)) options.onOrphan(node);
  };
  const settled = (): void => {
    if (!synced()) return;
    for (const node of voices.keys()) orphan(node);
    onSynced();
  };
  const look = setInterval(() => {
    const now = performance.now();
    for (const [node, voice] of voices) {
      if (voice.says.silent || now - voice.atMs < SILENT_AFTER_MS) continue;
      voices.set(node, {...voice, says: nodeSays(voice.report, true)});
      onChange(node);
    }
  }, SILENCE_LOOK_MS);
  return {
    says: (node) => voices.get(node)?.says,
    bootId: (node) => nodes.store.get(node)?.bootId ?? null,
    *reports() {
      for (const [node, {report, says}] of voices) if (!says.silent) yield [node, report] as const;
    },
    synced,
    stop() {
      clearInterval(look);
      agents.stop();
      nodes.stop();
    },
  };
}

interface Node extends KubernetesObject {
  readonly status?: {readonly nodeInfo?: {readonly bootID?: string}};
}

function heard(object: KubernetesObject): Heard | null {
  const report = reportOf(object);
  const {heartbeatTime = ''} = (object as {status?: {heartbeatTime?: string}}).status ?? {};
  return report === null ? null : {report, heartbeat: heartbeatTime, version: object.metadata?.resourceVersion ?? ''};
}

/** How long ago by the agent's clock: all that whoever has just begun to listen can go by. At most what makes it silent. */
function ageMs(heartbeat: string): number {
  const age = Date.now() - Date.parse(heartbeat);
  return Number.isNaN(age) ? SILENT_AFTER_MS : Math.min(Math.max(age, 0), SILENT_AFTER_MS);
}

const sameReport = (a: NodeReport, b: NodeReport): boolean => JSON.stringify(a) === JSON.stringify(b);
