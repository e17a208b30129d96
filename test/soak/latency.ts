/** What another workload's requests take while one attacks as fast as it can: `npm run soak -- --latency`. */
import {fileURLToPath} from 'node:url';
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
/** The victim's own load: a request on a kept connection, and now and then a new connection. */
const PAUSE_MS = 5;
const NEW_EVERY = 20;
const REQUEST = 'GET /ok/a HTTP/1.1\r\nHost: site.test\r\n\r\n';

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const ms = (value: number): string => value.toFixed(1);

function share(sorted: readonly number[], at: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? NaN;
}

async function measure(world: LimitsWorld, attack: string): Promise<(string | number)[]> {
  const attacker =
    attack === 'nothing'
      ? null
      : world.lab.lab.spawn(
          'app',
          [process.execPath, fileURLToPath(new URL('./attacker.ts', import.meta.url)), attack, world.site],
          {stdio: ['ignore', 'ignore', 'inherit']},
        );
  await wait(BEGIN_MS);
  const kept: number[] = [];
  const fresh: number[] = [];
  let failed = 0;
  const before = usage(world.lab.proxy.pid!).cpuUs;
  const socket = await world.secure('other', 'site.test', 'http/1.1');
  const until = performance.now() + MEASURE_MS;
  for (let i = 0; performance.now() < until; i++) {
    let started = performance.now();
    socket.write(REQUEST);
    await new Promise((resolve) => socket.once('data', resolve));
    kept.push(performance.now() - started);
    if (i % NEW_EVERY === 0) {
      started = performance.now();
      if ((await world.ask('other', 'https://site.test/ok/b')).status !== 200) failed++;
      fresh.push(performance.now() - started);
    }
    await wait(PAUSE_MS);
  }
  const cpu = ((usage(world.lab.proxy.pid!).cpuUs - before) / (MEASURE_MS * 1_000)) * 100;
  socket.destroy();
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

export async function latencyTable(say: (text: string) => void): Promise<Table> {
  const world = await limitsWorld('latency');
  try {
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
