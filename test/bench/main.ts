/**
 * `npm run bench`: this proxy beside its peers, in one run, in the same namespaces. Absolute figures mean little on a shared
 * machine; the ratios in a run do.
 *   npm run bench [-- --seconds N] [--only NAME]... [--skip proxies|filters|decide|http1|leaf|sds|extauthz|admission|node|start|idle|mtls]... [--json FILE]
 *   npm run bench -- --only mtls        a part alone: filters, decide, http1, leaf, sds, admission, node, start, idle, mtls
 *   npm run bench -- --check    three rounds of what there are aims for; exit code 1 where one is missed
 */
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {createLab, hasLabPrivileges} from '../lab/index.ts';
import {admissionAims, benchAdmission} from './admission.ts';
import {aims, checkTable, isMet, median, type RoundRow} from './check.ts';
import {benchDecide} from './decide.ts';
import {benchExtauthz, extauthzAims, extauthzTable, type CheckRow} from './extauthz.ts';
import {benchFilters} from './filters.ts';
import {benchHttp1} from './http1.ts';
import {benchIdle} from './idle.ts';
import {benchLeaf} from './leaf.ts';
import {LOADS} from './load.ts';
import {benchMtls, mtlsAims, mtlsTables, type MtlsRow} from './mtls.ts';
import {benchNode} from './node.ts';
import {benchPeer, PEERS, type Row} from './proxies.ts';
import {startSite} from './site.ts';
import {benchSecrets} from './secrets.ts';
import {benchStart} from './start.ts';
import {markdown, type Table} from './tables.ts';

const {values} = parseArgs({
  options: {
    seconds: {type: 'string', default: '5'},
    only: {type: 'string', multiple: true},
    skip: {type: 'string', multiple: true},
    json: {type: 'string'},
    check: {type: 'boolean', default: false},
  },
});
const say = (text: string): void => console.error(text);
const check = values.check;
/** There are no aims for these. */
const UNCHECKED: readonly string[] = ['http1', 'filters', 'node'];
/** Parts that run alone where --only names one; every other word there is (a part of) a peer's name. */
const ALONE = ['filters', 'decide', 'http1', 'leaf', 'sds', 'admission', 'node', 'start', 'idle', 'mtls'];
const alone = values.only?.filter((name) => ALONE.includes(name)) ?? [];
const skipped = (part: string): boolean =>
  (values.skip?.includes(part) ?? false) ||
  (alone.length > 0 && !alone.includes(part)) ||
  (check && UNCHECKED.includes(part));
const only = values.only ?? (check ? ['sallyport', 'Envoy', 'mitmproxy'] : null);
const loads = check ? LOADS.filter(({name}) => name !== 'new connection each, 1 MB') : LOADS;
const rounds = check ? 3 : 1;

const tables: Table[] = [];
const rows: RoundRow[] = [];
if (!skipped('decide')) tables.push(benchDecide());
if (!skipped('http1')) tables.push(benchHttp1());
if (!skipped('leaf')) tables.push(benchLeaf());
if (!skipped('sds')) tables.push(await benchSecrets());
let checks: readonly CheckRow[] = [];
if (!skipped('extauthz')) {
  checks = await benchExtauthz(Number(values.seconds), say, check ? undefined : values.only);
  if (checks.length > 0) tables.push(extauthzTable(checks));
}
if (!skipped('admission')) {
  const table = await benchAdmission(Number(values.seconds), say);
  if (table !== null) tables.push(table);
}
if (!skipped('node') && hasLabPrivileges().ok) {
  const table = await benchNode(say);
  if (table !== null) tables.push(table);
}
let wire: readonly MtlsRow[] = [];
if (!skipped('mtls') && hasLabPrivileges().ok) {
  wire = await benchMtls(Number(values.seconds), say);
  tables.push(...mtlsTables(wire));
}

const privileges = hasLabPrivileges();
if (!privileges.ok) {
  say(`skip: the proxies side by side need ${privileges.missing}`);
} else {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  const lab = await createLab({name: 'bench', pods: [{name: 'client'}]});
  try {
    const site = await startSite(lab, dir);
    if (!skipped('proxies')) tables.push(await proxies());
    if (!skipped('filters'))
      tables.push(await benchFilters(lab, {...site, dir: join(dir, 'filters')}, Number(values.seconds), say));
    if (!skipped('start')) tables.push(await benchStart(lab, {...site, dir: join(dir, 'start')}));
    if (!skipped('idle')) tables.push(await benchIdle(lab, {...site, dir: join(dir, 'idle')}));

    async function proxies(): Promise<Table> {
      for (let round = 1; round <= rounds; round++) {
        for (const peer of PEERS) {
          if (only !== null && !only.some((name) => peer.name.includes(name))) continue;
          const own = {...site, dir: join(dir, `${peer.name.replace(/\W+/g, '-')}-${round}`)};
          const missing = peer.missing(own);
          if (missing !== null) say(`skip: ${peer.name}: ${missing}`);
          else
            for (const row of await benchPeer(lab, peer, own, Number(values.seconds), say, loads))
              rows.push({...row, round});
        }
      }
      return proxyTable(rows);
    }
  } finally {
    await lab.close();
    rmSync(dir, {recursive: true, force: true});
  }
}
const measured = check
  ? [...aims(rows, tables), ...extauthzAims(checks, tables), ...admissionAims(tables), ...mtlsAims(wire)]
  : [];
if (check) tables.push(checkTable(measured));
console.log(tables.map(markdown).join('\n'));
if (!measured.every(isMet)) process.exitCode = 1;
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(tables, null, 2)}\n`);

/** Medians of the rounds. Ratios are to Envoy, the peer that a mesh would use. */
function proxyTable(all: readonly Row[]): Table {
  const of = (load: string, peer: string, what: (row: Row) => number): number =>
    median(all.filter((row) => row.load === load && row.peer === peer).map(what));
  const envoy = all.find((row) => row.peer.startsWith('Envoy'))?.peer;
  return {
    title: 'Proxies side by side, TLS in and TLS out, one worker each',
    columns: [
      'load',
      'proxy',
      'requests/s',
      'CPU µs/request',
      'CPU of Envoy',
      'p50 ms',
      'p99 ms',
      'memory MB',
      'errors',
    ],
    rows: [...new Set(all.map((row) => row.load))].flatMap((load) =>
      [...new Set(all.filter((row) => row.load === load).map((row) => row.peer))].map((peer) => {
        const cpuUs = of(load, peer, (row) => row.cpuUsPerRequest);
        return [
          load,
          peer,
          Math.round(of(load, peer, (row) => row.requestsPerSecond)),
          Math.round(cpuUs),
          envoy === undefined ? '' : `${(cpuUs / of(load, envoy, (row) => row.cpuUsPerRequest)).toFixed(2)}x`,
          of(load, peer, (row) => row.p50Ms).toFixed(2),
          of(load, peer, (row) => row.p99Ms).toFixed(2),
          Math.round(of(load, peer, (row) => row.residentBytes) / 1e6),
          of(load, peer, (row) => row.errors),
        ];
      }),
    ),
  };
}
