/** Reading the flat list of field lines: name, value, name, value ... Names are compared without letter case. */
import {isToken} from './chars.ts';
import type {HeaderLines} from './messages.ts';

/** What is read and not changed. */
export type Headers = readonly string[];

/**
 * Whether `name` is `wanted`, which is lower-case. Field names are ASCII, so their lower-case form has the same length; that
 * and the first letter decide nearly always, without a new string.
 */
export function isField(name: string, wanted: string): boolean {
  return (
    name.length === wanted.length &&
    (name.charCodeAt(0) | 0x20) === wanted.charCodeAt(0) &&
    (name === wanted || name.toLowerCase() === wanted)
  );
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

const NOTHING: readonly string[] = [];

/**
 * The members of a comma-separated list over all lines of that name, trimmed, lower-case; empty members are left out
 * (RFC 9110 §5.6.1.2). For lists of tokens: quoted strings are not understood.
 */
export function listOf(headers: Headers, name: string): readonly string[] {
  let members: string[] | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    if (isField(headers[i]!, name)) pushMembers((members ??= []), headers[i + 1]!);
  }
  return members ?? NOTHING;
}

function pushMembers(members: string[], value: string): void {
  for (let from = 0; from <= value.length;) {
    const comma = value.indexOf(',', from);
    const to = comma < 0 ? value.length : comma;
    const member = trimBlank(value, from, to);
    if (member !== '') members.push(member.toLowerCase());
    from = to + 1;
  }
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
export function connectionOptions(headers: Headers): readonly string[] {
  const only = onlyValue(headers, 'connection');
  return only === 'keep-alive' ? KEEP_ALIVE : only === 'close' ? CLOSE : listOf(headers, 'connection');
}

/** What nearly every Connection field says. */
const KEEP_ALIVE: readonly string[] = ['keep-alive'];
const CLOSE: readonly string[] = ['close'];

/** The value where there is exactly one line of that name, else null. `name` is lower-case. */
function onlyValue(headers: Headers, name: string): string | null {
  let only: string | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    if (!isField(headers[i]!, name)) continue;
    if (only !== null) return null;
    only = headers[i + 1]!;
  }
  return only;
}

/** null: every Connection member is a token and none names what belongs to the recipient. */
export function judgeConnection(options: readonly string[]): 'BadConnection' | 'ConnectionNamesEndToEnd' | null {
  for (const option of options) {
    if (!isToken(option)) return 'BadConnection';
    if (NEVER_HOP_BY_HOP.has(option)) return 'ConnectionNamesEndToEnd';
  }
  return null;
}

/**
 * Fields for one connection only, whether Connection names them or not (RFC 9110 §7.6.1, RFC 9112 §C.2.2), and what the
 * encoder writes itself. By length, which decides nearly always without a new string.
 */
function endsHere(name: string): boolean {
  switch (name.length) {
    case 2:
      return isField(name, 'te');
    case 4:
      return isField(name, 'host');
    case 6:
      return isField(name, 'expect');
    case 7:
      return isField(name, 'upgrade');
    case 10:
      return isField(name, 'connection') || isField(name, 'keep-alive');
    case 14:
      // Only HTTP/2 upgrades use it, and those are refused (RFC 7540 §3.2.1).
      return isField(name, 'http2-settings');
    case 16:
      return isField(name, 'proxy-connection');
    case 17:
      return isField(name, 'transfer-encoding');
    // Credentials for us or from our parent; the other side of us must never see them (RFC 9110 §11.7).
    case 18:
      return isField(name, 'proxy-authenticate');
    case 19:
      return isField(name, 'proxy-authorization');
    case 25:
      return isField(name, 'proxy-authentication-info');
    default:
      return false;
  }
}

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
    const name = headers[i]!;
    if (endsHere(name)) continue;
    if (!keepContentLength && isField(name, 'content-length')) continue;
    if (named.length > 0 && isNamed(named, name)) continue;
    kept.push(name, headers[i + 1]!);
  }
  return kept;
}

/** Whether Connection names the field, and may. */
function isNamed(options: readonly string[], name: string): boolean {
  for (const option of options) if (isField(name, option) && !NEVER_HOP_BY_HOP.has(option)) return true;
  return false;
}

/** Whether the sender takes trailers: `TE: trailers` (RFC 9110 §10.1.4). gRPC servers ask for it. */
export function wantsTrailers(headers: Headers): boolean {
  return listOf(headers, 'te').includes('trailers');
}

function trimBlank(text: string, from: number, to: number): string {
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09;
