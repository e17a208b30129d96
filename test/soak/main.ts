/**
 * `npm run soak -- --requests N`: N requests (default a million) mixed over every protocol through the real proxy, and
 * whether its memory stays flat. Exit code 1 where it does not, or where a request failed. `-- --latency`: what another
 * workload's requests take while one attacks.
 */
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {connectIn, hasLabPrivileges} from '../lab/index.ts';
import {PORTS} from '../../runtime/names.ts';
import {markdown, type Table} from '../bench/tables.ts';
import {tree, usage} from '../bench/processes.ts';
import {kinds, type Kind} from './clients.ts';
import {latencyTable} from './latency.ts';
import {MAX_GROWTH_BYTES, MAX_GROWTH_SHARE, verdicts, type Sample} from './memory.ts';
import {soakWorld, type SoakWorld} from './world.ts';

const DEFAULT_REQUESTS = 1_000_000;
/** Clients side by side, over all kinds. */
const CONCURRENCY = 48;
const SAMPLES = 80;

const {values} = parseArgs({
  options: {requests: {type: 'string'}, json: {type: 'string'}, latency: {type: 'boolean', default: false}},
});
const wanted = Number(values.requests ?? DEFAULT_REQUESTS);
if (!Number.isInteger(wanted) || wanted < SAMPLES) {
  console.error(`--requests is ${JSON.stringify(values.requests)}: write a whole number from ${SAMPLES}`);
  process.exit(2);
}
const privileges = hasLabPrivileges();
if (!privileges.ok) {
  console.error(`the soak needs ${privileges.missing}`);
  process.exit(3);
}

if (values.latency) {
  console.log(markdown(await latencyTable((text) => console.error(text))));
  process.exit(0);
}

interface Counted {
  readonly kind: Kind;
  done: number;
  failed: number;
  lastError: string;
}

/** Every client asks for the kind that is furthest behind its share, so that the mix is the same all the way. */
async function drive(
  counted: readonly Counted[],
  total: number,
  onSample: (done: number) => Promise<void>,
): Promise<void> {
  let begun = 0;
  let done = 0;
  let sampling: Promise<void> | null = null;
  const every = Math.floor(total / SAMPLES);
  const begunOf = counted.map(() => 0);
  const next = (): number => {
    let best = 0;
    for (let i = 1; i < counted.length; i++)
      if (begunOf[i]! / counted[i]!.kind.share < begunOf[best]! / counted[best]!.kind.share) best = i;
    return best;
  };
  const run = async (): Promise<void> => {
    const clients = counted.map(({kind}) => kind.client());
    while (begun < total) {
      begun++;
      const i = next();
      begunOf[i]!++;
      const one = counted[i]!;
      try {
        await clients[i]!();
        one.done++;
      } catch (error) {
        one.failed++;
        one.lastError = String(error);
      }
      if (++done % every === 0) {
        await sampling;
        sampling = onSample(done);
      }
    }
  };
  await Promise.all(Array.from({length: CONCURRENCY}, run));
  await Promise.resolve(sampling);
}

async function metric(world: SoakWorld, name: string): Promise<number> {
  const socket = connectIn(world.proxied.lab.node.path, {ip: '127.0.0.1', port: PORTS.admin});
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  await new Promise((resolve, reject) => {
    socket.once('close', resolve);
    socket.once('error', reject);
  });
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

async function sample(world: SoakWorld, requests: number): Promise<Sample> {
  const resident: Record<string, number> = {};
  for (const pid of tree(world.proxied.proxy.pid!)) {
    const command = commandOf(pid);
    const worker = command.includes('tproxy/worker.');
    // nft, asked for its counters, comes and goes.
    if (!worker && pid !== world.proxied.proxy.pid) continue;
    const name = worker ? 'worker' : 'supervisor';
    resident[name] = (resident[name] ?? 0) + usage(pid).residentBytes - (worker ? 0 : below(pid));
  }
  return {requests, resident, heapBytes: await metric(world, 'sallyport_memory_bytes{kind="heap_used"}')};
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** usage() is of a tree; the supervisor's workers are told by themselves. */
function below(pid: number): number {
  return tree(pid)
    .filter((child) => child !== pid)
    .reduce((sum, child) => sum + usage(child).residentBytes, 0);
}

const mb = (bytes: number): string => (bytes / 1024 / 1024).toFixed(0);

const world = await soakWorld();
let failed: boolean;
try {
  const roots = {
    ours: readFileSync(join(world.proxied.caDir, 'ca.crt')),
    theirs: readFileSync(world.proxied.ca.bundle),
  };
  const counted = kinds(world, roots).map((kind) => ({kind, done: 0, failed: 0, lastError: ''}));
  const samples: Sample[] = [];
  const cpuBefore = usage(world.proxied.proxy.pid!).cpuUs;
  const started = Date.now();
  await drive(counted, wanted, async (done) => {
    const one = await sample(world, done);
    samples.push(one);
    const resident = Object.entries(one.resident).map(([name, bytes]) => `${name} ${mb(bytes)} MB`);
    console.error(`${done} requests: ${resident.join(', ')}, heap ${mb(one.heapBytes)} MB`);
  });
  const seconds = (Date.now() - started) / 1000;
  const cpuUs = (usage(world.proxied.proxy.pid!).cpuUs - cpuBefore) / wanted;
  const judged = verdicts(samples);
  const requests: Table = {
    title: `Soak: ${wanted} requests in ${seconds.toFixed(0)} s, ${cpuUs.toFixed(0)} µs of the proxy's CPU each`,
    columns: ['kind', 'requests', 'failed'],
    rows: counted.map(({kind, done, failed: lost}) => [kind.name, done, lost]),
  };
  const memory: Table = {
    title: `Memory, MB; at most ${MAX_GROWTH_SHARE * 100} % or ${mb(MAX_GROWTH_BYTES)} MB more in the last quarter than in the second`,
    columns: ['of', 'second quarter', 'last quarter', 'flat'],
    rows: judged.map(({name, secondQuarter, lastQuarter, flat}) => [
      name,
      mb(secondQuarter),
      mb(lastQuarter),
      flat ? 'yes' : 'NO',
    ]),
  };
  console.log(markdown(requests));
  console.log(markdown(memory));
  for (const {kind, failed: lost, lastError} of counted)
    if (lost > 0) console.error(`${kind.name}: ${lost} failed, last: ${lastError}`);
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify({requests, memory, samples}));
  failed = judged.some(({flat}) => !flat) || counted.some(({failed: lost}) => lost > 0);
} finally {
  await world.proxied.close();
}
process.exit(failed ? 1 : 0);
