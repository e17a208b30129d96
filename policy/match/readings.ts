/**
 * The readings of one text (POLICY.md "Readings"): where servers are known to read it differently, each way is judged.
 * The first reading is the literal one. A plain text has exactly one, at the cost of one look at its characters.
 */
import {normalizeEscapes} from './globs.ts';

/** POLICY.md: a path that can be read in more ways than these is refused. */
export const MAX_READINGS = 64;

export type PathReadings =
  | {readonly ok: true; readonly texts: readonly string[]}
  /** `ambiguous`: an escape that no two servers agree on; else bytes that no request target has (RFC 9112 §3.2). */
  | {readonly ok: false; readonly ambiguous: boolean; readonly message: string};

type Refused = Extract<PathReadings, {ok: false}>;

const bad = (ambiguous: boolean, message: string): Refused => ({ok: false, ambiguous, message});

/** How a path may be read; `path` as it came, without its query. */
export function readPath(path: string): PathReadings {
  let plain = true;
  for (let i = 0; i < path.length; i++) {
    const c = path.charCodeAt(i);
    if (c < 0x20 || c === 0x7f) return bad(true, 'the path holds a control character');
    if (c === 0x20 || c === 0x23) return bad(false, 'the path holds a space or a "#"');
    if (c > 0xff) return bad(false, 'the path holds characters that are no bytes');
    // % \ ; and bytes outside of ASCII
    if (c === 0x25 || c === 0x5c || c === 0x3b || c >= 0x80) plain = false;
    else if (c === 0x2f && plain) {
      const next = path.charCodeAt(i + 1);
      if (next === 0x2f) plain = false;
      else if (next === 0x2e && isDotSegment(path, i + 1)) plain = false;
    }
  }
  return plain ? {ok: true, texts: [path]} : allReadings(path);
}

/** Whether the segment at `from` is `.` or `..`. */
function isDotSegment(path: string, from: number): boolean {
  const at = path.charCodeAt(from + 1) === 0x2e ? from + 2 : from + 1;
  return at >= path.length || path.charCodeAt(at) === 0x2f;
}

function allReadings(path: string): PathReadings {
  const literal = normalizeEscapes(escapeHighBytes(path));
  if (literal === null) return bad(true, 'the path holds a percent sign that begins no escape');
  const harm = harmfulEscape(literal);
  if (harm !== null) return bad(true, harm);
  let texts = [literal];
  // Decoding comes first, since it makes what the others look for; resolving dots last, since the others make segments.
  for (const read of TRANSFORMATIONS) {
    const seen = new Set(texts);
    for (const text of texts) seen.add(read(text));
    texts = [...seen];
    if (texts.length > MAX_READINGS) return bad(true, `the path can be read in more than ${MAX_READINGS} ways`);
  }
  for (const text of texts) {
    const hidden = harmfulEscape(text);
    if (hidden !== null) return bad(true, `${hidden}, once it is decoded again`);
  }
  return {ok: true, texts};
}

const TRANSFORMATIONS: readonly ((text: string) => string)[] = [
  decodeOnce,
  (text) => text.replaceAll('%2F', '/'),
  (text) => text.replaceAll('%5C', '/'),
  (text) => text.replaceAll('\\', '/'),
  stripParameters,
  mergeSlashes,
  resolveDots,
];

const HEX = '0123456789ABCDEF';
const escapeOf = (byte: number): string => `%${HEX[byte >> 4]}${HEX[byte & 15]}`;

function escapeHighBytes(text: string): string {
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    out += c >= 0x80 ? escapeOf(c) : text[i]!;
  }
  return out;
}

/** What every escape stands for; those that may not stand raw in a path stay escapes, and the result is normalized again. */
function decodeOnce(text: string): string {
  if (!text.includes('%')) return text;
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    const byte = c === 0x25 ? byteAt(text, i) : -1;
    if (byte === -1) {
      out += text[i];
      continue;
    }
    out += byte <= 0x20 || byte >= 0x7f ? escapeOf(byte) : String.fromCharCode(byte);
    i += 2;
  }
  return normalizeEscapes(escapeLonePercents(out)) ?? out;
}

/** `100%` after decoding is the name that patterns write as `100%25`. */
function escapeLonePercents(text: string): string {
  let out = '';
  for (let i = 0; i < text.length; i++) out += text[i] === '%' && byteAt(text, i) === -1 ? '%25' : text[i]!;
  return out;
}

/** The byte of the escape at `at`; -1: there is none. */
function byteAt(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at + 1));
  const low = hexDigit(text.charCodeAt(at + 2));
  return high === -1 || low === -1 ? -1 : high * 16 + low;
}

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Escapes that no rule may open: control characters, and UTF-8 that spells a character too long (RFC 3629 §3, CVE-2000-0884). */
function harmfulEscape(text: string): string | null {
  for (let i = text.indexOf('%'); i !== -1; i = text.indexOf('%', i + 1)) {
    const byte = byteAt(text, i);
    if (byte === -1) continue;
    if (byte < 0x20 || byte === 0x7f) return 'the path holds an escaped control character';
    if (byte === 0xc0 || byte === 0xc1) return OVERLONG;
    const next = text.charCodeAt(i + 3) === 0x25 ? byteAt(text, i + 3) : -1;
    if (next < 0x80 || next > 0xbf) continue;
    if ((byte === 0xe0 && next < 0xa0) || (byte === 0xf0 && next < 0x90)) return OVERLONG;
    if ((byte === 0xf8 && next < 0x88) || (byte === 0xfc && next < 0x84)) return OVERLONG;
  }
  return null;
}

const OVERLONG = 'the path holds overlong UTF-8';

/** `/a;v=1/b` without what follows the semicolon of each segment (RFC 3986 §3.3). */
function stripParameters(text: string): string {
  if (!text.includes(';')) return text;
  return text
    .split('/')
    .map((segment) => {
      const at = segment.indexOf(';');
      return at === -1 ? segment : segment.slice(0, at);
    })
    .join('/');
}

function mergeSlashes(text: string): string {
  let out = text;
  while (out.includes('//')) out = out.replaceAll('//', '/');
  return out;
}

/** RFC 3986 §5.2.4. */
function resolveDots(text: string): string {
  if (!text.includes('/.')) return text;
  const segments = text.split('/');
  const out: string[] = [];
  const last = segments.length - 1;
  segments.forEach((segment, i) => {
    if (segment === '.' || segment === '..') {
      if (segment === '..' && out.length > 1) out.pop();
      if (i === last) out.push('');
    } else out.push(segment);
  });
  return out.join('/');
}

/** Parameter names to their values in order. */
export type QueryReading = ReadonlyMap<string, readonly string[]>;

/** Whether a query has readings beside the literal one. */
export function isQueryAmbiguous(query: string | null): boolean {
  return query !== null && (query.includes(';') || query.includes('+'));
}

/** The readings of a query: split at `&` and decoded once; also with `;` as a separator and `+` as a space. */
export function readQuery(query: string | null): readonly QueryReading[] {
  if (query === null || query === '') return [new Map()];
  const readings = [parseQuery(query, false, false)];
  const semicolons = query.includes(';');
  const pluses = query.includes('+');
  if (semicolons) readings.push(parseQuery(query, true, false));
  if (pluses) readings.push(parseQuery(query, false, true));
  if (semicolons && pluses) readings.push(parseQuery(query, true, true));
  return readings;
}

function parseQuery(query: string, semicolons: boolean, pluses: boolean): QueryReading {
  const out = new Map<string, string[]>();
  const text = semicolons ? query.replaceAll(';', '&') : query;
  for (const part of text.split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = decodeText(equals === -1 ? part : part.slice(0, equals), pluses);
    const value = equals === -1 ? '' : decodeText(part.slice(equals + 1), pluses);
    const values = out.get(name);
    if (values === undefined) out.set(name, [value]);
    else values.push(value);
  }
  return out;
}

const utf8 = new TextDecoder();

/** Escapes decoded once, as UTF-8; what is no escape stays as it is. */
function decodeText(text: string, pluses: boolean): string {
  const spaced = pluses ? text.replaceAll('+', ' ') : text;
  let plain = true;
  for (let i = 0; i < spaced.length && plain; i++) plain = spaced.charCodeAt(i) < 0x80 && spaced[i] !== '%';
  if (plain) return spaced;
  const bytes: number[] = [];
  for (let i = 0; i < spaced.length; i++) {
    const c = spaced.charCodeAt(i);
    const byte = c === 0x25 ? byteAt(spaced, i) : -1;
    bytes.push(byte === -1 ? c & 0xff : byte);
    if (byte !== -1) i += 2;
  }
  return utf8.decode(Uint8Array.from(bytes));
}
