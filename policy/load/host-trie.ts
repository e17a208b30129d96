/** Host patterns by their labels from the right, to ask which of many could hold a name in common with one. */

interface Branch<T> {
  readonly children: Map<string, Branch<T>>;
  /** Of the name itself, and of `*.name`. */
  readonly exact: T[];
  readonly suffix: T[];
}

const branch = <T>(): Branch<T> => ({children: new Map(), exact: [], suffix: []});

export class HostTrie<T> {
  readonly #root: Branch<T> = branch();
  size = 0;

  /** `pattern` as documents hold it: `a.b`, `*.a.b` or `*`. */
  add(pattern: string, item: T): void {
    this.size++;
    const at = labelsOf(pattern).reduce((node, label) => {
      let child = node.children.get(label);
      if (child === undefined) node.children.set(label, (child = branch()));
      return child;
    }, this.#root);
    (pattern.startsWith('*') ? at.suffix : at.exact).push(item);
  }

  /** Items of patterns that a name could match together with this one: wider ones, the same, and narrower ones. */
  *overlapping(pattern: string): Generator<T> {
    const labels = labelsOf(pattern);
    const wild = pattern.startsWith('*');
    let at: Branch<T> | undefined = this.#root;
    for (const label of labels) {
      // A suffix pattern above holds everything below it.
      yield* at.suffix;
      at = at.children.get(label);
      if (at === undefined) return;
    }
    if (!wild) {
      yield* at.exact;
      return;
    }
    // `*.a.b` is not `a.b` itself, so that node's exact items are left out.
    yield* at.suffix;
    for (const child of at.children.values()) yield* below(child);
  }
}

function* below<T>(node: Branch<T>): Generator<T> {
  yield* node.exact;
  yield* node.suffix;
  for (const child of node.children.values()) yield* below(child);
}

/** From the right, without the star. */
function labelsOf(pattern: string): string[] {
  if (pattern === '*') return [];
  return (pattern.startsWith('*.') ? pattern.slice(2) : pattern).split('.').reverse();
}

/** Whether every name of `inner` is one of `outer`. */
export function hostCovers(outer: string, inner: string): boolean {
  if (outer === inner || outer === '*') return true;
  if (!outer.startsWith('*.')) return false;
  const suffix = outer.slice(1);
  // `*.x.a.b` lies in `*.a.b`; `*.a.b` does not lie in itself a label deeper.
  return inner !== '*' && inner.length > suffix.length && inner.endsWith(suffix);
}

/** Patterns that cover this one: itself, each `*.` above it, and `*`. */
export function coveringPatterns(pattern: string): string[] {
  const patterns = [pattern];
  if (pattern === '*') return patterns;
  const name = pattern.startsWith('*.') ? pattern.slice(2) : pattern;
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) patterns.push(`*${name.slice(dot)}`);
  patterns.push('*');
  return patterns;
}
