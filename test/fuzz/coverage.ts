/** Which blocks of the code under test have run, as V8 counts them: what tells the fuzzer that an input is a new one. */
import {Session} from 'node:inspector';
import type {Profiler} from 'node:inspector';

export interface Coverage {
  /** The blocks that ran since the last call, by numbers that are stable in this run. */
  take(): ReadonlySet<number>;
  /** Of all that ran since the start: how much of the source of the functions under test, from 0 to 1. */
  share(): number;
  close(): void;
}

/**
 * Block coverage of scripts whose path has one of `parts`, tests left out. Functions that were called before are compiled
 * without counters and seen as a whole, so this is called before the code under test has run.
 */
export function startCoverage(parts: readonly string[]): Coverage {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', {callCount: true, detailed: true});
  const numbers = new Map<string, number>();
  const ran = new Map<string, Uint8Array>();
  const scripts = new Map<string, boolean>();
  const wanted = (url: string): boolean => {
    let is = scripts.get(url);
    if (is === undefined) {
      is = parts.some((part) => url.includes(part)) && !url.includes('test');
      scripts.set(url, is);
    }
    return is;
  };
  const numberOf = (key: string): number => {
    let number = numbers.get(key);
    if (number === undefined) numbers.set(key, (number = numbers.size));
    return number;
  };
  const take = (): ReadonlySet<number> => {
    const blocks = new Set<number>();
    for (const script of taken(session)) {
      if (!wanted(script.url)) continue;
      let news = false;
      for (const {ranges} of script.functions)
        for (const {startOffset, endOffset, count} of ranges) {
          if (count === 0) continue;
          const known = numbers.size;
          blocks.add(numberOf(`${script.url}:${startOffset}:${endOffset}`));
          news ||= numbers.size > known;
        }
      if (news) paint(ran, script);
    }
    return blocks;
  };
  return {
    take,
    share() {
      take();
      let known = 0;
      let run = 0;
      for (const marks of ran.values())
        for (const mark of marks) {
          if (mark !== 0) known++;
          if (mark === RUN) run++;
        }
      return known === 0 ? 0 : run / known;
    },
    close: () => session.disconnect(),
  };
}

/** Of a character of the source: in a function, and in a block of it that ran. */
const KNOWN = 1;
const RUN = 2;

/** Marks the characters of the functions of a script: ranges come outside first, and what is inside overrides. */
function paint(ran: Map<string, Uint8Array>, {url, functions}: Profiler.ScriptCoverage): void {
  const length = Math.max(...functions.flatMap(({ranges}) => ranges.map(({endOffset}) => endOffset)));
  const marks = ran.get(url) ?? new Uint8Array(length);
  ran.set(url, marks);
  const now = new Uint8Array(length);
  for (const {ranges, functionName} of functions)
    for (const {startOffset, endOffset, count} of ranges)
      // The module's own code ran when it was imported.
      if (functionName !== '' || startOffset !== 0) now.fill(count === 0 ? KNOWN : RUN, startOffset, endOffset);
  for (let i = 0; i < length; i++) if (now[i]! > marks[i]!) marks[i] = now[i]!;
}

/** The inspector answers a session of the same thread before post() returns. */
function taken(session: Session): readonly Profiler.ScriptCoverage[] {
  let result: readonly Profiler.ScriptCoverage[] = [];
  session.post('Profiler.takePreciseCoverage', (error, answer) => {
    if (error !== null) throw new Error(`coverage cannot be had: ${error.message}`);
    result = answer.result;
  });
  return result;
}
