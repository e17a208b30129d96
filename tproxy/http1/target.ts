import {HOST, IPV6} from './chars.ts';
import {MAX_AUTHORITY_BYTES} from './limits.ts';
import type {RequestHead} from './messages.ts';

const COLON = 0x3a;
const SLASH = 0x2f;
const QUESTION = 0x3f;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** Digits of a port in plain decimal, 1 to 65535; leading zeros are refused because some readers take them as octal. */
function isPort(text: string, from: number, to: number): boolean {
  if (to - from < 1 || to - from > 5 || text.charCodeAt(from) === 0x30) return false;
  let port = 0;
  for (let i = from; i < to; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port <= 65_535;
}

/**
 * Whether `text` from `from` to `to` is host[:port] and nothing else: no userinfo (RFC 9110 §4.2.4), no escapes, no empty
 * host, no comma (two joined Host lines), no port that is not plain decimal.
 */
export function isAuthority(text: string, from: number, to: number, port: 'required' | 'optional'): boolean {
  if (to - from > MAX_AUTHORITY_BYTES || to <= from) return false;
  let i = from;
  if (text.charCodeAt(i) === OPEN_BRACKET) {
    i++;
    let colons = 0;
    for (; i < to && IPV6[text.charCodeAt(i)] === 1; i++) if (text.charCodeAt(i) === COLON) colons++;
    if (i === to || text.charCodeAt(i) !== CLOSE_BRACKET || colons < 2) return false;
    i++;
  } else {
    while (i < to && HOST[text.charCodeAt(i)] === 1) i++;
    if (i === from) return false;
  }
  if (i === to) return port === 'optional';
  return text.charCodeAt(i) === COLON && isPort(text, i + 1, to);
}

/** Where the authority of an absolute-form target begins; -1 for schemes other than http and https: nobody here can carry those. */
function authorityStart(target: string): number {
  const scheme = target.slice(0, 8).toLowerCase();
  if (scheme.startsWith('http://')) return 7;
  return scheme === 'https://' ? 8 : -1;
}

function authorityEnd(target: string, from: number): number {
  for (let i = from; i < target.length; i++) {
    const c = target.charCodeAt(i);
    if (c === SLASH || c === QUESTION) return i;
  }
  return target.length;
}

/**
 * The form of a request target (RFC 9112 §3.2); null where the method may not have it. The target's characters were
 * judged before. CONNECT has host:port and nothing else has; `*` is for OPTIONS alone.
 */
export function targetForm(method: string, target: string): RequestHead['form'] | null {
  if (method === 'CONNECT') return isAuthority(target, 0, target.length, 'required') ? 'authority' : null;
  if (target.charCodeAt(0) === SLASH) return 'origin';
  if (target === '*') return method === 'OPTIONS' ? 'asterisk' : null;
  const from = authorityStart(target);
  return from > 0 && isAuthority(target, from, authorityEnd(target, from), 'optional') ? 'absolute' : null;
}

/** A request target taken apart, as written: nothing is decoded, lower-cased or defaulted. */
export interface TargetParts {
  /** Of absolute-form only, lower-case. */
  readonly scheme: 'http' | 'https' | null;
  /** host[:port] of absolute-form and authority-form. */
  readonly authority: string | null;
  /** Without the query. `*` for asterisk-form; '' for authority-form; '/' for an absolute-form without a path (RFC 9112 §3.2.1). */
  readonly path: string;
  /** What follows the first '?'; null where there is none. */
  readonly query: string | null;
}

/** Takes apart the target of a head that a parser gave out. */
export function targetParts(head: Pick<RequestHead, 'form' | 'target' | 'method'>): TargetParts {
  const {target} = head;
  switch (head.form) {
    case 'origin':
      return {scheme: null, authority: null, ...pathAndQuery(target, 0)};
    case 'absolute': {
      const from = authorityStart(target);
      const end = authorityEnd(target, from);
      const parts = pathAndQuery(target, end);
      // OPTIONS for a whole server through a proxy: the last proxy asks for `*` (RFC 9112 §3.2.4).
      const bare = head.method === 'OPTIONS' && end === target.length ? '*' : '/';
      return {
        scheme: from === 7 ? 'http' : 'https',
        authority: target.slice(from, end),
        path: parts.path === '' ? bare : parts.path,
        query: parts.query,
      };
    }
    case 'authority':
      return {scheme: null, authority: target, path: '', query: null};
    case 'asterisk':
      return {scheme: null, authority: null, path: '*', query: null};
  }
}

function pathAndQuery(target: string, from: number): {path: string; query: string | null} {
  const mark = target.indexOf('?', from);
  if (mark < 0) return {path: target.slice(from), query: null};
  return {path: target.slice(from, mark), query: target.slice(mark + 1)};
}
