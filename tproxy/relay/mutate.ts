/** Header changes of rules, and what a response never carries to a client. */
import type {HeaderLines, Mutations} from '../../policy/index.ts';

interface Plan {
  /** Lower-case names whose lines go: set and removed. */
  readonly gone: ReadonlySet<string>;
  /** Lines that come. */
  readonly added: readonly string[];
}

/** Plans are made once per rule, not per request. */
const plans = new WeakMap<Mutations, Plan | 'none'>();

function planOf(mutations: Mutations): Plan | 'none' {
  let plan = plans.get(mutations);
  if (plan !== undefined) return plan;
  const set = Object.entries(mutations.set);
  const add = Object.entries(mutations.add);
  plan =
    set.length + add.length + mutations.remove.length === 0
      ? 'none'
      : {
          gone: new Set([
            ...set.map(([name]) => name.toLowerCase()),
            ...mutations.remove.map((name) => name.toLowerCase()),
          ]),
          added: [...set.flat(), ...add.flat()],
        };
  plans.set(mutations, plan);
  return plan;
}

/**
 * The headers with a rule's changes. They are applied to end-to-end headers, so that naming a header in Connection
 * does not undo a `set`. The input is returned where nothing changes.
 */
export function mutate(headers: HeaderLines, mutations: Mutations): HeaderLines {
  const plan = planOf(mutations);
  if (plan === 'none') return headers;
  const out: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (!plan.gone.has(headers[i]!.toLowerCase())) out.push(headers[i]!, headers[i + 1]!);
  }
  for (const text of plan.added) out.push(text);
  return out;
}

/** The headers without the lines of one lower-case name; the input where there is none. */
export function without(headers: HeaderLines, name: string): HeaderLines {
  for (let i = 0; i < headers.length; i += 2) {
    if (!named(headers[i]!, name)) continue;
    const out = headers.slice(0, i);
    for (let j = i + 2; j < headers.length; j += 2) {
      if (!named(headers[j]!, name)) out.push(headers[j]!, headers[j + 1]!);
    }
    return out;
  }
  return headers;
}

const named = (line: string, name: string): boolean => line.length === name.length && line.toLowerCase() === name;
