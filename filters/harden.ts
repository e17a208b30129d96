/**
 * Makes what filters share with the code around them unchangeable: a filter that replaced `EventEmitter.prototype.emit` would be
 * handed the real `process` with the next warning, one that replaced `Buffer.prototype.toString` could rewrite others' calls.
 * JavaScript's own prototypes are frozen by Node's --frozen-intrinsics; this is for Node's.
 */

/**
 * Freezes the objects and all that can be reached from them by data properties and prototypes. `except`: where the walk stops.
 * Prototypes keep letting instances have own properties of the same names.
 */
export function harden(roots: readonly unknown[], except: ReadonlySet<unknown>): void {
  const seen = new Set<object>();
  const prototypes = new Set<object>();
  const waiting: unknown[] = [...roots];
  while (waiting.length > 0) {
    const one = waiting.pop();
    if ((typeof one !== 'object' && typeof one !== 'function') || one === null) continue;
    if (seen.has(one) || except.has(one)) continue;
    seen.add(one);
    const above = Object.getPrototypeOf(one) as object | null;
    if (above !== null) prototypes.add(above);
    waiting.push(above);
    for (const key of Reflect.ownKeys(one)) {
      const {value, get, set} = Object.getOwnPropertyDescriptor(one, key)! as {value?: unknown; get?: unknown; set?: unknown}; // prettier-ignore
      if (key === 'prototype' && typeof one === 'function' && typeof value === 'object' && value !== null)
        prototypes.add(value);
      waiting.push(value, get, set);
    }
  }
  for (const one of seen) {
    // The bytes of a view cannot be frozen; its prototype is.
    if (ArrayBuffer.isView(one)) continue;
    if (prototypes.has(one)) fixPrototype(one);
    else Object.freeze(one);
  }
}

/**
 * An assignment to an instance fails where its prototype has a read-only property of that name. With an accessor in its place
 * the instance gets its own property, as it would without any freezing.
 */
function fixPrototype(prototype: object): void {
  for (const key of Reflect.ownKeys(prototype)) {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, key)!;
    if (!('value' in descriptor) || descriptor.writable !== true) {
      Object.defineProperty(prototype, key, {configurable: false});
      continue;
    }
    const value: unknown = descriptor.value;
    if (descriptor.configurable !== true) {
      // What Node made so is a flag (EventEmitter's kCapture), which instances are assigned too; a function would be a way in.
      if (typeof value === 'function') throw new Error(`${String(key)} cannot be fixed`);
      continue;
    }
    Object.defineProperty(prototype, key, {
      get: () => value,
      set(this: object, own: unknown) {
        if (this === prototype) throw new TypeError(`${String(key)} belongs to everybody here and cannot be replaced`);
        Object.defineProperty(this, key, {value: own, writable: true, enumerable: true, configurable: true});
      },
      enumerable: descriptor.enumerable ?? false,
      configurable: false,
    });
  }
  Object.preventExtensions(prototype);
}
