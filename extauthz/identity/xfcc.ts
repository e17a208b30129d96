/**
 * x-forwarded-client-cert: elements separated by commas, each of `Key=value` pairs separated by semicolons; values may be
 * quoted, with `\"` inside (Envoy, "HTTP header manipulation"). Every proxy on the way appends its client's; only the last
 * element was written by the one that is trusted.
 */

/** The URI of the last element of all these header lines; null: none, several, or nothing that can be read for certain. */
export function lastUri(lines: readonly string[]): string | null {
  const line = lines.at(-1);
  if (line === undefined) return null;
  const pairs = lastElement(line);
  if (pairs === null) return null;
  let uri: string | null = null;
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    if (equals < 0) return null;
    if (pair.slice(0, equals).trim().toLowerCase() !== 'uri') continue;
    if (uri !== null) return null;
    uri = unquoted(pair.slice(equals + 1).trim());
    if (uri === null || uri === '') return null;
  }
  return uri;
}

/** The pairs of the last element; null: a quote is left open. */
function lastElement(line: string): string[] | null {
  let pairs: string[] = [];
  let from = 0;
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const c = line[i];
    if (quoted) {
      if (c === '\\') i++;
      else if (c === '"') quoted = false;
      continue;
    }
    if (c === '"') quoted = true;
    else if (c === ';' || c === ',') {
      if (c === ';') pairs.push(line.slice(from, i));
      else pairs = [];
      from = i + 1;
    }
  }
  if (quoted) return null;
  pairs.push(line.slice(from));
  return pairs;
}

function unquoted(value: string): string | null {
  if (!value.includes('"') && !value.includes('\\')) return value;
  // No identity of ours needs an escape.
  const inner = value.slice(1, -1);
  return value.startsWith('"') && value.endsWith('"') && value.length > 1 && !/["\\]/.test(inner) ? inner : null;
}
