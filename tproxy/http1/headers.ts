/** Reading the flat list of field lines: name, value, name, value ... Names are compared without letter case. */
import {isToken} from './chars.ts';
import type {HeaderLines} from './messages.ts';

/** What is read and not changed. */
export type Headers = readonly string[];

/**
 * Whether `name` is `wanted`, which is lower-case. Field names are ASCII, so their lower-case form has the same length;
 * the length decides nearly always, without a new string.
 */
export function isField(name: string, wanted: string): boolean {
  return name.length === wanted.length && (name === wanted || name.toLowerCase() === wanted);
}

/** The first line's value; null where there is none. `name` is lower-case. */
export function get(headers: Headers, name: string): string | null {
  for (let i = 0; i < headers.length; i += 2) if (isField(headers[i]!, name)) return headers[i + 1]!;
  return null;
}

/** The values of all lines of that name, in order. `name` is lower-case. */
export function getAll(headers: Headers, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < headers.length; i += 2) if (isField(headers[i]!, name)) values.push(headers[i + 1]!);
  return values;
}

/** Whether there is a line of that name. `name` is lower-case. */
export function has(headers: Headers, name: string): boolean {
  for (let i = 0; i < headers.length; i += 2) if (isField(headers[i]!, name)) return true;
  return false;
}

/** The lines but those of the names, which are lower-case. */
export function without(headers: Headers, names: ReadonlySet<string>): HeaderLines {
  const kept: HeaderLines = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (!names.has(headers[i]!.toLowerCase())) kept.push(headers[i]!, headers[i + 1]!);
  }
  return kept;
}

/**
 * The members of a comma-separated list over all lines of that name, trimmed, lower-case; empty members are left out
 * (RFC 9110 §5.6.1.2). For lists of tokens: quoted strings are not understood.
 */
export function listOf(headers: Headers, name: string): string[] {
  const members: string[] = [];
  for (const value of getAll(headers, name)) {
    for (const part of value.split(',')) {
      const member = trimBlank(part);
      if (member !== '') members.push(member.toLowerCase());
    }
  }
  return members;
}

/** Fields that Connection must not name: taking them away would change whom the message is for or where it ends. */
export const NEVER_HOP_BY_HOP: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'content-encoding',
  'content-range',
  'cache-control',
]);

/** What Connection names, lower-case: options such as `close`, and fields that end here (RFC 9110 §7.6.1). */
export function connectionOptions(headers: Headers): string[] {
  return listOf(headers, 'connection');
}

/** null: every Connection member is a token and none names what belongs to the recipient. */
export function judgeConnection(options: readonly string[]): 'BadConnection' | 'ConnectionNamesEndToEnd' | null {
  for (const option of options) {
    if (!isToken(option)) return 'BadConnection';
    if (NEVER_HOP_BY_HOP.has(option)) return 'ConnectionNamesEndToEnd';
  }
  return null;
}

/** Fields for one connection only, whether Connection names them or not (RFC 9110 §7.6.1, RFC 9112 §C.2.2). */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'transfer-encoding',
  'upgrade',
  // Credentials for us or from our parent; the other side of us must never see them (RFC 9110 §11.7).
  'proxy-authorization',
  'proxy-authenticate',
  'proxy-authentication-info',
  // Only HTTP/2 upgrades use it, and those are refused (RFC 7540 §3.2.1).
  'http2-settings',
]);

/**
 * The lines to pass on: without what ends at this hop, what Connection names, and what the encoder writes itself
 * (Host, Expect, Content-Length unless `keepContentLength`: the answer to HEAD and a 304 tell a length without a body).
 * `Trailer` stays, for trailers are passed on (RFC 9110 §6.6.2). Names' letter case and the order are kept.
 * A Connection that names an end-to-end field of NEVER_HOP_BY_HOP does not remove it: the parsers refuse such messages,
 * and what comes from elsewhere must not lose its framing either.
 */
export function endToEnd(headers: Headers, keepContentLength = false): HeaderLines {
  const named = connectionOptions(headers);
  const kept: HeaderLines = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase();
    if (HOP_BY_HOP.has(name) || name === 'host' || name === 'expect') continue;
    if (name === 'content-length' && !keepContentLength) continue;
    if (named.length > 0 && named.includes(name) && !NEVER_HOP_BY_HOP.has(name)) continue;
    kept.push(headers[i]!, headers[i + 1]!);
  }
  return kept;
}

/** Whether the sender takes trailers: `TE: trailers` (RFC 9110 §10.1.4). gRPC servers ask for it. */
export function wantsTrailers(headers: Headers): boolean {
  return listOf(headers, 'te').includes('trailers');
}

function trimBlank(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && (text[from] === ' ' || text[from] === '\t')) from++;
  while (to > from && (text[to - 1] === ' ' || text[to - 1] === '\t')) to--;
  return text.slice(from, to);
}
