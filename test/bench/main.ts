/**
 * `npm run bench`: this proxy beside its peers, in one run, in the same namespaces. Absolute figures mean little on a shared
 * machine; the ratios in a run do.
 *   npm run bench [-- --seconds N] [--only NAME]... [--skip proxies|filters|decide|http1|leaf|start|idle]... [--json FILE]
 */
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {createLab, hasLabPrivileges} from '../lab/index.ts';
import {benchDecide} from './decide.ts';
import {benchFilters} from './filters.ts';
import {benchHttp1} from './http1.ts';
import {benchIdle} from './idle.ts';
import {benchLeaf} from './leaf.ts';
import {benchPeer, PEERS, type Row} from './proxies.ts';
import {startSite} from './site.ts';
import {benchStart} from './start.ts';
import {markdown, type Table} from './tables.ts';

const {values} = parseArgs({
  options: {
    seconds: {type: 'string', default: '5'},
    only: {type: 'string', multiple: true},
    skip: {type: 'string', multiple: true},
    json: {type: 'string'},
  },
});
const say = (text: string): void => console.error(text);
const skipped = (part: string): boolean => values.skip?.includes(part) ?? false;

const tables: Table[] = [];
if (!skipped('decide')) tables.push(benchDecide());
if (!skipped('http1')) tables.push(benchHttp1());
if (!skipped('leaf')) tables.push(benchLeaf());

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
      const rows: Row[] = [];
      for (const peer of PEERS) {
        if (values.only !== undefined && !values.only.some((name) => peer.name.includes(name))) continue;
        const own = {...site, dir: join(dir, peer.name.replace(/\W+/g, '-'))};
        const missing = peer.missing(own);
        if (missing !== null) say(`skip: ${peer.name}: ${missing}`);
        else rows.push(...(await benchPeer(lab, peer, own, Number(values.seconds), say)));
      }
      return proxyTable(rows);
    }
  } finally {
    await lab.close();
    rmSync(dir, {recursive: true, force: true});
  }
}
console.log(tables.map(markdown).join('\n'));
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(tables, null, 2)}\n`);

/** Ratios are to Envoy, the peer that a mesh would use. */
function proxyTable(rows: readonly Row[]): Table {
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
    rows: [...new Set(rows.map((row) => row.load))].flatMap((load) => {
      const same = rows.filter((row) => row.load === load);
      const envoy = same.find((row) => row.peer.startsWith('Envoy'));
      return same.map((row) => [
        load,
        row.peer,
        Math.round(row.requestsPerSecond),
        Math.round(row.cpuUsPerRequest),
        envoy === undefined ? '' : `${(row.cpuUsPerRequest / envoy.cpuUsPerRequest).toFixed(2)}x`,
        row.p50Ms.toFixed(2),
        row.p99Ms.toFixed(2),
        Math.round(row.residentBytes / 1e6),
        row.errors,
      ]);
    }),
  };
}
