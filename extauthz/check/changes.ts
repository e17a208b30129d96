/**
 * Header changes as Envoy carries them out (measured on 1.36 to 1.40). In `ok_response.headers` only `append` counts: false
 * overwrites all lines of the name, true joins a value to a line that is there and is dropped where there is none. First what
 * overwrites, then what appends, then `headers_to_remove`.
 */
import type {HeaderLines, Mutations} from '../../policy/index.ts';

export interface Change {
  readonly name: string;
  readonly value: string;
  readonly append: boolean;
}

export interface Changes {
  readonly headers: readonly Change[];
  readonly remove: readonly string[];
}

export const NO_CHANGES: Changes = {headers: [], remove: []};

/** What a rule changes in a request of these lines. */
export function changesOf({set, add, remove}: Mutations, lines: HeaderLines): Changes {
  const headers: Change[] = [];
  for (const name in set) headers.push({name, value: set[name]!, append: false});
  for (const name in add) {
    const there = Object.hasOwn(set, name) || (!remove.includes(name) && isThere(lines, name));
    headers.push({name, value: add[name]!, append: there});
  }
  // Removal comes last in Envoy, so that what is removed and added is an overwriting.
  const gone = remove.length === 0 ? remove : remove.filter((name) => !Object.hasOwn(add, name));
  return headers.length === 0 && gone.length === 0 ? NO_CHANGES : {headers, remove: gone};
}

function isThere(lines: HeaderLines, name: string): boolean {
  for (let i = 0; i < lines.length; i += 2) if (lines[i]!.toLowerCase() === name) return true;
  return false;
}

/** Last word on Proxy-Authorization: what the parent wants is sent, whatever the client and the rule say. */
export function withAuthorization({headers, remove}: Changes, value: string): Changes {
  const name = 'proxy-authorization';
  return {
    headers: [{name, value, append: false}, ...headers.filter((one) => one.name.toLowerCase() !== name)],
    remove: remove.filter((one) => one.toLowerCase() !== name),
  };
}

/** The lines with a rule's changes, as the other enforcement point would send them. */
export function mutated(lines: HeaderLines, {set, add, remove}: Mutations): HeaderLines {
  const out: string[] = [];
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = lines[i]!.toLowerCase();
    if (!Object.hasOwn(set, name) && !remove.includes(name)) out.push(lines[i]!, lines[i + 1]!);
  }
  for (const name in set) out.push(name, set[name]!);
  for (const name in add) out.push(name, add[name]!);
  return out;
}

/** What makes `after` of `before`; several lines of one name that changed come as one, joined. */
export function difference(before: HeaderLines, after: HeaderLines): Changes {
  const old = byName(before);
  const now = byName(after);
  const headers: Change[] = [];
  const remove: string[] = [];
  for (const [name, values] of now) {
    const had = old.get(name);
    if (had !== undefined && had.length === values.length && had.every((value, i) => value === values[i])) continue;
    values.forEach((value, i) => headers.push({name, value, append: i > 0}));
  }
  for (const name of old.keys()) if (!now.has(name)) remove.push(name);
  headers.sort((a, b) => Number(a.append) - Number(b.append));
  return headers.length === 0 && remove.length === 0 ? NO_CHANGES : {headers, remove};
}

function byName(lines: HeaderLines): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = lines[i]!.toLowerCase();
    const values = found.get(name);
    if (values === undefined) found.set(name, [lines[i + 1]!]);
    else values.push(lines[i + 1]!);
  }
  return found;
}
