/** Which globals filters have: JavaScript's, and those of Node that compute. What is not listed is taken away. */

/** Values of the language that --frozen-intrinsics freezes; with them what is made of text, and time. */
const KEPT: ReadonlySet<string> = new Set([
  ...['Object', 'Function', 'Array', 'Number', 'parseFloat', 'parseInt', 'Infinity', 'NaN', 'undefined', 'Boolean'],
  ...['String', 'Symbol', 'Date', 'Promise', 'RegExp', 'Error', 'AggregateError', 'EvalError', 'RangeError'],
  ...[
    'ReferenceError',
    'SyntaxError',
    'TypeError',
    'URIError',
    'SuppressedError',
    'globalThis',
    'JSON',
    'Math',
    'Intl',
  ],
  ...['ArrayBuffer', 'SharedArrayBuffer', 'Atomics', 'DataView', 'Map', 'BigInt', 'Set', 'Iterator', 'WeakMap'],
  ...['WeakSet', 'WeakRef', 'FinalizationRegistry', 'Proxy', 'Reflect', 'DisposableStack', 'AsyncDisposableStack'],
  ...['Uint8Array', 'Int8Array', 'Uint16Array', 'Int16Array', 'Uint32Array', 'Int32Array', 'BigUint64Array'],
  ...['BigInt64Array', 'Uint8ClampedArray', 'Float16Array', 'Float32Array', 'Float64Array'],
  ...['decodeURI', 'decodeURIComponent', 'encodeURI', 'encodeURIComponent', 'escape', 'unescape', 'isFinite', 'isNaN'],
  // eval and Function make code of text, which an import of a data: URL does too.
  'eval',
]);

/** Of Node and the web: hardened with all that hangs on them. */
const KEPT_OF_NODE = [
  ...['Buffer', 'URL', 'URLSearchParams', 'TextEncoder', 'TextDecoder', 'AbortController', 'AbortSignal', 'Event'],
  ...['EventTarget', 'DOMException', 'structuredClone', 'atob', 'btoa', 'crypto', 'queueMicrotask'],
  ...['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'],
] as const;

/**
 * Takes all other globals away, puts `own` in, and fixes them: a filter cannot put its own JSON in the place of the one that
 * writes the verdicts. Answers the values of Node that stay, to be hardened.
 */
export function lockGlobals(own: Readonly<Record<string, unknown>>): unknown[] {
  const kept = KEPT_OF_NODE.map((name) => (globalThis as Record<string, unknown>)[name]);
  for (const key of Reflect.ownKeys(globalThis)) {
    if (typeof key === 'string' && (KEPT.has(key) || Object.hasOwn(own, key))) continue;
    if (KEPT_OF_NODE.some((name) => name === key)) continue;
    if (!Reflect.deleteProperty(globalThis, key) && key !== Symbol.toStringTag)
      throw new Error(`the global ${String(key)} cannot be taken away`);
  }
  for (const [name, value] of Object.entries(own)) fix(name, value);
  KEPT_OF_NODE.forEach((name, i) => fix(name, kept[i]));
  for (const name of KEPT)
    if (Object.hasOwn(globalThis, name)) fix(name, (globalThis as Record<string, unknown>)[name]);
  return kept;
}

function fix(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, {value, writable: false, enumerable: false, configurable: false});
}
