/**
 * Whether a process's event loop still turns: it is asked at each beat, and counts the beats in a row that it left unanswered.
 * Beats and not a clock: a supervisor that was itself stopped for a minute (a paused machine) has missed none of them.
 */
import type {ProcessorTime} from './processor-time.ts';

/** How often a worker is asked. */
export const BEAT_MS = 1_000;
/** One beat may be late on a busy machine; a worker that missed two decides nothing at the moment, and is not counted as ready. */
export const SILENT_AFTER_BEATS = 2;
/**
 * A worker that missed so many hangs: its connections stand still, and the kernel goes on giving it new ones. Nothing that it
 * does between two turns of its loop takes a second, but for the two cases below.
 */
export const HUNG_AFTER_BEATS = 5;
/** While it loads its code (a cold disk, a machine that boots) or compiles a new state (100,000 documents take some seconds). */
export const HUNG_WHILE_BUSY_BEATS = 60;

/** Of a second's processor time, what a loop that turns for ever gets at least, unless others leave it none. */
const STARVED_BELOW = 0.5;

/**
 * Whether a silent process only waits for a processor: it would run, and since its first missed beat got less than half of
 * one. Killing it would cost its connections, and its successor would have to start on the same machine.
 */
export function isStarved(atFirstMissed: ProcessorTime, now: ProcessorTime, missedBeats: number): boolean {
  return now.state === 'R' && now.usedMs - atFirstMissed.usedMs < STARVED_BELOW * missedBeats * BEAT_MS;
}

export class Heartbeat {
  #missed = 0;

  /** The process is asked once more; answers how many questions before this one are unanswered. */
  beat(): number {
    return this.#missed++;
  }

  answered(): void {
    this.#missed = 0;
  }

  get silent(): boolean {
    // One question is always under way.
    return this.#missed > SILENT_AFTER_BEATS;
  }
}
