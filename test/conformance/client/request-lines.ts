/** What a well-behaved client writes for a `request` step: one place, so that every target is asked the same. */
import type {RequestAction} from '../format/case.ts';
import {bracketed, withoutDotSegments} from '../format/places.ts';

/** Sent unless the step writes its own. */
const DEFAULTS: readonly (readonly [string, string])[] = [
  ['User-Agent', 'sallyport-conformance'],
  ['Accept', '*/*'],
];

/** host[:port] as a client puts it into Host and :authority: the port only where it is not the scheme's own (RFC 9110 4.2.3). */
export function urlAuthority({url}: RequestAction): string {
  return url.port === (url.scheme === 'https' ? 443 : 80) ? bracketed(url.host) : `${bracketed(url.host)}:${url.port}`;
}

export const hostHeader = (action: RequestAction): string => action.host ?? urlAuthority(action);

/** The header lines beside Host and the framing: the defaults, then the step's own in their order. */
export function headerLines(action: RequestAction): string[] {
  const own = new Set(action.headers.map(({name}) => name.toLowerCase()));
  const lines: string[] = [];
  for (const [name, value] of DEFAULTS) if (!own.has(name.toLowerCase())) lines.push(name, value);
  for (const {name, values} of action.headers) for (const value of values) lines.push(name, value);
  return action.http === '2' ? lines.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text)) : lines;
}

/** The path as it is sent, without the query. */
export const sentPath = (action: RequestAction): string =>
  action.pathAsIs ? action.url.path : withoutDotSegments(action.url.path);

export const sentTarget = (action: RequestAction): string =>
  `${sentPath(action)}${action.url.query === null ? '' : `?${action.url.query}`}`;

/** The body's bytes; null: there is none. */
export function bodyBytes(action: RequestAction): Buffer | null {
  if (action.body === null) return null;
  return action.body.kind === 'text' ? Buffer.from(action.body.text, 'utf8') : Buffer.alloc(action.body.bytes, 'x');
}

/** The SNI that is sent: null for none (RFC 6066 3 knows no literals). */
export function sentSni(action: RequestAction): string | null {
  const name = action.sni ?? action.url.host;
  return name === '' || /^[0-9.]+$|:/.test(name) ? null : name.replace(/\.$/, '');
}
