/** What script filters cost: this proxy under one load on kept connections, without filters and with some of each kind. */
import {chmodSync, mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Lab} from '../lab/index.ts';
import {LOADS} from './load.ts';
import type {Peer, Site} from './peers/peer.ts';
import {sallyport} from './peers/sallyport.ts';
import {benchPeer, type Row} from './proxies.ts';
import type {Table} from './tables.ts';

/** Each is taken so often, in turns, and the middle one counts: what else the machine does comes and goes. */
const ROUNDS = 3;

/** What is in the folder; null: there is no --filters. */
const KINDS: Readonly<Record<string, string | null>> = {
  'no filters': null,
  'request, looks at the host': `export function request(flow) { if (flow.request.host.endsWith('.none.test')) flow.respond({status: 418}); }`,
  'request, sets a header': `export function request(flow) { flow.request.headers.set('x-workload', flow.workload.name); }`,
  'request and response': `export function request(flow) { flow.request.headers.set('x-a', '1'); }
export function response(flow) { flow.response.headers.delete('server'); }`,
};

function withFilter(name: string, source: string | null): Peer {
  return {
    ...sallyport,
    name,
    prepare(site) {
      const command = sallyport.prepare(site);
      if (source === null) return command;
      const dir = join(site.dir, 'filters');
      mkdirSync(dir, {recursive: true});
      writeFileSync(join(dir, '10-bench.mjs'), source);
      // Filters run as nobody.
      chmodSync(site.dir, 0o755);
      chmodSync(dir, 0o755);
      return {...command, argv: [...command.argv, '--filters', dir]};
    },
  };
}

export async function benchFilters(lab: Lab, site: Site, seconds: number, say: (text: string) => void): Promise<Table> {
  const load = LOADS.filter(({name}) => name === 'keep-alive, 100 B');
  const peers = Object.entries(KINDS).map(([name, source]) => withFilter(name, source));
  const taken = new Map<string, Row[]>(peers.map(({name}) => [name, []]));
  for (let round = 0; round < ROUNDS; round++)
    for (const peer of peers) {
      const own = {...site, dir: join(site.dir, `${peer.name.replace(/\W+/g, '-')}-${round}`)};
      mkdirSync(own.dir, {recursive: true});
      taken.get(peer.name)!.push(...(await benchPeer(lab, peer, own, seconds, say, load)));
    }
  const median = (rows: readonly Row[]): Row => [...rows].sort((a, b) => a.cpuUsPerRequest - b.cpuUsPerRequest)[rows.length >> 1]!; // prettier-ignore
  const without = median(taken.get('no filters')!);
  return {
    title: 'Script filters, kept connections, 100 B (all processes of the proxy together)',
    columns: ['filters', 'requests/s', 'CPU µs/request', 'CPU of no filters', 'p50 ms', 'p99 ms', 'errors'],
    rows: peers.map(({name}) => {
      const row = median(taken.get(name)!);
      return [
        name,
        Math.round(row.requestsPerSecond),
        Math.round(row.cpuUsPerRequest),
        `${(row.cpuUsPerRequest / without.cpuUsPerRequest).toFixed(2)}x`,
        row.p50Ms.toFixed(2),
        row.p99Ms.toFixed(2),
        row.errors,
      ];
    }),
  };
}
