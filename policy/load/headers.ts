/** Header names and values that a document writes: conditions on them, changes of them, and headers of refusals. */
import type {Mutations} from '../decision.ts';
import {parseValueGlob} from '../match/globs.ts';
import {isToken} from './names.ts';
import {quote, type Trail} from './trail.ts';

/**
 * What no rule may change: whom the request is for (it was decided on that), where a message ends (RFC 9112 §6), and
 * what ends at this hop (RFC 9110 §7.6.1), `Expect` because the answer to it is ours. `Proxy-*` goes by its prefix.
 */
const UNTOUCHABLE = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'connection',
  'keep-alive',
  'expect',
  'http2-settings',
]);

const NO_MUTATIONS: Mutations = {set: {}, add: {}, remove: []};

interface RawMutations {
  readonly set?: Readonly<Record<string, string>>;
  readonly add?: Readonly<Record<string, string>>;
  readonly remove?: readonly string[];
}

/** `trail` stands on the mutations. */
export function readMutations(raw: RawMutations | undefined, trail: Trail): Mutations {
  if (raw === undefined) return NO_MUTATIONS;
  /** Which of the three a name stood in. */
  const seen = new Map<string, string>();
  const claim = (name: string, where: string): void => {
    const before = seen.get(name);
    seen.set(name, where);
    if (before === undefined) return;
    trail.error(
      'ConflictingMutations',
      before === where ? `${name} is in ${where} twice` : `${name} is both in ${before} and in ${where}`,
      before === where
        ? 'Keep one of the two.'
        : 'Keep one: set replaces every line of that name, so nothing has to be removed first.',
      where === 'remove' ? 'value' : 'key',
    );
  };
  const readMap = (map: Readonly<Record<string, string>> | undefined, where: 'set' | 'add') =>
    map === undefined ? {} : trail.within(raw, where, () => readHeaderValues(map, trail, (name) => claim(name, where)));
  const set = readMap(raw.set, 'set');
  const add = readMap(raw.add, 'add');
  const remove: string[] = [];
  if (raw.remove !== undefined) {
    const list = raw.remove;
    trail.within(raw, 'remove', () =>
      list.forEach((written, i) =>
        trail.within(list, i, () => {
          const name = changeableName(written, trail, 'value');
          if (name === null) return;
          claim(name, 'remove');
          remove.push(name);
        }),
      ),
    );
  }
  return {set, add, remove};
}

/** Headers with fixed values, their names lower-case. `trail` stands on the map; `claim` is told every good name. */
export function readHeaderValues(
  map: Readonly<Record<string, string>>,
  trail: Trail,
  claim: (name: string) => void,
): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [written, value] of Object.entries(map)) {
    trail.within(map, written, () => {
      const name = changeableName(written, trail, 'key');
      if (name === null) return;
      claim(name);
      if (checkHeaderValue(value, trail)) values[name] = value;
    });
  }
  return values;
}

function changeableName(written: string, trail: Trail, part: 'key' | 'value'): string | null {
  const name = headerName(written, trail, part);
  if (name === null) return null;
  if (!UNTOUCHABLE.has(name) && !name.startsWith('proxy-')) return name;
  trail.error(
    'ForbiddenHeader',
    `no rule may change ${name}`,
    name === 'host'
      ? 'Leave it out: the request goes to the host that was decided on. To change the name, change the client.'
      : 'Leave it out: it frames the message or ends at this hop, and is ours to write.',
    part,
  );
  return null;
}

/** The name in lower case; null: it is none, which is reported. */
function headerName(written: string, trail: Trail, part: 'key' | 'value'): string | null {
  const name = written.toLowerCase();
  if (isToken(written) && name !== '__proto__') return name;
  const pseudo = written.startsWith(':');
  trail.error(
    pseudo ? 'ForbiddenHeader' : 'BadHeaderName',
    pseudo ? `${quote(written)} is a pseudo header of HTTP/2` : `${quote(written)} is no header name`,
    pseudo ? 'Leave it out: method, scheme, authority and path are no headers.' : 'Write letters, digits and hyphens.',
    part,
  );
  return null;
}

function checkHeaderValue(value: string, trail: Trail): boolean {
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    if (c >= 0x20 && c <= 0x7e) continue;
    if (c === 0x09) continue;
    // CR, LF and NUL would end the line or the header (RFC 9110 §5.5); beyond ASCII the bytes are anybody's guess.
    trail.error(
      'BadHeaderValue',
      c === 0x0d || c === 0x0a
        ? 'a line break in a header value'
        : c < 0x80
          ? 'a control character in a header value'
          : 'a character outside of ASCII in a header value',
      c < 0x80
        ? 'Leave it out; in YAML, a value in quotes on one line has none.'
        : 'Encode it, for example by percent-encoding.',
    );
    return false;
  }
  if (value === value.trim()) return true;
  trail.error(
    'BadHeaderValue',
    'white space at the end of a header value',
    'Leave it out: receivers take it away (RFC 9110 §5.5).',
  );
  return false;
}

/** `http.headers` or `http.query`. `trail` stands on the map. */
export function readValueGlobs(
  map: Readonly<Record<string, string | null>>,
  trail: Trail,
  of: 'headers' | 'query',
): Record<string, string | null> {
  const globs: Record<string, string | null> = {};
  for (const [written, glob] of Object.entries(map)) {
    trail.within(map, written, () => {
      const name = of === 'headers' ? headerName(written, trail, 'key') : parameterName(written, trail);
      if (name === null) return;
      if (Object.hasOwn(globs, name))
        trail.error(
          'DuplicateKey',
          `the header ${name} is written twice`,
          'Keep one: names are compared in lower case.',
          'key',
        );
      const parsed = glob === null ? null : parseValueGlob(glob);
      if (parsed !== null && !parsed.ok) trail.error('BadGlob', parsed.message, parsed.fix);
      globs[name] = glob;
    });
  }
  return globs;
}

function parameterName(written: string, trail: Trail): string | null {
  if (written !== '' && written !== '__proto__') return written;
  trail.error(
    'BadParameterName',
    `${quote(written)} is no parameter's name`,
    'Write the name as it is after decoding.',
    'key',
  );
  return null;
}
