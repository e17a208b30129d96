/** Globs over paths and over header and query values: parsed once, matched in time linear in the text. */

export interface Glob {
  /** As it is compared; for paths with its escapes normalized. */
  readonly text: string;
  /** What stands before the first star: every text that matches begins with it. */
  readonly prefix: string;
  /** No star at all: `prefix` is the whole of it. */
  readonly exact: boolean;
  /** The characters and stars in order; STAR and GLOBSTAR are negative. */
  readonly tokens: readonly number[];
  /** The commonest shape, `literal` and then one `**` (or a value's `*`) at the end: a prefix test is the match. */
  readonly openEnd: boolean;
}

export type ParsedGlob =
  {readonly ok: true; readonly glob: Glob} | {readonly ok: false; readonly message: string; readonly fix: string};

/** Any characters but `/`. */
const STAR = -1;
/** Any characters. */
const GLOBSTAR = -2;
/** A longer glob than any URL in use; keeps the matcher's states few. */
const MAX_GLOB_CHARACTERS = 2048;

/** A glob over paths: `*` any characters but `/`, `**` any characters. Escapes are normalized as those of a request's path are. */
export function parsePathGlob(text: string): ParsedGlob {
  const bad = refuse(text);
  if (bad !== null) return bad;
  if (!text.startsWith('/') && !text.startsWith('**'))
    return {ok: false, message: 'a path begins with a slash', fix: `Write "/${text.replace(/^\*+\/?/, '')}" or "/**".`};
  if (text.includes('#'))
    return {ok: false, message: 'a path has no fragment', fix: 'Leave out "#" and what follows, or write it as %23.'};
  const normal = normalizeEscapes(encodeRaw(text));
  if (normal === null)
    return {
      ok: false,
      message: 'a percent sign without two hexadecimal digits after it',
      fix: 'Write a percent sign itself as %25.',
    };
  if (hasControl(normal))
    return {
      ok: false,
      message: 'a control character',
      fix: 'Requests with one in the path are refused before any rule; leave it out.',
    };
  return {ok: true, glob: compile(normal, true)};
}

/** A glob over header and query values: `*` any characters. */
export function parseValueGlob(text: string): ParsedGlob {
  const bad = refuse(text);
  return bad ?? {ok: true, glob: compile(text, false)};
}

/** The same glob for texts in lower case. */
export function foldGlob(glob: Glob): Glob {
  const text = glob.text.toLowerCase();
  return {
    ...glob,
    text,
    prefix: glob.prefix.toLowerCase(),
    tokens: glob.tokens.map((token) => (token >= 0 ? String.fromCharCode(token).toLowerCase().charCodeAt(0) : token)),
  };
}

function refuse(text: string): {readonly ok: false; readonly message: string; readonly fix: string} | null {
  const bad = (message: string, fix: string) => ({ok: false, message, fix}) as const;
  if (text.length > MAX_GLOB_CHARACTERS)
    return bad(`the glob is longer than ${MAX_GLOB_CHARACTERS} characters`, 'Use a shorter prefix and `**`.');
  if (text.includes('***'))
    return bad('three stars in a row', 'Write `*` (within a path segment) or `**` (across segments).');
  for (const sign of ['?', '[', '{'])
    if (text.includes(sign))
      return bad(
        `"${sign}" is not part of this glob language`,
        sign === '?' ? 'Use `*`; match the query under http.query.' : 'Write one entry for each alternative.',
      );
  return null;
}

/** Bytes that no request target may hold raw become the escapes that clients send: UTF-8 (RFC 3987 §3.1). */
function encodeRaw(text: string): string {
  let out = '';
  for (const character of text) {
    const c = character.codePointAt(0)!;
    if (c === 0x20) out += '%20';
    else if (c < 0x80) out += character;
    else for (const byte of new TextEncoder().encode(character)) out += `%${byte.toString(16).toUpperCase()}`;
  }
  return out;
}

function hasControl(normal: string): boolean {
  for (let i = 0; i < normal.length; i++) {
    const c = normal.charCodeAt(i);
    if (c < 0x20 || c === 0x7f) return true;
    if (c === 0x25) {
      const byte = parseInt(normal.slice(i + 1, i + 3), 16);
      if (byte < 0x20 || byte === 0x7f) return true;
    }
  }
  return false;
}

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function isUnreserved(c: number): boolean {
  return (
    (c >= 0x61 && c <= 0x7a) ||
    (c >= 0x41 && c <= 0x5a) ||
    (c >= 0x30 && c <= 0x39) ||
    c === 0x2d ||
    c === 0x2e ||
    c === 0x5f ||
    c === 0x7e
  );
}

const HEX = '0123456789ABCDEF';

/** RFC 3986 §6.2.2: escapes of unreserved characters decoded, the others in upper case. null: an escape that is none. */
export function normalizeEscapes(text: string): string | null {
  let at = text.indexOf('%');
  if (at === -1) return text;
  let out = text.slice(0, at);
  for (; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c !== 0x25) {
      out += text[at];
      continue;
    }
    const high = at + 2 < text.length ? hexDigit(text.charCodeAt(at + 1)) : -1;
    const low = at + 2 < text.length ? hexDigit(text.charCodeAt(at + 2)) : -1;
    if (high === -1 || low === -1) return null;
    const byte = high * 16 + low;
    out += isUnreserved(byte) ? String.fromCharCode(byte) : `%${HEX[high]}${HEX[low]}`;
    at += 2;
  }
  return out;
}

function compile(text: string, path: boolean): Glob {
  const tokens: number[] = [];
  let prefixLength = -1;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c !== 0x2a) {
      tokens.push(c);
      continue;
    }
    if (prefixLength === -1) prefixLength = i;
    const double = text.charCodeAt(i + 1) === 0x2a;
    if (double) i++;
    tokens.push(path && !double ? STAR : GLOBSTAR);
  }
  const exact = prefixLength === -1;
  return {
    text,
    prefix: exact ? text : text.slice(0, prefixLength),
    exact,
    tokens,
    openEnd: !exact && tokens.length === prefixLength + 1 && tokens[prefixLength] === GLOBSTAR,
  };
}

/** Whether the glob matches the whole text. */
export function matchGlob(glob: Glob, text: string): boolean {
  if (glob.exact) return text === glob.prefix;
  if (!text.startsWith(glob.prefix)) return false;
  if (glob.openEnd) return true;
  return simulate(glob.tokens, glob.prefix.length, text);
}

/**
 * The glob as a nondeterministic automaton, all its states advanced together: states times characters, whatever the text.
 * (Backtracking over two kinds of star is quadratic on texts that an attacker picks.)
 */
function simulate(tokens: readonly number[], from: number, text: string): boolean {
  const end = tokens.length;
  let active: number[] = [];
  let next: number[] = [];
  const seen = new Int32Array(end + 1).fill(-1);
  const add = (list: number[], state: number, step: number) => {
    // A star may stand for nothing, so what follows it is active with it.
    for (let s = state; ; s++) {
      if (seen[s] === step) return;
      seen[s] = step;
      list.push(s);
      if (s >= end || tokens[s]! >= 0) return;
    }
  };
  add(active, from, from);
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    for (const state of active) {
      if (state >= end) continue;
      const token = tokens[state]!;
      if (token === c) add(next, state + 1, i + 1);
      else if (token === GLOBSTAR || (token === STAR && c !== 0x2f)) add(next, state, i + 1);
    }
    if (next.length === 0) return false;
    [active, next] = [next, active];
    next.length = 0;
  }
  return active.includes(end);
}
