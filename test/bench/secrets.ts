/** Certificates for Envoy: from the question for a name to the answer with its leaf, over a unix socket, a stream for each name. */
import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {createInterface} from 'node:readline';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {create} from '@bufbuild/protobuf';
import {ChannelCredentials, makeGenericClientConstructor, type ClientDuplexStream, type Client} from '@grpc/grpc-js';
import {stringify} from 'yaml';
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
} from '../../extauthz/gen/envoy/service/discovery/v3/discovery_pb.js';
import {SECRETS} from '../../extauthz/sds/index.ts';
import type {Table} from './tables.ts';

type Stream = ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

const NAMES = 1000;
/** Refused names are minted so many at once, and then slowly (MINTS in extauthz/sds/secrets.ts). */
const REFUSED_NAMES = 250;
const WARM = 50;
const RULES = 1000;
/** Deployments: workloads that rules could tell apart. */
const WORKLOADS = 1000;
const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));

export async function benchSecrets(): Promise<Table> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-sds-'));
  writeFileSync(join(dir, 'policy.yaml'), stringify(policy()));
  writeFileSync(join(dir, 'workloads.yaml'), stringify(workloads()));
  const child = spawn(process.execPath, [MAIN, 'extauthz', ...flags(dir)], {stdio: ['ignore', 'pipe', 'inherit']});
  try {
    await listening(child);
    const channel = new (makeGenericClientConstructor(SECRETS, 'SecretDiscoveryService'))(
      `unix:${dir}/sds.sock`,
      ChannelCredentials.createInsecure(),
    );
    const ask = (name: string): Promise<number> => answered(channel, name);
    await times(ask, WARM, (i) => `warm-${i}.bench.test`);
    const rows = [
      ['a new name that is inspected', await times(ask, NAMES, (i) => `host-${i}.bench.test`)],
      ['a new name that is refused', await times(ask, REFUSED_NAMES, (i) => `host-${i}.refused.test`)],
      ['a name that is known', await times(ask, NAMES, (i) => `host-${i}.bench.test`)],
    ] as const;
    channel.close();
    return {
      title: `Certificates by SDS (${RULES} rules, ${WORKLOADS} kinds of workloads, one after the other)`,
      columns: ['asked for', 'mean ms', 'p50 ms', 'p99 ms'],
      rows: rows.map(([what, [mean, p50, p99]]) => [what, mean.toFixed(2), p50.toFixed(2), p99.toFixed(2)]),
    };
  } finally {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    rmSync(dir, {recursive: true, force: true});
  }
}

const flags = (dir: string): string[] => [
  ...['--policy', join(dir, 'policy.yaml'), '--workloads', join(dir, 'workloads.yaml'), '--ca-dir', join(dir, 'ca')],
  ...['--listen', `unix:${dir}/check.sock`, '--sds', `unix:${dir}/sds.sock`, '--admin', '127.0.0.1:0'],
  ...['--log-format', 'json'],
];

function policy(): object {
  const rules = Array.from({length: RULES - 1}, (_, i) => ({name: `r${i}`, to: {hosts: [`site-${i}.test`]}}));
  return {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'ClusterEgressPolicy',
    metadata: {name: 'bench'},
    spec: {podSelector: {}, rules: [...rules, {name: 'wide', to: {hosts: ['*.bench.test']}, http: {methods: ['GET']}}]},
  };
}

function workloads(): object[] {
  return Array.from({length: WORKLOADS}, (_, i) => ({
    ips: [`10.244.${i >> 8}.${i & 255}`],
    namespace: `ns-${i % 50}`,
    name: `app-${i}-0`,
    labels: {app: `app-${i}`},
    trustsCa: true,
  }));
}

async function listening(child: ChildProcess): Promise<void> {
  const lines = createInterface({input: child.stdout!});
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`extauthz ended with exit code ${code}`)));
    // Its lines are read to the end: it would wait for who does not.
    lines.on('line', (line) => {
      if (line.includes('extauthz.listening')) resolve();
    });
  });
}

/** ms from the question to the answer, on a stream of its own; the stream ends. */
async function answered(channel: Client, name: string): Promise<number> {
  const stream = (channel as unknown as {DeltaSecrets(): Stream}).DeltaSecrets();
  // Streams that have not quite ended when the service is.
  stream.on('error', () => undefined);
  const started = performance.now();
  stream.write(create(DeltaDiscoveryRequestSchema, {resourceNamesSubscribe: [name]}));
  const [response] = (await once(stream, 'data')) as [DeltaDiscoveryResponse];
  const ms = performance.now() - started;
  if (response.resources.length !== 1) throw new Error(`no certificate for ${name}`);
  stream.end();
  return ms;
}

/** Mean, median and 99th percentile. */
async function times(
  ask: (name: string) => Promise<number>,
  count: number,
  name: (i: number) => string,
): Promise<[number, number, number]> {
  const all: number[] = [];
  for (let i = 0; i < count; i++) all.push(await ask(name(i)));
  all.sort((a, b) => a - b);
  return [all.reduce((sum, ms) => sum + ms, 0) / count, all[count >> 1]!, all[Math.floor(count * 0.99)]!];
}
