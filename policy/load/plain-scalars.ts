/** Scalars that stand on one line, for the fast reader. null: left to the library. */

export interface Scalar {
  readonly value: string | number | boolean | null;
  /** The offset after it; trailing spaces of a plain scalar are not of it. */
  readonly end: number;
}

const SPACE = 0x20;
const LINE_FEED = 0x0a;
const HASH = 0x23;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/** What a plain scalar may not begin with (YAML 1.2.2 §5.3), `-` before a space apart. */
const INDICATORS = new Set(Array.from('?:,[]{}#&*!|>\'"%@`', (sign) => sign.charCodeAt(0)));
const FLOW_SIGNS = new Set(Array.from(',[]{}', (sign) => sign.charCodeAt(0)));

/** Up to `: `, ` #`, the line's end, and in flow collections `,[]{}`. */
export function plainScalar(text: string, from: number, to: number, flow: boolean): Scalar | null {
  if (from >= to || INDICATORS.has(text.charCodeAt(from))) return null;
  let end = from;
  let at = from;
  for (; at < to; at++) {
    const c = text.charCodeAt(at);
    if (c === SPACE) continue;
    if (c === LINE_FEED) break;
    if (c === HASH && at > end) break;
    if (c === COLON) {
      const next = at + 1 < to ? text.charCodeAt(at + 1) : LINE_FEED;
      if (flow && FLOW_SIGNS.has(next)) return null;
      if (next === SPACE || next === LINE_FEED) {
        // `key :` is one too, and nobody writes it.
        if (at > end) return null;
        break;
      }
    } else if (c < SPACE || c === 0x7f) return null;
    else if (flow && FLOW_SIGNS.has(c)) break;
    end = at + 1;
  }
  // A `-` alone, or before a space, is a list's.
  if (end === from || (text[from] === '-' && (end === from + 1 || text.charCodeAt(from + 1) === SPACE))) return null;
  return resolve(text.slice(from, end), end);
}

/** The core schema (YAML 1.2.2 §10.3.2): everything that might be a number is either plainly one or the library's. */
function resolve(written: string, end: number): Scalar | null {
  const c = written.charCodeAt(0);
  const numeric = (c >= 0x30 && c <= 0x39) || c === 0x2b || c === 0x2d || c === 0x2e;
  if (numeric) {
    if (/^(0|[1-9][0-9]{0,14})$/.test(written)) return {value: Number(written), end};
    if (/^[-+.]?[0-9.]*([eE][-+]?[0-9]*)?$|^0[xo]|^[-+]?\.(inf|nan)$/i.test(written) && !isDotted(written)) return null;
    return {value: written, end};
  }
  switch (written) {
    case 'true':
      return {value: true, end};
    case 'false':
      return {value: false, end};
    case 'null':
      return {value: null, end};
    case 'True':
    case 'TRUE':
    case 'False':
    case 'FALSE':
    case 'Null':
    case 'NULL':
    case '~':
      return null;
    default:
      return {value: written, end};
  }
}

/** 192.0.2.1 has too many dots for a number. */
const isDotted = (written: string): boolean => written.indexOf('.') !== written.lastIndexOf('.');

export function readSingleQuoted(text: string, from: number, to: number): Scalar | null {
  let value = '';
  let start = from + 1;
  for (let at = start; at < to; at++) {
    const c = text.charCodeAt(at);
    if (c < SPACE || c === 0x7f) return null;
    if (c !== 0x27) continue;
    value += text.slice(start, at);
    if (at + 1 >= to || text.charCodeAt(at + 1) !== 0x27) return {value, end: at + 1};
    value += "'";
    start = ++at + 1;
  }
  return null;
}

const ESCAPES: Readonly<Record<string, string>> = {'"': '"', '\\': '\\', '/': '/', n: '\n', r: '\r', t: '\t'};

export function readDoubleQuoted(text: string, from: number, to: number): Scalar | null {
  let value = '';
  let start = from + 1;
  for (let at = start; at < to; at++) {
    const c = text.charCodeAt(at);
    if (c === 0x22) return {value: value + text.slice(start, at), end: at + 1};
    if (c < SPACE || c === 0x7f) return null;
    if (c !== BACKSLASH) continue;
    const escaped = at + 1 < to ? ESCAPES[text[at + 1]!] : undefined;
    if (escaped === undefined) return null;
    value += text.slice(start, at) + escaped;
    start = ++at + 1;
  }
  return null;
}
