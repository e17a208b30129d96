/**
 * What a pod asks of us by its labels and annotations: one reading for the webhook, which sees the pod before it is there, and
 * for the node's agent, which sees it whether or not the webhook did. Pure.
 */
import {ANNOTATIONS, LABELS} from '../runtime/names.ts';

export const MODES = ['tproxy', 'proxy-env', 'mesh'] as const;
export type Mode = (typeof MODES)[number];

type Texts = Readonly<Record<string, string>>;

export interface Marked {
  readonly labels: Texts;
  readonly annotations: Texts;
}

/** The label or annotation that says it, and what it says. */
export interface Said {
  readonly key: string;
  readonly value: string;
}

export type Asked =
  | {readonly kind: 'mode'; readonly mode: Mode}
  /** To be injected, as the installation does it by default. */
  | {readonly kind: 'default'}
  | {readonly kind: 'opted-out'}
  | {readonly kind: 'nothing'}
  /** A word that does not exist. */
  | {readonly kind: 'wrong'; readonly said: Said; readonly words: readonly string[]};

const BOOLEAN = ['true', 'false'] as const;

/** Reads labels and annotations, the pod's before its namespace's. */
export function askedMode(pod: Marked, namespaceLabels: Texts): Asked {
  const inject = wish(pod, namespaceLabels, LABELS.inject);
  if (inject !== null && !isOne(BOOLEAN, inject.value)) return {kind: 'wrong', said: inject, words: BOOLEAN};
  if (inject?.value === 'false') return {kind: 'opted-out'};

  const mode = wish(pod, namespaceLabels, LABELS.mode);
  if (mode !== null)
    return isOne(MODES, mode.value) ? {kind: 'mode', mode: mode.value} : {kind: 'wrong', said: mode, words: MODES};
  const tutorial = annotationsCount(namespaceLabels) ? pod.annotations[ANNOTATIONS.tutorial] : undefined;
  if (tutorial !== undefined && !isOne(BOOLEAN, tutorial))
    return {kind: 'wrong', said: {key: ANNOTATIONS.tutorial, value: tutorial}, words: BOOLEAN};
  if (tutorial === 'true') return {kind: 'mode', mode: 'tproxy'};
  return inject === null ? {kind: 'nothing'} : {kind: 'default'};
}

/** Whether annotations of the namespace's pods are read: a webhook's objectSelector cannot see them, so the namespace has to let them in. */
export function annotationsCount(namespaceLabels: Texts): boolean {
  return namespaceLabels[LABELS.injection] === 'enabled';
}

/** What the pod, or else its namespace, says under one key; null: nothing. A label is before the annotation of the same name. */
export function wish({labels, annotations}: Marked, namespaceLabels: Texts, key: string): Said | null {
  const counts = annotationsCount(namespaceLabels);
  const value = labels[key] ?? (counts ? (annotations[key] ?? namespaceLabels[key]) : undefined);
  return value === undefined ? null : {key, value};
}

function isOne<T extends string>(words: readonly T[], word: string): word is T {
  return (words as readonly string[]).includes(word);
}
