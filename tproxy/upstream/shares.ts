/** What one workload has of the legs to servers and of the bytes on them, so that one cannot take it all (invariant 8). */
import type {H2Leg} from './leg-h2.ts';
import {LIMITS} from './limits.ts';

export class Share {
  /** Slots of the pool that count here. */
  slots = 0;
  /** Its idle HTTP/1 legs. */
  idleLegs = 0;
  /** Its HTTP/2 sessions, oldest first. */
  readonly sessions = new Set<H2Leg>();
  /** HTTP/2 sessions that are being opened. */
  opening = 0;
  /** Request bodies kept so that they can be sent again. */
  replayBytes = 0;

  get empty(): boolean {
    return this.slots === 0 && this.replayBytes === 0;
  }

  /** Whether more of a body may be kept; counts it. */
  keep(bytes: number): boolean {
    this.replayBytes += bytes;
    return this.replayBytes <= LIMITS.maxReplayBytesPerWorkload;
  }

  /** Answers that wait for slow clients: where they are too many bytes, those that hold most are cut. */
  cutHoarders(): void {
    let held = 0;
    for (const session of this.sessions) held += session.waitingBytes();
    if (held <= LIMITS.maxWaitingBytesPerWorkload) return;
    const sessions = [...this.sessions].sort((a, b) => b.waitingBytes() - a.waitingBytes());
    for (const session of sessions) {
      held -= session.cutWaiting(held - LIMITS.maxWaitingBytesPerWorkload);
      if (held <= LIMITS.maxWaitingBytesPerWorkload) return;
    }
  }
}

export class Shares {
  readonly #of = new Map<string, Share>();

  of(workload: string): Share {
    let share = this.#of.get(workload);
    if (share === undefined) this.#of.set(workload, (share = new Share()));
    return share;
  }

  /** Kept for all workloads together, for metrics. */
  replayBytes(): number {
    let bytes = 0;
    for (const share of this.#of.values()) bytes += share.replayBytes;
    return bytes;
  }

  /** To be called by the coarse clock. */
  tick(): void {
    for (const [workload, share] of this.#of) {
      if (share.empty) this.#of.delete(workload);
      else share.cutHoarders();
    }
  }
}
