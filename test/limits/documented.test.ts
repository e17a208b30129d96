/** docs/LIMITS.md names every limit with its value: a table that can be wrong is worse than none. */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect, test} from '@jest/globals';
import {RESOLVER_LIMITS} from '../../dns/resolver-limits.ts';
import {JOURNAL_LIMITS} from '../../runtime/journal-limits.ts';
import {DEFAULT_LIMITS} from '../../tproxy/http1/limits.ts';
import {POD_CONNECTION_LIMITS, WIRE_LIMITS} from '../../tproxy/mtls/wire/limits.ts';
import {RELAY_LIMITS} from '../../tproxy/relay/limits.ts';
import {LIMITS} from '../../tproxy/upstream/limits.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/LIMITS.md'), 'utf8');
const KIB = 1024;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

/** As the tables write it, by the unit in the name. */
function written(name: string, value: number): string {
  if (name.endsWith('Mb')) return `${value} MiB`;
  if (name.endsWith('Ms')) {
    if (value % HOUR_MS === 0) return `${value / HOUR_MS} h`;
    if (value % MINUTE_MS === 0) return `${value / MINUTE_MS} min`;
    return value >= 1_000 ? `${value / 1_000} s` : `${value} ms`;
  }
  if (name.includes('Bytes')) {
    if (value % (KIB * KIB) === 0) return `${value / KIB / KIB} MiB`;
    return value % KIB === 0 ? `${value / KIB} KiB` : `${value} B`;
  }
  return value.toLocaleString('en');
}

test.each<[string, object]>([
  ['Relay: clients', RELAY_LIMITS],
  ['Upstream: servers and parents', LIMITS],
  ['HTTP/1 codec', DEFAULT_LIMITS],
  ['Names', RESOLVER_LIMITS],
  ['mTLS between pods', WIRE_LIMITS],
  ['mTLS inside a pod', POD_CONNECTION_LIMITS],
  ['Log', JOURNAL_LIMITS],
])('%s: every limit is in the table with its value, and no other', (heading, limits) => {
  const section = page.split(`\n## ${heading}\n`)[1]!.split('\n## ')[0]!;
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  const found = rows.map((line) => {
    const [, name, value] = line.split('|').map((cell) => cell.trim());
    return `${name} ${value}`;
  });
  const wanted = Object.entries(limits as Record<string, number>).map(
    ([name, value]) => `\`${name}\` ${written(name, value)}`,
  );
  expect(found.sort()).toEqual(wanted.sort());
});
