/** What a pod asks for: one predicate for each reason not to touch it, the first that holds wins. */
import {ANNOTATIONS, LABELS} from '../runtime/names.ts';
import type {Namespace, Pod} from './pod.ts';
import type {Installation} from './settings.ts';
import {wrongWord} from './words.ts';

export const MODES = ['tproxy', 'proxy-env', 'mesh'] as const;
export type Mode = (typeof MODES)[number];

/** Why a pod is left as it is; closed, and shown in the audit annotation. */
export type SkipReason = 'OwnNamespace' | 'SystemNamespace' | 'WindowsPod' | 'OptedOut' | 'NotAsked';

export type Choice =
  | {readonly kind: 'inject'; readonly mode: Mode}
  | {readonly kind: 'skip'; readonly reason: SkipReason}
  /** The pod asks for something that does not exist: it is refused, since guessing would leave it unguarded. */
  | {readonly kind: 'refuse'; readonly message: string};

/** The label or annotation that says it, and what it says. */
interface Said {
  readonly key: string;
  readonly value: string;
}

/** Reads labels and annotations, the pod's before its namespace's. */
export function choose(pod: Pod, namespace: Namespace, installation: Installation): Choice {
  const skip = SKIPS.find(([, holds]) => holds(pod, namespace, installation));
  if (skip !== undefined) return {kind: 'skip', reason: skip[0]};

  const inject = wish(pod, namespace, LABELS.inject);
  if (inject !== null && inject.value !== 'true' && inject.value !== 'false') return refuse(inject, ['true', 'false']);
  if (inject?.value === 'false') return {kind: 'skip', reason: 'OptedOut'};

  const mode = wish(pod, namespace, LABELS.mode);
  if (mode !== null) {
    const known = MODES.find((m) => m === mode.value);
    return known === undefined ? refuse(mode, MODES) : {kind: 'inject', mode: known};
  }
  const tutorial = pod.metadata.annotations?.[ANNOTATIONS.tutorial];
  if (tutorial !== undefined && annotationsCount(namespace)) {
    if (tutorial !== 'true' && tutorial !== 'false')
      return refuse({key: ANNOTATIONS.tutorial, value: tutorial}, ['true', 'false']);
    if (tutorial === 'true') return {kind: 'inject', mode: 'tproxy'};
  }
  return inject === null ? {kind: 'skip', reason: 'NotAsked'} : {kind: 'inject', mode: installation.defaultMode};
}

/** Whether annotations of the namespace's pods are read: a webhook's objectSelector cannot see them, so the namespace has to let them in. */
export function annotationsCount(namespace: Namespace): boolean {
  return namespace.labels[LABELS.injection] === 'enabled';
}

/** What the pod, or else its namespace, says under one key; null: nothing. A label is before the annotation of the same name. */
export function wish(pod: Pod, namespace: Namespace, key: string): Said | null {
  const {labels = {}, annotations = {}} = pod.metadata;
  const counts = annotationsCount(namespace);
  const value = labels[key] ?? (counts ? (annotations[key] ?? namespace.labels[key]) : undefined);
  return value === undefined ? null : {key, value};
}

type Predicate = (pod: Pod, namespace: Namespace, installation: Installation) => boolean;

/** None of these can be reached by a label: what is ours, and what the cluster needs to come up, is not held back by us. */
const SKIPS: readonly (readonly [SkipReason, Predicate])[] = [
  ['OwnNamespace', (_pod, namespace, installation) => namespace.name === installation.namespace],
  ['SystemNamespace', (_pod, namespace) => namespace.name === 'kube-system' || namespace.name === 'kube-node-lease'],
  ['WindowsPod', ({spec}) => spec.os?.name === 'windows' || spec.nodeSelector?.['kubernetes.io/os'] === 'windows'],
];

function refuse({key, value}: Said, choices: readonly string[]): Choice {
  return {kind: 'refuse', message: wrongWord(key, value, choices)};
}
