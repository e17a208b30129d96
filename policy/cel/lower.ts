/**
 * A type-checked syntax tree as closures. The library parses and checks types; evaluation is ours, because its evaluator
 * throws where POLICY.md wants `unknown`, has no bound on steps, and its `matches` is a backtracking one.
 */
import {Refusal, VARIABLES, type Node} from './environment.ts';
import {FUNCTIONS, METHODS} from './functions.ts';
import {MAX_COMPREHENSION_NESTING} from './limits.ts';
import {lowerMatches} from './matches.ts';
import {lowerMacro, MACROS} from './macros.ts';
import {BINARY, negate} from './operators.ts';
import {equal, isList, isMap, lookUp, spend, UNKNOWN} from './values.ts';
import type {Evaluate, Value} from './values.ts';

/** What an expression turned out to read. */
export interface Uses {
  request: boolean;
  headers: boolean;
  destinationIp: boolean;
}

export interface Scope {
  /** Slots of the variables that comprehensions bind. */
  readonly variables: ReadonlyMap<string, number>;
  readonly uses: Uses;
}

export function lower(node: Node, scope: Scope): Evaluate {
  switch (node.op) {
    case 'value':
      return lowerLiteral(node);
    case 'id':
      return lowerVariable(node, scope);
    case '.':
    case '[]':
      return lowerAccess(node, scope);
    case 'list':
      return lowerList(node, scope);
    case '&&':
    case '||':
      return lowerLogical(node, scope, node.op === '||');
    case '?:': {
      const [condition, yes, no] = (node.args as Node[]).map((part) => lower(part, scope)) as [
        Evaluate,
        Evaluate,
        Evaluate,
      ];
      return (frame) => {
        const held = condition(frame);
        return held === true ? yes(frame) : held === false ? no(frame) : UNKNOWN;
      };
    }
    case '!_': {
      const inner = lower(node.args as Node, scope);
      return (frame) => {
        const value = inner(frame);
        return typeof value === 'boolean' ? !value : UNKNOWN;
      };
    }
    case '-_': {
      const inner = lower(node.args as Node, scope);
      return (frame) => negate(inner(frame));
    }
    case '==':
    case '!=':
      return lowerEquality(node, scope, node.op === '==');
    case 'in':
      return lowerMembership(node, scope);
    case 'call':
      return lowerCall(node, scope);
    case 'rcall':
      return lowerMethod(node, scope);
    default: {
      const operator = Object.hasOwn(BINARY, node.op) ? BINARY[node.op] : undefined;
      if (operator === undefined) throw new Refusal(node, `"${node.op}" is not available in conditions`);
      const [left, right] = (node.args as Node[]).map((part) => lower(part, scope)) as [Evaluate, Evaluate];
      return (frame) => {
        const a = left(frame);
        if (a === UNKNOWN) return UNKNOWN;
        const b = right(frame);
        return b === UNKNOWN ? UNKNOWN : operator(frame, a, b);
      };
    }
  }
}

function lowerLiteral(node: Node): Evaluate {
  const literal = node.args;
  if (typeof literal !== 'string' && typeof literal !== 'bigint' && typeof literal !== 'boolean')
    throw new Refusal(node, 'conditions know texts, integers, true and false, and lists of them');
  return () => literal;
}

function lowerVariable(node: Node, scope: Scope): Evaluate {
  const name = node.args as string;
  const slot = scope.variables.get(name);
  if (slot !== undefined) return (frame) => frame.variables[slot]!;
  throw new Refusal(node, `"${name}" is no value by itself: name one of its fields`);
}

/** The variable's field that a node names (`request.headers`); null: it names none. */
export function fieldOf(
  node: Node,
  scope: Pick<Scope, 'variables'>,
): {readonly root: string; readonly field: string} | null {
  if (node.op !== '.' && node.op !== '[]') return null;
  const [left, right] = node.args as [Node, Node | string];
  if (left.op !== 'id' || scope.variables.has(left.args as string)) return null;
  const root = left.args as string;
  if (!Object.hasOwn(VARIABLES, root)) return null;
  const field = typeof right === 'string' ? right : right.op === 'value' ? right.args : null;
  if (typeof field !== 'string' || !Object.hasOwn(VARIABLES[root]!, field))
    throw new Refusal(node, `${root} has the fields ${Object.keys(VARIABLES[root]!).join(', ')}`);
  return {root, field};
}

/** Header names are compared in lower case, so a literal in another case could never be found. */
export function checkHeaderName(map: Node, key: unknown, at: Node, scope: Pick<Scope, 'variables'>): void {
  const field = fieldOf(map, scope);
  if (field?.root !== 'request' || field.field !== 'headers' || typeof key !== 'string') return;
  if (key !== key.toLowerCase())
    throw new Refusal(at, `header names are lower-case here: "${key}" is never found, write "${key.toLowerCase()}"`);
}

const literalOf = (node: Node | string): unknown =>
  typeof node === 'string' ? node : node.op === 'value' ? node.args : undefined;

function lowerAccess(node: Node, scope: Scope): Evaluate {
  const named = fieldOf(node, scope);
  if (named !== null) {
    if (named.root === 'request') scope.uses.request = true;
    if (named.root === 'request' && named.field === 'headers') scope.uses.headers = true;
    if (named.root === 'destination' && named.field === 'ip') scope.uses.destinationIp = true;
    const {read} = VARIABLES[named.root]![named.field]!;
    return (frame) => read(frame.input);
  }
  const [left, right] = node.args as [Node, Node | string];
  checkHeaderName(left, literalOf(right), node, scope);
  const container = lower(left, scope);
  const ofMap = left.checkedType?.name.startsWith('map<') === true;
  if (typeof right !== 'string' && ofMap && right.checkedType?.name !== 'string')
    throw new Refusal(right, 'the keys of this map are texts');
  const key: Evaluate = typeof right === 'string' ? () => right : lower(right, scope);
  return (frame) => {
    const from = container(frame);
    const at = key(frame);
    if (from === UNKNOWN || at === UNKNOWN) return UNKNOWN;
    if (typeof at === 'bigint')
      return isList(from) && at >= 0n && at < BigInt(from.length) ? from[Number(at)]! : UNKNOWN;
    if (typeof at !== 'string' || !isMap(from)) return UNKNOWN;
    return lookUp(from, at) ?? UNKNOWN;
  };
}

function lowerList(node: Node, scope: Scope): Evaluate {
  const elements = (node.args as Node[]).map((element) => lower(element, scope));
  if ((node.args as Node[]).every((element) => element.op === 'value')) {
    const constant = (node.args as Node[]).map((element) => element.args as Value);
    return () => constant;
  }
  return (frame) => {
    spend(frame, elements.length);
    const values: Value[] = [];
    for (const element of elements) {
      const value = element(frame);
      if (value === UNKNOWN) return UNKNOWN;
      values.push(value);
    }
    return values;
  };
}

/** CEL's logic is commutative over errors: one side that settles it absorbs the other's unknown. */
function lowerLogical(node: Node, scope: Scope, settles: boolean): Evaluate {
  const [left, right] = (node.args as Node[]).map((part) => lower(part, scope)) as [Evaluate, Evaluate];
  return (frame) => {
    const a = left(frame);
    if (a === settles) return settles;
    const b = right(frame);
    if (b === settles) return settles;
    return a === !settles && b === !settles ? !settles : UNKNOWN;
  };
}

function lowerEquality(node: Node, scope: Scope, wanted: boolean): Evaluate {
  const [left, right] = (node.args as Node[]).map((part) => lower(part, scope)) as [Evaluate, Evaluate];
  return (frame) => {
    const same = equal(frame, left(frame), right(frame));
    return same === UNKNOWN ? UNKNOWN : same === wanted;
  };
}

function lowerMembership(node: Node, scope: Scope): Evaluate {
  const [element, container] = node.args as [Node, Node];
  checkHeaderName(container, literalOf(element), element, scope);
  const needle = lower(element, scope);
  const haystack = lower(container, scope);
  // A literal list of names is looked up, not walked.
  const literals = container.op === 'list' ? (container.args as Node[]).map(literalOf) : [];
  if (literals.length > 0 && literals.every((literal) => typeof literal === 'string')) {
    const set = new Set<Value>(literals);
    return (frame) => {
      const value = needle(frame);
      return value === UNKNOWN ? UNKNOWN : set.has(value);
    };
  }
  return (frame) => {
    const value = needle(frame);
    const within = haystack(frame);
    if (value === UNKNOWN || within === UNKNOWN) return UNKNOWN;
    if (isList(within)) {
      for (const one of within) {
        spend(frame, 1);
        if (equal(frame, value, one) === true) return true;
      }
      return false;
    }
    return typeof value === 'string' && isMap(within) ? lookUp(within, value) !== undefined : UNKNOWN;
  };
}

function lowerCall(node: Node, scope: Scope): Evaluate {
  const [name, args] = node.args as [string, Node[]];
  if (name === 'has') return lowerHas(args[0]!, scope);
  const called = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (called === undefined || args.length !== 1)
    throw new Refusal(node, `${name}() is not available; there are has, ${Object.keys(FUNCTIONS).join(', ')}`);
  const arg = lower(args[0]!, scope);
  return (frame) => {
    const value = arg(frame);
    return value === UNKNOWN ? UNKNOWN : called(frame, value, []);
  };
}

/** `has(request.headers.accept)`: whether the key is there; unknown only where the map itself is. */
function lowerHas(selection: Node, scope: Scope): Evaluate {
  if (fieldOf(selection, scope) !== null) {
    const field = lower(selection, scope);
    return (frame) => (field(frame) === UNKNOWN ? UNKNOWN : true);
  }
  const [left, key] = selection.args as [Node, string];
  checkHeaderName(left, key, selection, scope);
  const container = lower(left, scope);
  return (frame) => {
    const map = container(frame);
    return map !== UNKNOWN && isMap(map) ? lookUp(map, key) !== undefined : UNKNOWN;
  };
}

function lowerMethod(node: Node, scope: Scope): Evaluate {
  const [name, receiverNode, argNodes] = node.args as [string, Node, Node[]];
  if (receiverNode.op === 'id' && receiverNode.args === 'cel' && !scope.variables.has('cel'))
    throw new Refusal(node, 'cel.bind is not available: write the expression out');
  if (Object.hasOwn(MACROS, name)) {
    if (scope.variables.size >= MAX_COMPREHENSION_NESTING)
      throw new Refusal(node, `${name}() is nested deeper than ${MAX_COMPREHENSION_NESTING}`);
    return lowerMacro(node, scope, lower);
  }
  if (name === 'matches') return lowerMatches(node, lower(receiverNode, scope), argNodes[0]!);
  const method = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined;
  if (method === undefined || (name === 'indexOf' && argNodes.length > 1) || (name === 'split' && argNodes.length > 1))
    throw new Refusal(
      node,
      `.${name}() with ${argNodes.length} argument${argNodes.length === 1 ? '' : 's'} is not available; there are ${Object.keys(METHODS).join(', ')}, matches, ${Object.keys(MACROS).join(', ')}`,
    );
  const receiver = lower(receiverNode, scope);
  const args = argNodes.map((arg) => lower(arg, scope));
  return (frame) => {
    const value = receiver(frame);
    if (value === UNKNOWN) return UNKNOWN;
    const values: Value[] = [];
    for (const arg of args) {
      const one = arg(frame);
      if (one === UNKNOWN) return UNKNOWN;
      values.push(one);
    }
    return method(frame, value, values);
  };
}
