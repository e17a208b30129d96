/** `npm run escape` as a test: each world once. What gets out, or proves nothing, is named. */
import {expect} from '@jest/globals';
import {labTest} from '../lab/require.ts';
import {KNOWN_OPEN} from './known.ts';
import {runAll} from './run.ts';
import {ATTEMPTS} from './ways/index.ts';
import {WORLDS, type WorldName} from './world.ts';

const it = labTest('curl', 'openssl', 'python3', 'tcpdump', 'ping');

it.each(Object.keys(WORLDS) as WorldName[])(
  'nothing gets out but what is known to, %s',
  async (world) => {
    const results = await runAll(ATTEMPTS, [world]);
    expect(results.length).toBeGreaterThan(0);
    const out = results.flatMap(({id, attempt, outcome}) =>
      outcome.kind === 'open' && !KNOWN_OPEN.has(attempt.id) ? [`${id}: ${outcome.where}`] : [],
    );
    expect(out).toEqual([]);
  },
  900_000,
);
