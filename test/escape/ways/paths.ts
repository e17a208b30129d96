/** Paths that begin like allowed ones and are read as others. */
import type {Attempt} from '../attempt.ts';
import {SITES} from '../addresses.ts';
import {http, say} from '../wire.ts';

/** Each ends at /private/TOKEN for some server. */
const PATHS: readonly (readonly [id: string, title: string, path: string])[] = [
  ['dots', 'dot segments', '/public/../private/'],
  ['encoded-dots', 'dot segments in escapes', '/public/%2e%2e/private/'],
  ['half-dots', 'a dot segment half in escapes', '/public/.%2e/private/'],
  ['encoded-slash', 'an escaped slash', '/public/..%2fprivate/'],
  ['encoded-slash-upper', 'an escaped slash in upper case', '/public/..%2Fprivate/'],
  ['backslash', 'backslashes', '/public/..\\private\\'],
  ['encoded-backslash', 'escaped backslashes', '/public/..%5cprivate%5c'],
  ['double', 'escapes of escapes', '/public/%252e%252e/private/'],
  ['double-slash', 'escapes of an escaped slash', '/public/..%252fprivate/'],
  ['semicolon', 'a parameter on the dot segment (CVE-2021-28165 and others)', '/public/..;/private/'],
  ['semicolon-name', 'a parameter with a name on the dot segment', '/public/..;a=b/private/'],
  ['null', 'an escaped NUL', '/public/%00/../private/'],
  ['overlong', 'a slash in overlong UTF-8', '/public/..%c0%afprivate/'],
  ['overlong-dot', 'a dot in overlong UTF-8', '/public/%c0%ae%c0%ae/private/'],
  ['wide', 'a slash that normalisation makes', '/public/..%ef%bc%8fprivate/'],
  ['bad-escape', 'an escape that is none', '/public/%zz/../private/'],
  ['percent-u', 'an escape of IIS', '/public/..%u2215private/'],
  ['slashes', 'dot segments behind empty ones', '/public//../../private/'],
  ['triple', 'more dots than segments', '/public/../../../private/'],
  ['tab', 'an escaped tab in the dot segment', '/public/.%09./private/'],
  ['crlf', 'an escaped line end', '/public/%0d%0aX:%20'],
  ['case', 'another letter case', '/PUBLIC/'],
  ['prefix', 'a path that only begins so', '/publicly/'],
  ['root', 'the rule’s folder behind another', '/x/public/'],
  ['leading-slashes', 'two slashes in front, read as a host', '//evil.test/public/'],
  ['question', 'a dot segment behind an escaped question mark', '/public/%3f/../../private/'],
  ['hash', 'a dot segment behind an escaped hash', '/public/%23/../../private/'],
];

export const PATHS_READ: readonly Attempt[] = PATHS.map(([id, title, path]): Attempt => ({
  id: `paths-${id}`,
  title: `${title}: ${path}`,
  invariant: 1,
  attempt: async (by) =>
    void (await say(by.connect(SITES.plain, 80), http(`GET ${path}${by.token} HTTP/1.1`, 'Host: plain.test'))),
  control: 'free',
}));
