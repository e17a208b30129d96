/** nft's listing of our tables, taken apart: the rules as text, and the elements of each set. Pure. */

/** The sets of members change all the time and are compared element by element: these stay with the rules. */
const RULE_SETS = /^(special|refused)[46]$/;

/** A table as `nft -s list table` prints it, without the elements of the sets of members. */
export function withoutElements(listing: string): string {
  let set = '';
  let within = false;
  const kept: string[] = [];
  for (const line of listing.split('\n')) {
    const head = /^\s*set (\S+) \{$/.exec(line);
    if (head !== null) set = head[1]!;
    if (!within && /^\s*elements = \{/.test(line) && !RULE_SETS.test(set)) within = true;
    if (!within) kept.push(line);
    else if (line.trimEnd().endsWith('}')) within = false;
  }
  return kept.join('\n');
}

/**
 * What of a ruleset does not depend on who printed it: chain by chain, rule by rule, the counters, sets, interfaces and verdicts
 * in their order. Ours and nft's own words give the same; a changed number alone (a port, a mark) is not seen.
 */
export function shapeOf(text: string): string {
  let chain = '';
  const kept: string[] = [];
  for (const line of text.split('\n')) {
    const head = /^\s*(chain|set) (\S+) \{$/.exec(line);
    if (head !== null) chain = head[1] === 'chain' ? head[2]! : '';
    else if (/^\s*\}$/.test(line)) chain = '';
    else if (chain !== '' && line.trim() !== '') {
      const hook = /hook (\w+)/.exec(line);
      const words = [...line.replaceAll('"', '').matchAll(SHAPE)].map(([word]) => word);
      kept.push(hook === null ? `${chain}: ${words.join(' ')}` : `${chain}: hook ${hook[1]}`);
    }
  }
  return kept.join('\n');
}

/** Expressions that nft prints as they were written. */
const SHAPE =
  /@\w+|counter name \w+|\b(?:accept|drop|reject|goto \w+|tproxy|redirect|dnat|dport|daddr|saddr|iifname|ct mark|ct direction reply|fib daddr type)\b/g;

/** The lines of one text that the other lacks, each with the block that it is in: `chain lock: counter name ...`. */
export function differences(wanted: string, actual: string): {missing: string[]; foreign: string[]} {
  const [want, have] = [inBlocks(wanted), inBlocks(actual)];
  const missing = without(want, have);
  const foreign = without(have, want);
  // The same lines in another order are other rules: nothing is missing, and it is not what it should be.
  if (missing.length === 0 && foreign.length === 0 && want.join('\n') !== have.join('\n'))
    return {missing: [], foreign: ['the same rules in another order']};
  return {missing, foreign};
}

function inBlocks(text: string): string[] {
  let block = '';
  return text.split('\n').flatMap((line) => {
    const trimmed = line.trim();
    if (/^table |^\}?$/.test(trimmed)) return [];
    if (trimmed.endsWith('{')) block = trimmed.slice(0, -1).trim();
    return [trimmed.endsWith('{') ? block : block === '' ? trimmed : `${block}: ${trimmed}`];
  });
}

/** As often as it is there: a rule twice is not a rule once. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const other of others) left.set(other, (left.get(other) ?? 0) + 1);
  return lines.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
}

/** Elements by set name, of `nft -j list table`, written as elements.ts writes them: `"p-web" . 10.0.0.1`. */
export function elementsOf(json: string): Map<string, Set<string>> {
  const {nftables} = JSON.parse(json) as {nftables: readonly {set?: ListedSet}[]};
  return new Map(
    nftables.flatMap(({set}) =>
      set === undefined ? [] : [[set.name, new Set((set.elem ?? []).map((e) => text(set, e)))]],
    ),
  );
}

interface ListedSet {
  readonly name: string;
  readonly type: string | readonly string[];
  readonly elem?: readonly unknown[];
}

function text({type}: ListedSet, element: unknown): string {
  const value = (element as {elem?: {val: unknown}}).elem?.val ?? element;
  const types = typeof type === 'string' ? [type] : type;
  // A text has a method of the name "concat".
  const parts = typeof value === 'object' ? ((value as {concat?: unknown[]}).concat ?? [prefixText(value)]) : [value];
  return parts.map((part, i) => (types[i] === 'ifname' ? `"${String(part)}"` : String(part))).join(' . ');
}

/** As it was written, where it is a prefix: one of a single address is listed as that address. */
function prefixText(value: unknown): string {
  const {prefix} = value as {prefix?: {addr: string; len: number}};
  return prefix === undefined ? JSON.stringify(value) : `${prefix.addr}/${prefix.len}`;
}
