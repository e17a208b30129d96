/** What the API server makes of a patch (RFC 6902 §4), as far as ours go; for tests. */
import type {Operation} from './patch.ts';

export function applied(value: unknown, operations: readonly Operation[]): unknown {
  // No two parts are one object then.
  const copy = (part: unknown): unknown => JSON.parse(JSON.stringify(part));
  let root = copy(value);
  for (const operation of operations) {
    const keys = operation.path
      .split('/')
      .slice(1)
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = keys.pop();
    if (last === undefined) {
      root = 'value' in operation ? operation.value : undefined;
      continue;
    }
    const parent = keys.reduce((at, key) => (at as Record<string, unknown>)[key], root) as Record<string, unknown>;
    if (Array.isArray(parent)) {
      const list = parent as unknown[];
      const at = last === '-' ? list.length : Number(last);
      if (operation.op === 'remove') list.splice(at, 1);
      else list.splice(at, operation.op === 'replace' ? 1 : 0, copy(operation.value));
    } else if (operation.op === 'remove') delete parent[last];
    else parent[last] = copy(operation.value);
  }
  return root;
}
