/** An object's status as it should be, as it is, and whether that is the same. Pure. */
import {isDeepStrictEqual} from 'node:util';
import type {Condition} from './conditions.ts';
import type {PodCounts} from './enforced.ts';

/** A condition as it stands in an object. */
export interface WrittenCondition extends Condition {
  readonly lastTransitionTime: string;
}

export interface Status {
  readonly conditions: readonly WrittenCondition[];
  readonly pods: PodCounts | null;
}

/** What of an object's status is ours; what is not as we write it is as if it were not there, and is written anew. */
export function statusIn(object: unknown): Status {
  const {conditions, pods} = (object as {status?: {conditions?: unknown; pods?: unknown}}).status ?? {};
  return {
    conditions: Array.isArray(conditions) ? (conditions as WrittenCondition[]) : [],
    pods: pods === undefined ? null : (pods as PodCounts),
  };
}

export interface Wish {
  readonly conditions: readonly Condition[];
  /** null: none. */
  readonly pods: PodCounts | null;
}

/** How what is wished for differs from what is there. `text`: in what people read, not in what they wait for. */
export type Difference = 'none' | 'text' | 'condition';

export function difference(now: Status, wish: Wish): Difference {
  let text = !isDeepStrictEqual(now.pods, wish.pods);
  if (now.conditions.length !== wish.conditions.length) return 'condition';
  for (const wished of wish.conditions) {
    const there = now.conditions.find(({type}) => type === wished.type);
    if (
      there?.status !== wished.status ||
      there.reason !== wished.reason ||
      there.observedGeneration !== wished.observedGeneration
    )
      return 'condition';
    text ||= there.message !== wished.message;
  }
  return text ? 'text' : 'none';
}

/** With the times of the last transitions: of each condition's status, not of its reason (metav1.Condition). */
export function toWrite(now: Status, {conditions, pods}: Wish, at: Date): Record<string, unknown> {
  const time = at.toISOString().replace(/\.\d+Z$/, 'Z');
  return {
    conditions: conditions.map((condition): WrittenCondition => {
      const there = now.conditions.find(({type}) => type === condition.type);
      const since = there?.status === condition.status ? there.lastTransitionTime : time;
      return {...condition, lastTransitionTime: since};
    }),
    ...(pods === null ? {} : {pods}),
  };
}
