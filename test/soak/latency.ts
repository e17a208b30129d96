/** What another workload's requests take while one attacks as fast as it can: `npm run soak -- --latency`. */
import {once} from 'node:events';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {openCa} from '../../pki/index.ts';
import {createLeafMint} from '../../pki/leaf.ts';
import {limitsWorld, type LimitsWorld} from '../limits/world.ts';
import {usage} from '../bench/processes.ts';
import type {Table} from '../bench/tables.ts';

const ATTACKS = [
  'nothing',
  'handshakes',
  'random names',
  'rapid reset',
  'ping flood',
  'denied requests',
  'downloads',
  'connections held',
];
/** How long each is measured, after it has begun. */
const MEASURE_MS = 6_000;
const BEGIN_MS = 2_000;
/** Where the quiet workload's own server is. */
const CALM = '5.6.41.1';

/** The proxy, the quiet workload and its server go first, so that the proxy's turns are measured and not the machine's. */
const FIRST = ['nice', '-n', '-15'];

const program = (name: string): string => fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const ms = (value: number): string => value.toFixed(1);

function share(sorted: readonly number[], at: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? NaN;
}

async function measure(world: LimitsWorld, attack: string): Promise<(string | number)[]> {
  const attacker =
    attack === 'nothing'
      ? null
      : world.lab.lab.spawn('app', [process.execPath, program('attacker'), attack, world.site], {
          stdio: ['ignore', 'ignore', 'inherit'],
        });
  await wait(BEGIN_MS);
  const before = usage(world.lab.proxy.pid!).cpuUs;
  const victim = await world.lab.lab.exec(
    'other',
    [...FIRST, process.execPath, program('victim'), CALM, join(world.lab.caDir, 'ca.crt'), String(MEASURE_MS)],
    {timeoutMs: 10 * MEASURE_MS},
  );
  const {kept, fresh, failed} = JSON.parse(victim.stdout) as {kept: number[]; fresh: number[]; failed: number};
  const cpu = ((usage(world.lab.proxy.pid!).cpuUs - before) / (MEASURE_MS * 1_000)) * 100;
  if (attacker !== null) {
    const gone = new Promise((resolve) => attacker.once('exit', resolve));
    attacker.kill('SIGKILL');
    await gone;
  }
  await world.allGivenBack();
  for (const values of [kept, fresh]) values.sort((a, b) => a - b);
  const resident = Math.round(world.residentBytes() / 1_000_000);
  return [
    attack,
    ms(share(kept, 0.5)),
    ms(share(kept, 0.99)),
    ms(share(fresh, 0.5)),
    ms(share(fresh, 0.99)),
    failed,
    `${cpu.toFixed(0)} %`,
    resident,
  ];
}

async function startCalm(world: LimitsWorld): Promise<void> {
  const {lab} = world.lab;
  await lab.internet.addAddress(CALM);
  world.known['calm.test'] = CALM;
  const {chainPem, keyPem} = createLeafMint({ca: openCa({dir: join(world.lab.dir, 'public-ca')})}).mint('calm.test');
  const server = lab.spawn('internet', [...FIRST, process.execPath, program('calm'), CALM], {
    env: {CALM_CERT: chainPem, CALM_KEY: keyPem},
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(server.stdout!, 'data');
}

export async function latencyTable(say: (text: string) => void): Promise<Table> {
  const world = await limitsWorld('latency', FIRST);
  try {
    await startCalm(world);
    const rows: (string | number)[][] = [];
    for (const attack of ATTACKS) {
      rows.push(await measure(world, attack));
      say(rows.at(-1)!.join(', '));
    }
    return {
      title: 'Another workload while one attacks, ms',
      columns: [
        'attack',
        'kept, p50',
        'kept, p99',
        'new connection, p50',
        'new connection, p99',
        'failed',
        "the proxy's CPU",
        'MB resident afterwards',
      ],
      rows,
    };
  } finally {
    await world.close();
  }
}
