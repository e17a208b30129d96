/**
 * The ext_authz service beside OPA-Envoy and a server of grpc-js that decides nothing: the same CheckRequest over one
 * connection, the server on one core and the client on another.
 */
import {spawn, type ChildProcess} from 'node:child_process';
import {createSocket} from 'node:dgram';
import {mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {availableParallelism, tmpdir} from 'node:os';
import {join} from 'node:path';
import {Client, credentials} from '@grpc/grpc-js';
import {fromBinary} from '@bufbuild/protobuf';
import {answerQuery} from '../../cli/demo/dns.ts';
import {CheckResponseSchema} from '../../extauthz/gen/envoy/service/auth/v3/external_auth_pb.js';
import {CHECK_PATH, loadCheck, type CheckLatencies} from './extauthz-load.ts';
import {checkRequest, grpcMessage} from './extauthz-request.ts';
import type {CheckPeer} from './peers/check-peer.ts';
import {extauthz} from './peers/extauthz.ts';
import {grpcPassThrough} from './peers/grpc-pass-through.ts';
import {opa} from './peers/opa.ts';
import {usage} from './processes.ts';
import type {Aim} from './check.ts';
import type {Table} from './tables.ts';

const HOST = 'api.paths.test';
const ADDRESS = '203.0.113.9';
const SOURCE = '10.244.1.5';
const FIRST_PORT = 19_000;
/** A load that leaves every peer idle most of the time: latency is the answer's, not the queue's. */
const PER_SECOND = 1_000;
/** 100,000 rules are read from YAML before the first answer. */
const START_TIMEOUT_MS = 120_000;

/** How the table of secrets.ts begins. */
const SECRETS_TITLE = 'Certificates by SDS';

/** The rule that allows it, of the mix of decide.ts, is in the middle of those for this host. */
export const RULES = [1_000, 100_000] as const;
const PEERS: readonly CheckPeer[] = [grpcPassThrough, opa(false), opa(true), ...RULES.map(extauthz)];

export interface CheckRow {
  readonly peer: string;
  readonly full: CheckLatencies & {readonly cpuUs: number};
  readonly paced: CheckLatencies & {readonly cpuUs: number};
  readonly residentBytes: number;
}

/** @param seconds of each of the two loads on each peer. */
export async function benchExtauthz(
  seconds: number,
  say: (text: string) => void,
  only?: readonly string[],
): Promise<CheckRow[]> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-check-'));
  const dns = createSocket('udp4');
  dns.on('message', (query, from) => {
    const answer = answerQuery(query, () => ADDRESS);
    if (answer !== null) dns.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve) => dns.bind(0, '127.0.0.1', resolve));
  const message = checkRequest(HOST, '/v1/team-18/blue/items?page=2', SOURCE, ADDRESS);
  say(`Check: ${message.length} bytes`);
  const body = join(dir, 'body');
  writeFileSync(body, grpcMessage(message));
  const rows: CheckRow[] = [];
  try {
    for (const [i, peer] of PEERS.entries()) {
      if (only !== undefined && !only.some((name) => peer.name.includes(name))) continue;
      const missing = peer.missing();
      if (missing !== null) {
        say(`skip: ${peer.name}: ${missing}`);
        continue;
      }
      const site = {
        dir: join(dir, String(i)),
        host: HOST,
        address: ADDRESS,
        source: SOURCE,
        port: FIRST_PORT + 10 * i,
        resolver: `127.0.0.1:${dns.address().port}`,
      };
      mkdirSync(site.dir);
      const row = await benchPeer(peer, site, message, body, seconds);
      say(
        `${row.peer}: ${row.full.cpuUs.toFixed(0)} µs CPU at ${Math.round(row.full.requestsPerSecond)}/s, ${row.paced.cpuUs.toFixed(0)} µs at ${PER_SECOND}/s, p99 ${row.paced.p99Ms.toFixed(2)} ms`,
      );
      rows.push(row);
    }
  } finally {
    dns.close();
    rmSync(dir, {recursive: true, force: true});
  }
  return rows;
}

/** CPU ratios to OPA-Envoy at its cheapest, and to it with a decision log as ours has one. */
export function extauthzTable(rows: readonly CheckRow[]): Table {
  const opaRow = (log: boolean): CheckRow | undefined =>
    rows.find((row) => row.peer.startsWith('OPA') && row.peer.endsWith('log') === log);
  const ratio = (row: CheckRow, log: boolean): string => {
    const peer = opaRow(log);
    return peer === undefined ? '' : `${(row.full.cpuUs / peer.full.cpuUs).toFixed(2)}x`;
  };
  return {
    title: `ext_authz: one Check, one connection, one core (paced: ${PER_SECOND}/s)`,
    columns: [
      'service',
      'requests/s at most',
      'CPU µs/Check',
      'of OPA',
      'of OPA with its log',
      'CPU µs/Check, paced',
      'p50 ms, paced',
      'p99 ms, paced',
      'memory MB',
      'errors',
    ],
    rows: rows.map((row) => [
      row.peer,
      Math.round(row.full.requestsPerSecond),
      row.full.cpuUs.toFixed(0),
      ratio(row, false),
      ratio(row, true),
      row.paced.cpuUs.toFixed(0),
      row.paced.p50Ms.toFixed(2),
      row.paced.p99Ms.toFixed(2),
      Math.round(row.residentBytes / 1e6),
      row.full.errors + row.paced.errors,
    ]),
  };
}

/**
 * What there are aims for, with the few rules and with the many. Against OPA-Envoy without its log the aim is below what
 * grpc-js alone takes (docs/adr/0012): it stands here to be seen.
 */
export function extauthzAims(rows: readonly CheckRow[], tables: readonly Table[]): Aim[] {
  const opaRow = (log: boolean): CheckRow | undefined =>
    rows.find(({peer}) => peer.startsWith('OPA') && peer.endsWith('log') === log);
  const ratio = (rules: number, log: boolean, of: (row: CheckRow) => number): number | null => {
    const ours = rows.find(({peer}) => peer === extauthz(rules).name);
    const peer = opaRow(log);
    return ours === undefined || peer === undefined ? null : of(ours) / of(peer);
  };
  const minted = tables.find(({title}) => title.startsWith(SECRETS_TITLE));
  const p50 = minted?.rows[0]?.[minted.columns.indexOf('p50 ms')];
  return [
    ...RULES.flatMap((rules) => [
      {
        what: `CPU of OPA-Envoy for a Check, each with its decision log, ${rules.toLocaleString('en')} rules`,
        measured: ratio(rules, true, (row) => row.full.cpuUs),
        limit: 0.4,
        unit: 'x',
      },
      {
        what: `CPU of OPA-Envoy without its log, ${rules.toLocaleString('en')} rules`,
        measured: ratio(rules, false, (row) => row.full.cpuUs),
        limit: 0.4,
        unit: 'x',
      },
      {
        what: `p99 of OPA-Envoy with its log at equal load, ${rules.toLocaleString('en')} rules`,
        measured: ratio(rules, true, (row) => row.paced.p99Ms),
        limit: 1,
        unit: 'x',
      },
    ]),
    {what: 'a certificate for Envoy, minted', measured: p50 === undefined ? null : Number(p50), limit: 2, unit: 'ms'},
  ];
}

async function benchPeer(
  peer: CheckPeer,
  site: Parameters<CheckPeer['prepare']>[0],
  message: Uint8Array,
  body: string,
  seconds: number,
): Promise<CheckRow> {
  // One core each, where there are two: neither the Go runtime nor the client helps itself to the other's.
  const pinned = (core: number): string[] => (availableParallelism() > 1 ? ['taskset', '-c', String(core)] : []);
  const output = join(site.dir, 'output');
  const log = openSync(output, 'w');
  const [program, ...args] = [...pinned(0), ...peer.prepare(site)];
  const child = spawn(program!, args, {stdio: ['ignore', log, log]});
  closeSync(log);
  try {
    await answersAllowed(child, site.port, message, output, peer.name);
    const measure = async (load: Parameters<typeof loadCheck>[1]): Promise<CheckLatencies & {cpuUs: number}> => {
      const before = usage(child.pid!);
      const latencies = await loadCheck(site.port, load, body, join(site.dir, 'h2load'), pinned(1));
      return {...latencies, cpuUs: (usage(child.pid!).cpuUs - before.cpuUs) / latencies.requests};
    };
    // Warm, and the speed by which the length of the full run is chosen.
    await measure({kind: 'full', requests: 5_000});
    const {requestsPerSecond} = await measure({kind: 'full', requests: 5_000});
    const full = await measure({kind: 'full', requests: Math.ceil(requestsPerSecond * seconds)});
    const paced = await measure({kind: 'paced', requests: PER_SECOND * seconds, perSecond: PER_SECOND});
    return {peer: peer.name, full, paced, residentBytes: usage(child.pid!).residentBytes};
  } finally {
    await end(child);
  }
}

/** Waits until it allows the request: what refuses it, or answers something else, is not measured. */
async function answersAllowed(
  child: ChildProcess,
  port: number,
  message: Uint8Array,
  output: string,
  name: string,
): Promise<void> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 200,
  });
  const deadline = Date.now() + START_TIMEOUT_MS;
  const asIs = (bytes: Buffer): Buffer => bytes;
  try {
    for (;;) {
      const {bytes, problem} = await new Promise<{bytes: Buffer | null; problem: string}>((resolve) => {
        const options = {deadline: Date.now() + 2_000};
        client.makeUnaryRequest(CHECK_PATH, asIs, asIs, Buffer.from(message), options, (error, answer) =>
          resolve({bytes: answer ?? null, problem: error?.message ?? ''}),
        );
      });
      if (bytes !== null) {
        const {status} = fromBinary(CheckResponseSchema, bytes);
        if (status?.code === 0) return;
        if (status?.code !== 14)
          throw new Error(`${name} does not allow the request: ${JSON.stringify(status?.code)}\n${tail(output)}`);
      }
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`${name} does not answer (${problem}):\n${tail(output)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  } finally {
    client.close();
  }
}

const tail = (file: string): string => readFileSync(file, 'utf8').slice(-2_000);

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const kill = setTimeout(() => child.kill('SIGKILL'), 3_000);
  await gone;
  clearTimeout(kill);
}
