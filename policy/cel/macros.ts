/** exists, all, exists_one, filter and map: over the elements of a list or the keys of a map. */
import {Refusal, type Node} from './environment.ts';
import type {Scope} from './lower.ts';
import {isList, isMap, keysOf, spend, UNKNOWN} from './values.ts';
import type {Evaluate, Frame, Value} from './values.ts';

type Loop = (
  frame: Frame,
  items: readonly Value[],
  test: (item: Value) => Value,
  result: (item: Value) => Value,
) => Value;

/** What one iteration costs beside its body. */
const STEPS_PER_ITEM = 2;

/** One element that settles it absorbs the unknown of the others, as `||` and `&&` do. */
const quantifier =
  (settles: boolean): Loop =>
  (frame, items, test) => {
    let unknown = false;
    for (const item of items) {
      spend(frame, STEPS_PER_ITEM);
      const held = test(item);
      if (held === settles) return settles;
      if (held === UNKNOWN) unknown = true;
    }
    return unknown ? UNKNOWN : !settles;
  };

const collect: Loop = (frame, items, test, result) => {
  const collected: Value[] = [];
  for (const item of items) {
    spend(frame, STEPS_PER_ITEM);
    const held = test(item);
    if (held === UNKNOWN) return UNKNOWN;
    if (held !== true) continue;
    const value = result(item);
    if (value === UNKNOWN) return UNKNOWN;
    collected.push(value);
  }
  return collected;
};

export const MACROS: Readonly<Record<string, Loop>> = {
  exists: quantifier(true),
  all: quantifier(false),
  exists_one: (frame, items, test, result) => {
    const held = collect(frame, items, test, result);
    return held === UNKNOWN ? UNKNOWN : (held as readonly Value[]).length === 1;
  },
  filter: collect,
  map: collect,
};

export function lowerMacro(node: Node, scope: Scope, lower: (node: Node, scope: Scope) => Evaluate): Evaluate {
  const [name, receiverNode, args] = node.args as [string, Node, Node[]];
  const variable = args[0]!;
  if (variable.op !== 'id') throw new Refusal(variable, `${name}() takes a variable's name first`);
  const slot = scope.variables.size;
  const inner: Scope = {
    uses: scope.uses,
    variables: new Map([...scope.variables, [variable.args as string, slot]]),
  };
  if (inner.variables.size === slot)
    throw new Refusal(variable, `"${variable.args as string}" is already a variable here`);
  const receiver = lower(receiverNode, scope);
  const yes: Evaluate = () => true;
  const same: Evaluate = (frame) => frame.variables[slot]!;
  // map(x, result), map(x, test, result); the others: (x, test).
  const last = lower(args[args.length - 1]!, inner);
  const test = name !== 'map' ? last : args.length === 3 ? lower(args[1]!, inner) : yes;
  const result = name === 'map' ? last : same;
  const loop = MACROS[name]!;
  return (frame) => {
    const over = receiver(frame);
    if (over === UNKNOWN) return UNKNOWN;
    const items = isList(over) ? over : isMap(over) ? keysOf(over) : null;
    if (items === null) return UNKNOWN;
    const bound =
      (evaluate: Evaluate) =>
      (item: Value): Value => {
        frame.variables[slot] = item;
        return evaluate(frame);
      };
    return loop(frame, items, bound(test), bound(result));
  };
}
