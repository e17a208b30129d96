/** What a pod asks for: one predicate for each reason not to touch it, the first that holds wins. */
import {askedMode, type Mode} from '../cluster/asked-mode.ts';
import type {Namespace, Pod} from './pod.ts';
import type {Installation} from './settings.ts';
import {wrongWord} from './words.ts';

export type {Mode};

/** Why a pod is left as it is; closed, and shown in the audit annotation. */
export type SkipReason = 'OwnNamespace' | 'SystemNamespace' | 'WindowsPod' | 'OptedOut' | 'NotAsked';

export type Choice =
  | {readonly kind: 'inject'; readonly mode: Mode}
  | {readonly kind: 'skip'; readonly reason: SkipReason}
  /** The pod asks for something that does not exist: it is refused, since guessing would leave it unguarded. */
  | {readonly kind: 'refuse'; readonly message: string};

/** Reads labels and annotations, the pod's before its namespace's. */
export function choose(pod: Pod, namespace: Namespace, installation: Installation): Choice {
  const skip = SKIPS.find(([, holds]) => holds(pod, namespace, installation));
  if (skip !== undefined) return {kind: 'skip', reason: skip[0]};

  const {labels = {}, annotations = {}} = pod.metadata;
  const asked = askedMode({labels, annotations}, namespace.labels);
  switch (asked.kind) {
    case 'wrong':
      return {kind: 'refuse', message: wrongWord(asked.said.key, asked.said.value, asked.words)};
    case 'opted-out':
      return {kind: 'skip', reason: 'OptedOut'};
    case 'nothing':
      return {kind: 'skip', reason: 'NotAsked'};
    case 'default':
      return {kind: 'inject', mode: installation.defaultMode};
    case 'mode':
      return {kind: 'inject', mode: asked.mode};
  }
}

type Predicate = (pod: Pod, namespace: Namespace, installation: Installation) => boolean;

/** None of these can be reached by a label: what is ours, and what the cluster needs to come up, is not held back by us. */
const SKIPS: readonly (readonly [SkipReason, Predicate])[] = [
  ['OwnNamespace', (_pod, namespace, installation) => namespace.name === installation.namespace],
  ['SystemNamespace', (_pod, namespace) => namespace.name === 'kube-system' || namespace.name === 'kube-node-lease'],
  ['WindowsPod', ({spec}) => spec.os?.name === 'windows' || spec.nodeSelector?.['kubernetes.io/os'] === 'windows'],
];
