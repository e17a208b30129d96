/** What is fuzzed: one reader of bytes that somebody else wrote, and what has to hold whatever they are. */

export interface Target {
  /** As `--target NAME` says it, and the folder of its corpus. */
  readonly name: string;
  /** What it reads, in a few words, for the table. */
  readonly reads: string;
  /** The parts of script paths whose coverage guides it: only new behaviour of these keeps an input. */
  readonly covers: readonly string[];
  /** Pieces of its language, put in whole: a mutation by bytes alone seldom writes `Transfer-Encoding`. */
  readonly dictionary: readonly string[];
  /** Inputs to begin with, beside those of the corpus. */
  readonly seeds: readonly (string | Buffer)[];
  /** Longer inputs are cut: limits are reached with small ones (the codec's are lowered), and short ones are readable. */
  readonly maxBytes: number;
  /**
   * Reads one input. Throws Broken where an invariant does not hold; whatever else it throws is a finding too. Answers what
   * kind of input it was (the kinds of events, the reason of a refusal): one of a kind not seen before is kept.
   */
  readonly run: (input: Buffer) => string;
}

/** An invariant that does not hold for an input. */
export class Broken extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'Broken';
  }
}

/** Compares two readings of the same bytes. As text first: there are millions, and the difference is for the one that fails. */
export function same(what: string, a: unknown, b: unknown): void {
  const [one, other] = [JSON.stringify(a), JSON.stringify(b)];
  if (one !== other) throw new Broken(`${what}:\n  ${one}\n  ${other}`);
}

export function hold(condition: boolean, what: string): void {
  if (!condition) throw new Broken(what);
}
