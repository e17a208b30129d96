/**
 * mTLS between pods of two nodes, in one run: plain TCP, our wire on both nodes, and a pair of Envoys with the same certificates. All
 * of them share the machine's cores with the programs, so what a byte or a request costs the proxies is what can be compared.
 */
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createMtlsLabs, podIps, type MtlsLabs} from '../lab/mtls/labs.ts';
import {median, type Aim} from './check.ts';
import {LOADS, parseWrk, wrkArguments, type Load} from './load.ts';
import {ALL_PORTS, startWays, US, type Way} from './mtls-ways.ts';
import {usage} from './processes.ts';
import type {Table} from './tables.ts';

const REQUESTS = LOADS.filter(({path}) => path === '/small');
const BULK = 'bulk';
const BULK_STREAMS = 4;
const ROUNDS = 3;
const WARM_UP_SECONDS = 2;
const SMALL_BYTES = 100;

export interface MtlsRow {
  readonly way: string;
  readonly load: string;
  readonly round: number;
  /** Bytes or requests per second. */
  readonly rate: number;
  /** CPU of the proxies of both nodes, for a byte or a request; 0 where there are none. */
  readonly cpuUs: number;
  /** The same with the programs; null where they are not counted. */
  readonly allCpuUs: number | null;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly errors: number;
  /** Of both nodes. */
  readonly residentBytes: number;
}

/** `say` is told how it goes. Needs root, nft, wrk, nginx, iperf3. */
export async function benchMtls(seconds: number, say: (text: string) => void): Promise<MtlsRow[]> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-mtls-'));
  const labs = await createMtlsLabs();
  try {
    startPrograms(labs, dir);
    const ways = await startWays(labs, dir, say);
    const rows: MtlsRow[] = [];
    for (let round = 0; round <= ROUNDS; round++) {
      for (const load of [null, ...REQUESTS]) {
        for (const way of ways) {
          // Round 0 warms compilers, pools and caches.
          const row = await measure(labs, way, load, round, round === 0 ? WARM_UP_SECONDS : seconds);
          if (round === 0) continue;
          rows.push(row);
          say(spoken(row));
        }
      }
    }
    return rows;
  } finally {
    await labs.close();
    rmSync(dir, {recursive: true, force: true});
  }
}

/** nginx and iperf3 in pod b, each on a port of every way. */
function startPrograms(labs: MtlsLabs, dir: string): void {
  const [ip] = podIps('b');
  const www = join(dir, 'www');
  mkdirSync(www);
  mkdirSync(join(dir, 'tmp'));
  writeFileSync(join(www, 'small'), 'x'.repeat(SMALL_BYTES));
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((of) => `${of}_temp_path ${dir}/tmp/${of};`);
  const config = join(dir, 'nginx.conf');
  writeFileSync(
    config,
    `daemon off; user root; worker_processes 1; pid ${dir}/nginx.pid; error_log ${dir}/nginx.log;
events { worker_connections 40000; }
http {
  access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 300; ${paths.join(' ')}
  server { ${ALL_PORTS.map(({http}) => `listen ${ip}:${http};`).join(' ')} root ${www}; }
}
`,
  );
  labs.labs.b.spawn('app', ['/usr/sbin/nginx', '-p', dir, '-c', config], {stdio: 'ignore'});
  for (const {bulk} of ALL_PORTS) labs.labs.b.spawn('app', ['iperf3', '-s', '-p', String(bulk)], {stdio: 'ignore'});
}

/** `load` null: bulk. */
async function measure(labs: MtlsLabs, way: Way, load: Load | null, round: number, seconds: number): Promise<MtlsRow> {
  const before = cost(way);
  const run = load === null ? await bulk(labs, way, seconds) : await requests(labs, way, load, seconds);
  const after = cost(way);
  const cpuUs = (after.cpuUs - before.cpuUs) / Math.max(1, run.units);
  return {
    ...{way: way.name, load: load?.name ?? BULK, round, rate: run.rate, cpuUs, residentBytes: after.residentBytes},
    ...{p50Ms: run.p50Ms, p99Ms: run.p99Ms, errors: run.errors},
    allCpuUs: run.programsCpuUs === null ? null : cpuUs + run.programsCpuUs / Math.max(1, run.units),
  };
}

interface Run {
  readonly units: number;
  readonly rate: number;
  readonly programsCpuUs: number | null;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly errors: number;
}

async function bulk(labs: MtlsLabs, {name, from, ports}: Way, seconds: number): Promise<Run> {
  const argv = ['-c', podIps('b')[0], '-p', ports.bulk, '-t', seconds, '-P', BULK_STREAMS, '-J'].map(String);
  const {stdout} = await labs.labs[from].exec('app', ['iperf3', ...argv], {timeoutMs: (seconds + 20) * 1000});
  const {end, error} = JSON.parse(stdout) as IperfReport;
  if (end?.sum_received === undefined) throw new Error(`iperf3 by ${name} measured nothing: ${error ?? stdout}`);
  const {bytes, seconds: took} = end.sum_received;
  const {host_total, remote_total} = end.cpu_utilization_percent;
  const programsCpuUs = ((host_total + remote_total) / 100) * took * 1e6;
  return {units: bytes, rate: bytes / took, programsCpuUs, p50Ms: null, p99Ms: null, errors: 0};
}

interface IperfReport {
  readonly error?: string;
  readonly end?: {
    readonly sum_received?: {readonly bytes: number; readonly seconds: number};
    readonly cpu_utilization_percent: {readonly host_total: number; readonly remote_total: number};
  };
}

async function requests(labs: MtlsLabs, {from, ports}: Way, load: Load, seconds: number): Promise<Run> {
  const argv = wrkArguments(load, `http://${podIps('b')[0]}:${ports.http}`, seconds);
  const {stdout, stderr} = await labs.labs[from].exec('app', ['wrk', ...argv], {timeoutMs: (seconds + 20) * 1000});
  const {requests: units, requestsPerSecond: rate, ...rest} = parseWrk(stdout + stderr);
  return {units, rate, programsCpuUs: null, ...rest};
}

function cost({pids}: Way): {cpuUs: number; residentBytes: number} {
  const all = pids.map(usage);
  const sum = (of: (one: (typeof all)[number]) => number): number => all.reduce((so, one) => so + of(one), 0);
  return {cpuUs: sum(({cpuUs}) => cpuUs), residentBytes: sum(({residentBytes}) => residentBytes)};
}

function spoken({way, load, rate, cpuUs, p99Ms, errors}: MtlsRow): string {
  const what =
    load === BULK
      ? `${(rate / 1e6).toFixed(0)} MB/s, ${(cpuUs * 1e3).toFixed(2)} CPU s/GB`
      : `${rate.toFixed(0)} requests/s, ${cpuUs.toFixed(0)} µs CPU, p99 ${p99Ms} ms`;
  return `mTLS, ${way}, ${load}: ${what}${errors > 0 ? `, ${errors} ERRORS` : ''}`;
}

/** Medians of the rounds; of ratios, those of each round. */
export function mtlsTables(rows: readonly MtlsRow[]): Table[] {
  const ways = [...new Set(rows.map(({way}) => way))];
  const of = (way: string, load: string, what: (row: MtlsRow) => number): number =>
    median(rows.filter((row) => row.way === way && row.load === load).map(what));
  const times = (value: number | null): string => (value === null || !isFinite(value) ? '' : `${value.toFixed(2)}x`);
  const programs = (row: MtlsRow): number => row.allCpuUs ?? 0;
  return [
    {
      title: `mTLS between two nodes, bulk, ${BULK_STREAMS} connections, one worker each`,
      columns: ['way', 'MB/s', 'of Envoy', 'CPU s/GB', 'GB/CPU s of Envoy', 'CPU s/GB with the programs', 'memory MB'],
      rows: ways.map((way) => [
        way,
        Math.round(of(way, BULK, ({rate}) => rate) / 1e6),
        times(ofEnvoy(rows, way, BULK, ({rate}) => rate)),
        (of(way, BULK, ({cpuUs}) => cpuUs) * 1e3).toFixed(2),
        times(ofEnvoy(rows, way, BULK, ({cpuUs}) => 1 / cpuUs)),
        (of(way, BULK, programs) * 1e3).toFixed(2),
        Math.round(of(way, BULK, ({residentBytes}) => residentBytes) / 1e6),
      ]),
    },
    {
      title: 'mTLS between two nodes, requests, 16 connections, one worker each',
      columns: ['load', 'way', 'requests/s', 'of Envoy', 'CPU µs', 'CPU of Envoy', 'p50 ms', 'p99 ms', 'errors'],
      rows: REQUESTS.flatMap(({name}) =>
        ways.map((way) => [
          name,
          way,
          Math.round(of(way, name, ({rate}) => rate)),
          times(ofEnvoy(rows, way, name, ({rate}) => rate)),
          Math.round(of(way, name, ({cpuUs}) => cpuUs)),
          times(ofEnvoy(rows, way, name, ({cpuUs}) => cpuUs)),
          of(way, name, ({p50Ms}) => p50Ms ?? 0).toFixed(2),
          of(way, name, ({p99Ms}) => p99Ms ?? 0).toFixed(2),
          of(way, name, ({errors}) => errors),
        ]),
      ),
    },
  ];
}

export function mtlsAims(rows: readonly MtlsRow[]): Aim[] {
  const small = REQUESTS.find(({close}) => !close)!.name;
  return [
    {
      what: 'mTLS between nodes: bytes for a CPU second, of Envoy’s',
      measured: ofEnvoy(rows, US, BULK, ({cpuUs}) => 1 / cpuUs),
      ...{limit: 1, least: true, unit: 'x'},
    },
    {
      what: 'mTLS between nodes: CPU for a kept request of 100 B, of Envoy’s',
      measured: ofEnvoy(rows, US, small, ({cpuUs}) => cpuUs),
      ...{limit: 1.5, unit: 'x'},
    },
  ];
}

/** One way to Envoy, each pair of one round; the median of the rounds; null where one of both was not measured. */
function ofEnvoy(rows: readonly MtlsRow[], way: string, load: string, what: (row: MtlsRow) => number): number | null {
  const same = rows.filter((row) => row.load === load);
  const ratios = same
    .filter((row) => row.way === way)
    .flatMap((ours) => {
      const theirs = same.find((row) => row.round === ours.round && row.way.startsWith('Envoy'));
      return theirs === undefined ? [] : [what(ours) / what(theirs)];
    });
  return ratios.length === 0 ? null : median(ratios);
}
