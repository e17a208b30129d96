/** A `when` from text to a Condition: parsed, type-checked, bounded, and looked through for what it needs. */
import type {Condition, ConditionInput, Sees, Truth} from './condition.ts';
import {environmentFor, Refusal, type Node} from './environment.ts';
import {unguardedKeys, type Unguarded} from './guards.ts';
import {MAX_SOURCE_CHARACTERS, MAX_STEPS} from './limits.ts';
import {lower, type Uses} from './lower.ts';
import type {Evaluate} from './values.ts';

export type Compiled =
  | {
      readonly ok: true;
      readonly condition: Condition;
      /** Map entries that it reads without asking first whether they are there. */
      readonly unguarded: readonly Unguarded[];
    }
  /** `at`: the offset in the source, from 0. */
  | {readonly ok: false; readonly message: string; readonly at: number};

/** Never throws. A rule that is decided without the request sees the `connection` only. */
export function compileCondition(source: string, {sees}: {readonly sees: Sees}): Compiled {
  if (source.length > MAX_SOURCE_CHARACTERS)
    return {ok: false, message: `longer than ${MAX_SOURCE_CHARACTERS} characters`, at: 0};
  try {
    const parsed = environmentFor(sees).parse(source);
    const checked = parsed.check();
    if (!checked.valid) return refused(checked.error, sees);
    const root = parsed.ast as unknown as Node;
    const uses: Uses = {request: false, headers: false, destinationIp: false};
    const evaluate = lower(root, {variables: new Map(), uses});
    if (checked.type !== 'bool')
      return {ok: false, message: `a condition is true or false, this is of type ${checked.type ?? 'unknown'}`, at: 0};
    return {ok: true, condition: condition(source, uses, evaluate), unguarded: unguardedKeys(root)};
  } catch (error) {
    return refused(error, sees);
  }
}

function condition(source: string, uses: Uses, evaluate: Evaluate): Condition {
  return {
    source,
    needsRequest: uses.request,
    needsHeaders: uses.headers,
    usesDestinationIp: uses.destinationIp,
    evaluate: (input) => run(evaluate, input),
  };
}

function run(evaluate: Evaluate, input: ConditionInput): Truth {
  try {
    const value = evaluate({input, variables: [], stepsLeft: MAX_STEPS});
    return typeof value === 'boolean' ? value : 'unknown';
  } catch {
    // OVER_BUDGET; and whatever else should go wrong must not open anything either.
    return 'unknown';
  }
}

function refused(error: unknown, sees: Sees): Compiled {
  if (error instanceof Refusal) return {ok: false, message: error.message, at: error.at};
  const {summary, message, range} = error as {summary?: string; message?: string; range?: {start: number}};
  // The library names the variables' types $request and so on.
  let text = (summary ?? message ?? String(error)).replaceAll('$', '');
  if (sees === 'connection' && text === 'Unknown variable: request')
    text = 'request is not seen by tls and tcp rules; there are source, destination and tls';
  return {ok: false, message: text.charAt(0).toLowerCase() + text.slice(1), at: range?.start ?? 0};
}
