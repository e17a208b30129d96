/**
 * Which events are written, and when: a state machine on plain values. A denial that comes for the first time is told at once;
 * that it comes again is added to its event now and then; what is too much is counted and not told (the log has it all).
 */
import {randomBytes} from 'node:crypto';
import type {DenialCount} from '../../runtime/denials.ts';
import {TokenBucket} from '../../runtime/token-bucket.ts';

export const EVENT_LIMITS = {
  /** Events under way; a node has some hundred pods. */
  series: 2_000,
  /** Of one pod, a handful is read; the rest would hide it. */
  seriesPerPod: 16,
  /** Writes of one pod at once, and after that one in so many seconds. */
  podBurst: 10,
  podEverySeconds: 30,
  /** Writes of this process: etcd is everybody's. 200 agents at once are 1,000 a second for twenty seconds at the worst. */
  burst: 100,
  perSecond: 5,
  /** How often an event that comes again is brought up to date. */
  againMs: 60_000,
  /** What has not come for so long has ended; when it comes again it is another event. */
  endedMs: 600_000,
} as const;

const UNIQUE_BYTES = 8;

/** What to write: `create` where nothing is there yet. */
export interface EventWrite {
  readonly denial: DenialCount;
  readonly unique: string;
  readonly count: number;
  readonly create: boolean;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}

interface Series {
  readonly denial: DenialCount;
  unique: string;
  firstAtMs: number;
  count: number;
  lastAtMs: number;
  /** null: not written yet. */
  written: {readonly count: number; readonly atMs: number} | null;
  /** Being written: it is not taken a second time. */
  busy: boolean;
}

export class EventSeriesTable {
  readonly #series = new Map<string, Series>();
  readonly #pods = new Map<string, {series: number; readonly bucket: TokenBucket}>();
  readonly #all = new TokenBucket(EVENT_LIMITS.burst, EVENT_LIMITS.perSecond);
  #suppressed = 0;

  /** `nowMs`: any clock that goes on; the same for each call. */
  add(denials: readonly DenialCount[], nowMs: number): void {
    for (const denial of denials) {
      const key = keyOf(denial);
      const known = this.#series.get(key);
      if (known !== undefined) {
        known.count += denial.count;
        known.lastAtMs = nowMs;
        continue;
      }
      const {uid} = denial.pod;
      let pod = this.#pods.get(uid);
      if (this.#series.size >= EVENT_LIMITS.series || (pod?.series ?? 0) >= EVENT_LIMITS.seriesPerPod) {
        this.#suppressed += denial.count;
        continue;
      }
      if (pod === undefined) {
        const bucket = new TokenBucket(EVENT_LIMITS.podBurst, 1 / EVENT_LIMITS.podEverySeconds);
        this.#pods.set(uid, (pod = {series: 0, bucket}));
      }
      pod.series++;
      const unique = randomBytes(UNIQUE_BYTES).toString('hex');
      const {count} = denial;
      this.#series.set(key, {denial, unique, count, firstAtMs: nowMs, lastAtMs: nowMs, written: null, busy: false});
    }
  }

  /** What may be written now, each until `settled` says how it went. What has ended is forgotten. */
  due(nowMs: number): EventWrite[] {
    const writes: EventWrite[] = [];
    for (const [key, series] of this.#series) {
      const {denial, unique, count, firstAtMs, lastAtMs, written, busy} = series;
      if (busy) continue;
      if (nowMs - lastAtMs >= EVENT_LIMITS.endedMs) {
        this.#forget(key, series);
        continue;
      }
      const news = written === null || written.count < count;
      if (news && (written === null || nowMs - written.atMs >= EVENT_LIMITS.againMs)) {
        const {bucket} = this.#pods.get(denial.pod.uid)!;
        // Of a pod's own first, so that one that is noisy takes nothing from the others.
        if (bucket.take(nowMs) && this.#all.take(nowMs)) {
          series.busy = true;
          writes.push({denial, unique, count, firstAtMs, lastAtMs, create: written === null});
        }
      }
    }
    return writes;
  }

  /** `gone`: its namespace is, or (of one that was there) it ran out and has to be made anew. */
  settled({denial, count, create}: EventWrite, how: 'written' | 'failed' | 'gone', nowMs: number): void {
    const key = keyOf(denial);
    const series = this.#series.get(key);
    if (series === undefined) return;
    series.busy = false;
    if (how === 'written') series.written = {count, atMs: nowMs};
    else if (how === 'gone' && create) this.#forget(key, series);
    else if (how === 'gone') {
      series.count -= series.written!.count;
      series.firstAtMs = series.lastAtMs;
      series.unique = randomBytes(UNIQUE_BYTES).toString('hex');
      series.written = null;
    }
  }

  /** Denials that no event tells of, since the last time. */
  takeSuppressed(): number {
    const taken = this.#suppressed;
    this.#suppressed = 0;
    return taken;
  }

  get size(): number {
    return this.#series.size;
  }

  #forget(key: string, {denial, count, written}: Series): void {
    this.#series.delete(key);
    this.#suppressed += count - (written?.count ?? 0);
    const pod = this.#pods.get(denial.pod.uid)!;
    // Its bucket is kept as long as it has something under way.
    if (--pod.series === 0) this.#pods.delete(denial.pod.uid);
  }
}

const keyOf = ({pod, verdict, reason, policy, rule, destination}: DenialCount): string =>
  [pod.uid, verdict, reason, policy?.namespace ?? '', policy?.name ?? '', rule ?? '', destination ?? ''].join('\n');
