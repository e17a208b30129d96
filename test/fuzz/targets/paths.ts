/** Readings of paths and queries, and globs over them, against the reference. The first line is a glob, the second a target. */
import {foldGlob, matchGlob, parsePathGlob, parseValueGlob} from '../../../policy/match/globs.ts';
import {MAX_READINGS, readPath, readQuery} from '../../../policy/match/readings.ts';
import * as reference from '../../reference/texts.ts';
import {hold, same} from '../target.ts';
import type {Target} from '../target.ts';

function run(input: Buffer): string {
  const [pattern = '', written = ''] = input.toString('latin1').split('\n');
  // A path begins with a slash, or it is refused before it is read.
  const target = written.startsWith('/') ? written : `/${written}`;
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = mark === -1 ? null : target.slice(mark + 1);

  const readings = readPath(path);
  const theirs = reference.readings(path);
  if (readings.ok && !theirs.includes(path) && typeof theirs === 'string') hold(false, `the reference refuses: ${theirs}`); // prettier-ignore
  if (typeof theirs === 'string') hold(!readings.ok, `the reference refuses: ${theirs}`);
  // The reference looks at bytes as characters; what no request target holds raw is compared where both take it.
  else if (/^[!-~]*$/.test(path)) {
    hold(readings.ok, `refused, and the reference has ${theirs.length} readings`);
    if (readings.ok) same('other readings', [...readings.texts].sort(), [...theirs].sort());
  }
  if (readings.ok) hold(readings.texts.length <= MAX_READINGS, `${readings.texts.length} readings`);

  const queries = readQuery(query);
  const decodable = (text: string): boolean => /^(?:[!-$&-~]|%[0-7][0-9a-f])*$/i.test(text);
  if (query === null || decodable(query)) same('another query', queries.map((one) => [...one]), reference.queries(query).map((one) => [...one])); // prettier-ignore

  const glob = parsePathGlob(pattern);
  const value = parseValueGlob(pattern);
  if (glob.ok && readings.ok)
    for (const text of readings.texts) {
      same('another match', matchGlob(glob.glob, text), reference.glob(glob.glob.text, text, true, false));
      same('another match without letter case', matchGlob(foldGlob(glob.glob), text.toLowerCase()), reference.glob(glob.glob.text, text, true, true)); // prettier-ignore
    }
  if (value.ok) same('another match of a value', matchGlob(value.glob, target), reference.glob(value.glob.text, target, false, false)); // prettier-ignore
  return `${readings.ok ? readings.texts.length : readings.message} ${queries.length} ${glob.ok ? [glob.glob.exact, glob.glob.openEnd, readings.ok && readings.texts.some((text) => matchGlob(glob.glob, text))].join() : glob.message}`; // prettier-ignore
}

export const PATHS: Target = {
  name: 'paths',
  reads: 'readings of paths and queries, globs',
  covers: ['/policy/match/readings', '/policy/match/globs'],
  dictionary: ['/', '//', '/.', '/..', '/../', '..;/', ';a=b', '\\', '%2f', '%2F', '%5c', '%2e', '%2e%2e', '%252f', '%25', '%', '%00', '%0a', '%c0%af', '%e0%80%af', '%F0%80', '%7e', '%41', '*', '**', '***', '/**', '/*/', '?', '&', '=', '+', '%2b', '#', '\n', '[', '{', '\x80', 'admin', 'ADMIN'], // prettier-ignore
  seeds: ['/v1/**\n/v1/a/../b;x=1//c?q=1;r=2+3', '/a/*/c\n/a/%62/c', '**\n/%252e%252e/', '/admin\n/ADMIN%2f..\\x', '/a**b*c\n/axbyc'], // prettier-ignore
  maxBytes: 160,
  run,
};
