/** `matches()` by RE2: linear in the text, whatever the pattern (a backtracking engine is a denial of service). */
import {RE2JS} from 're2js';
import {Refusal, type Node} from './environment.ts';
import {MAX_PATTERN_INSTRUCTIONS} from './limits.ts';
import {spendOnSearch, UNKNOWN, type Evaluate} from './values.ts';

/** The pattern is compiled at load, so it has to be written down: one from the request would be the client's program. */
export function lowerMatches(call: Node, receiver: Evaluate, pattern: Node): Evaluate {
  if (pattern.op !== 'value' || typeof pattern.args !== 'string')
    throw new Refusal(call, 'matches() takes a pattern in quotes, not one that is made at run time');
  let program: RE2JS;
  try {
    program = RE2JS.compile(pattern.args);
  } catch (error) {
    throw new Refusal(pattern, `no RE2 pattern: ${(error as Error).message}`);
  }
  const instructions = program.programSize();
  if (instructions > MAX_PATTERN_INSTRUCTIONS)
    throw new Refusal(
      pattern,
      `the pattern compiles to ${instructions} instructions, more than ${MAX_PATTERN_INSTRUCTIONS}: use smaller repetitions`,
    );
  return (frame) => {
    const text = receiver(frame);
    if (typeof text !== 'string') return UNKNOWN;
    spendOnSearch(frame, text.length, instructions);
    return program.test(text);
  };
}
