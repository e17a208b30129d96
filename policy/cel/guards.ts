/**
 * Which map entries a condition reads without asking first whether they are there. A missing one makes it unknown, and
 * unknown denies in a Deny rule: correct, and seldom meant (POLICY.md: warned about).
 */
import type {Node} from './environment.ts';

export interface Unguarded {
  /** As written: `request.headers["x-env"]`. */
  readonly text: string;
  /** The guard to put in front: `"x-env" in request.headers`. */
  readonly guard: string;
  readonly at: number;
}

/** `request.headers["a"]` and `request.headers.a` are one entry; null: no entry of a map with a literal key. */
function entryOf(node: Node): {readonly map: string; readonly key: string} | null {
  if (node.op !== '.' && node.op !== '[]') return null;
  const [left, right] = node.args as [Node, Node | string];
  const key = typeof right === 'string' ? right : right.op === 'value' ? right.args : null;
  const map = pathOf(left);
  return typeof key === 'string' && map !== null && map.includes('.') ? {map, key} : null;
}

function pathOf(node: Node): string | null {
  if (node.op === 'id') return node.args as string;
  if (node.op !== '.' && node.op !== '[]') return null;
  const [left, right] = node.args as [Node, Node | string];
  const field = typeof right === 'string' ? right : right.op === 'value' ? right.args : null;
  const parent = pathOf(left);
  return typeof field === 'string' && parent !== null ? `${parent}.${field}` : null;
}

const NONE: ReadonlySet<string> = new Set();
const id = (entry: {readonly map: string; readonly key: string}) => `${entry.map}\0${entry.key}`;
const union = (a: ReadonlySet<string>, b: ReadonlySet<string>): ReadonlySet<string> => new Set([...a, ...b]);
const both = (a: ReadonlySet<string>, b: ReadonlySet<string>): ReadonlySet<string> =>
  new Set([...a].filter((one) => b.has(one)));

/** Entries that are there if the expression is `outcome`. */
function implied(node: Node, outcome: boolean): ReadonlySet<string> {
  switch (node.op) {
    case '!_':
      return implied(node.args as Node, !outcome);
    case '&&':
    case '||': {
      const [left, right] = node.args as [Node, Node];
      const combine = (node.op === '&&') === outcome ? union : both;
      return combine(implied(left, outcome), implied(right, outcome));
    }
    case 'in': {
      const [element, container] = node.args as [Node, Node];
      const map = pathOf(container);
      return outcome && map !== null && element.op === 'value' && typeof element.args === 'string'
        ? new Set([id({map, key: element.args})])
        : NONE;
    }
    case 'call': {
      const [name, args] = node.args as [string, Node[]];
      const entry = name === 'has' ? entryOf(args[0]!) : null;
      return outcome && entry !== null ? new Set([id(entry)]) : NONE;
    }
    default:
      return NONE;
  }
}

export function unguardedKeys(root: Node): readonly Unguarded[] {
  const found = new Map<string, Unguarded>();
  const visit = (node: Node, guarded: ReadonlySet<string>): void => {
    switch (node.op) {
      case '&&':
      case '||': {
        // Either side's settling value absorbs the other's error, so each guards the other.
        const [left, right] = node.args as [Node, Node];
        const goesOn = node.op === '&&';
        visit(left, union(guarded, implied(right, goesOn)));
        visit(right, union(guarded, implied(left, goesOn)));
        return;
      }
      case '?:': {
        const [condition, yes, no] = node.args as [Node, Node, Node];
        visit(condition, guarded);
        visit(yes, union(guarded, implied(condition, true)));
        visit(no, union(guarded, implied(condition, false)));
        return;
      }
      case 'call':
        if ((node.args as [string, Node[]])[0] === 'has') return;
        break;
      default: {
        const entry = entryOf(node);
        if (entry !== null && !guarded.has(id(entry)) && !found.has(id(entry)))
          found.set(id(entry), {
            text: `${entry.map}["${entry.key}"]`,
            guard: `"${entry.key}" in ${entry.map}`,
            at: node.start,
          });
      }
    }
    for (const child of childrenOf(node)) visit(child, guarded);
  };
  visit(root, NONE);
  return [...found.values()];
}

function childrenOf(node: Node): readonly Node[] {
  const flat = (Array.isArray(node.args) ? node.args.flat(1) : [node.args]) as unknown[];
  return flat.filter((child): child is Node => typeof child === 'object' && child !== null && 'op' in child);
}
