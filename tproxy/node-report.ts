/** What this node enforces, as its EgressNode says it: a pure function of what is known and of what is in the kernel. */
import {originOf} from '../cluster/documents.ts';
import type {NodeReport, PolicyInForce} from '../cluster/node-report/report.ts';
import {PolicyIndex} from '../cluster/policy-index.ts';
import type {Document} from '../policy/index.ts';
import type {Known} from '../sources/knowledge.ts';
import type {MissingRef} from '../sources/refs.ts';
import type {Hold, Member} from './capture/config.ts';

export interface InForce {
  readonly version: string;
  readonly bootId: string;
  readonly ready: boolean;
  /** By every worker. */
  readonly known: Known;
  /** In the kernel. */
  readonly held: readonly Member[];
  readonly missingRefs: readonly MissingRef[];
}

/** Lists in stable order: what is the same is not written again. */
export function nodeReport({version, bootId, ready, known, held, missingRefs}: InForce): NodeReport {
  return {
    ...{version, bootId, ready, missingRefs},
    policies: policiesHere(known),
    locked: uids(held, 'locked'),
    captured: uids(held, 'captured'),
  };
}

/** Held as its least: a pod is locked where each of its addresses is. */
function uids(held: readonly Member[], mode: Hold): string[] {
  const least = new Map<string, Hold>();
  for (const member of held) {
    const before = least.get(member.uid);
    if (before === undefined || ORDER.indexOf(member.mode) < ORDER.indexOf(before)) least.set(member.uid, member.mode);
  }
  return [...least]
    .filter(([, found]) => found === mode)
    .map(([uid]) => uid)
    .sort();
}
const ORDER: readonly Hold[] = ['free', 'sidecar', 'captured', 'locked'];

/** Those that select a pod of this node, for certain or perhaps. What came from no object of the cluster is nobody's to report. */
function policiesHere({documents, workloads}: Known): PolicyInForce[] {
  const index = new PolicyIndex();
  const by = new Map<string, Document>();
  for (const document of documents)
    if (document.kind !== 'UpstreamProxy') {
      const id = `${document.kind} ${document.namespace ?? ''}/${document.name}`;
      index.set(id, document);
      by.set(id, document);
    }
  const selecting = new Set(workloads.flatMap(({workload}) => index.selecting(workload)));
  return [...selecting].sort().flatMap((id) => {
    const document = by.get(id)!;
    const origin = originOf(document);
    if (origin === undefined || document.kind === 'UpstreamProxy') return [];
    const {kind, namespace, name} = document;
    return [{kind, namespace, name, ...origin}];
  });
}
