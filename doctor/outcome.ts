/** What a check found, and what a report makes of it. Pure. */

/** What one check says of what it looked at. */
export type Outcome =
  | {readonly kind: 'ok'; readonly found: string}
  /** Enforced now, but not as it should be, or not for long. */
  | {readonly kind: 'warn'; readonly found: string; readonly fix: string}
  /** Something is not enforced, or would not be. */
  | {readonly kind: 'fail'; readonly found: string; readonly fix: string}
  /** It could not look, which proves nothing: not the same as ok. */
  | {readonly kind: 'blind'; readonly found: string; readonly fix: string};

export const ok = (found: string): Outcome => ({kind: 'ok', found});
export const warn = (found: string, fix: string): Outcome => ({kind: 'warn', found, fix});
export const fail = (found: string, fix: string): Outcome => ({kind: 'fail', found, fix});
export const blind = (found: string, fix: string): Outcome => ({kind: 'blind', found, fix});

/** One thing that may be wrong; several of them make one line. */
export interface Problem {
  readonly grave: boolean;
  readonly found: string;
  readonly fix: string;
}

export const grave = (found: string, fix: string): Problem => ({grave: true, found, fix});
export const minor = (found: string, fix: string): Problem => ({grave: false, found, fix});

/** A line names so many of its problems; a thousand pods with one cause are one cause. */
const MAX_NAMED = 3;

/** `good` where there is no problem; the gravest first, each fix once. */
export function verdictOf(problems: readonly Problem[], good: string): Outcome {
  if (problems.length === 0) return ok(good);
  const ordered = [...problems].sort((a, b) => Number(b.grave) - Number(a.grave));
  const named = ordered.slice(0, MAX_NAMED);
  const more = ordered.length - named.length;
  const found = `${named.map((problem) => problem.found).join('; ')}${more === 0 ? '' : `; and ${more} more`}`;
  const fix = [...new Set(named.map((problem) => problem.fix))].join(' ');
  return ordered[0]!.grave ? fail(found, fix) : warn(found, fix);
}

/** One cause is told once, however many objects share it. */
export const oncePerCause = (problems: readonly Problem[]): Problem[] => [
  ...new Map(problems.map((problem) => [problem.found, problem])).values(),
];
