/** The difference of two values as a JSON Patch (RFC 6902), as the API server takes it from a webhook. */

export type Operation =
  | {readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown}
  | {readonly op: 'remove'; readonly path: string};

/**
 * What turns `before` into `after`; empty where the two say the same. Entries of a list are told apart by their names where
 * they have some, else by their places.
 */
export function patchOf(before: unknown, after: unknown): Operation[] {
  const operations: Operation[] = [];
  compare(before, after, '', operations);
  return operations;
}

function compare(before: unknown, after: unknown, path: string, out: Operation[]): void {
  if (Object.is(before, after)) return;
  if (Array.isArray(before) && Array.isArray(after)) return compareLists(before, after, path, out);
  if (isMapping(before) && isMapping(after)) return compareMappings(before, after, path, out);
  out.push({op: 'replace', path, value: after});
}

function compareLists(before: readonly unknown[], after: readonly unknown[], path: string, out: Operation[]): void {
  const names = {before: namesOf(before), after: namesOf(after)};
  if (names.before === 'ambiguous' || names.after === 'ambiguous') return compareWhole(before, after, path, out);
  if (names.before !== null && names.after !== null)
    return compareNamed(before, names.before, after, names.after, path, out);
  const both = Math.min(before.length, after.length);
  for (let i = 0; i < both; i++) compare(before[i], after[i], `${path}/${i}`, out);
  for (let i = both; i < after.length; i++) out.push({op: 'add', path: `${path}/-`, value: after[i]});
  for (let i = before.length - 1; i >= both; i--) out.push({op: 'remove', path: `${path}/${i}`});
}

/** Containers, volumes, variables: entries with one name each are the same entry wherever they stand. */
function compareNamed(
  before: readonly unknown[],
  namesBefore: readonly string[],
  after: readonly unknown[],
  namesAfter: readonly string[],
  path: string,
  out: Operation[],
): void {
  const kept = namesBefore.filter((name) => namesAfter.includes(name));
  if (!isSubsequence(kept, namesAfter)) return void out.push({op: 'replace', path, value: after});
  for (let i = before.length - 1; i >= 0; i--)
    if (!namesAfter.includes(namesBefore[i]!)) out.push({op: 'remove', path: `${path}/${i}`});
  let next = 0;
  for (let i = 0; i < after.length; i++) {
    if (namesAfter[i] === kept[next])
      compare(before[namesBefore.indexOf(kept[next++]!)], after[i], `${path}/${i}`, out);
    else out.push({op: 'add', path: `${path}/${i}`, value: after[i]});
  }
}

/** Two entries of one name, as two variables may be: which of them is which nobody can say, so the list is replaced as it is. */
function compareWhole(before: readonly unknown[], after: readonly unknown[], path: string, out: Operation[]): void {
  const same = before.length === after.length && before.every((entry, i) => patchOf(entry, after[i]).length === 0);
  if (!same) out.push({op: 'replace', path, value: after});
}

/** The entries' names; null where one has none. */
function namesOf(list: readonly unknown[]): readonly string[] | 'ambiguous' | null {
  const names = list.map((entry) => (isMapping(entry) ? entry['name'] : undefined));
  if (!names.every((name) => typeof name === 'string')) return null;
  return new Set(names).size === names.length ? names : 'ambiguous';
}

function isSubsequence(few: readonly string[], many: readonly string[]): boolean {
  let found = 0;
  for (const name of many) if (name === few[found]) found++;
  return found === few.length;
}

type Mapping = Readonly<Record<string, unknown>>;

function compareMappings(before: Mapping, after: Mapping, path: string, out: Operation[]): void {
  for (const key of Object.keys(before)) if (!has(after, key)) out.push({op: 'remove', path: `${path}/${escape(key)}`});
  for (const [key, value] of Object.entries(after)) {
    if (value === undefined) continue;
    if (!has(before, key)) out.push({op: 'add', path: `${path}/${escape(key)}`, value});
    else compare(before[key], value, `${path}/${escape(key)}`, out);
  }
}

/** Not `in`: a label may be called `constructor`. */
function has(mapping: Mapping, key: string): boolean {
  return Object.hasOwn(mapping, key) && mapping[key] !== undefined;
}

function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** RFC 6901 §3. */
const escape = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1');
