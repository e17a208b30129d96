/** What our labels and annotations may say. A word that does not exist is refused: guessing could leave a pod unguarded. */
import {closest} from '../runtime/closest.ts';
import {ANNOTATIONS, LABELS} from '../runtime/names.ts';
import type {Pod} from './pod.ts';

const BOOLEAN = ['true', 'false'] as const;

/** The keys whose values are words of a list; a choice of mode is read, and refused, in choice.ts, and mTLS in mtls.ts. */
const WORDS: readonly (readonly [string, readonly string[]])[] = [
  [LABELS.capture, ['node', 'pod']],
  [ANNOTATIONS.allProxy, BOOLEAN],
  [ANNOTATIONS.systemTrust, BOOLEAN],
  [ANNOTATIONS.trustsCa, BOOLEAN],
];

/** `key is "yes": write one of true, false.` */
export function wrongWord(key: string, value: string, words: readonly string[]): string {
  return `${key} is ${JSON.stringify(value)}: write one of ${words.join(', ')}.`;
}

/** What is wrong with the words of a pod, as sentences with the fix; empty: nothing. */
export function wrongWords({metadata: {labels = {}, annotations = {}}}: Pod): string[] {
  return WORDS.flatMap(([key, words]) =>
    [labels[key], annotations[key]]
      .filter((value) => value !== undefined && !words.includes(value))
      .map((value) => wrongWord(key, value!, words)),
  );
}

const PREFIX = 'sallyport.dev/';
const KEYS: readonly string[] = [...Object.values(LABELS), ...Object.values(ANNOTATIONS)];

/** Keys of ours that do not exist: `sallyport.dev/modes` guards nothing, and its author thinks that it does. */
export function unknownKeys({metadata: {labels = {}, annotations = {}}}: Pod): string[] {
  return [...Object.keys(labels), ...Object.keys(annotations)]
    .filter((key) => key.startsWith(PREFIX) && !KEYS.includes(key))
    .map((key) => {
      const near = closest(key, KEYS);
      return `there is no ${key}${near === null ? '' : `: did you mean ${near}?`}`;
    });
}
