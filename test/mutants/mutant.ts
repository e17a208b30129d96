/** Each breaks one guard of DESIGN §10 or POLICY.md. `find` stands exactly once in `file`; `tests` are the files that must notice. */
export interface Mutant {
  /** What the broken program does. */
  readonly name: string;
  /** The invariant (by its number) or the sentence of POLICY.md that it breaks. */
  readonly guards: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly tests: readonly string[];
}
