/** The machine's clock jumps, forwards and back, while it runs: leaves stay valid for clients, names are looked up as often as before. */
import {existsSync, writeFileSync, mkdtempSync, rmSync} from 'node:fs';
import {createServer} from 'node:http';
import {createServer as createHttps} from 'node:https';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, expect} from '@jest/globals';
import {eventually} from '../lab/capture-rig.ts';
import {proxiedLab, type ProxiedLab} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {answerQuery} from '../../cli/demo/dns.ts';
import {httpTo, policy, readyz} from './fault-lab.ts';

const LIBRARY = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu']
  .map((folder) => `${folder}/faketime/libfaketime.so.1`)
  .find(existsSync);
const it = labTest('curl', 'faketime');

let world: ProxiedLab;
let dir: string;
/** The clock of the proxy and of its pods: one machine has one. */
let clock: Record<string, string>;
const setClock = (offset: string): void => writeFileSync(join(dir, 'clock'), offset);

beforeAll(async () => {
  if (LIBRARY === undefined) return;
  dir = mkdtempSync(join(tmpdir(), 'sallyport-faults-'));
  setClock('+0');
  clock = {
    LD_PRELOAD: LIBRARY,
    FAKETIME_TIMESTAMP_FILE: join(dir, 'clock'),
    FAKETIME_NO_CACHE: '1',
    // A clock that is set leaves the monotonic one alone.
    DONT_FAKE_MONOTONIC: '1',
  };
  world = await proxiedLab({
    name: 'clock',
    policies: [policy([...httpTo('a.test'), {name: 'tls', to: {hosts: ['a.test']}}])],
    under: ['env', ...Object.entries(clock).map(([name, value]) => `${name}=${value}`)],
  });
  await world.addSite(
    'a.test',
    80,
    createServer((_, response) => response.end('hello')),
  );
  await world.addSite(
    'a.test',
    443,
    createHttps({SNICallback: (_, done) => done(null, world.ca.leaves.context('a.test'))}, (_, response) =>
      response.end('hello'),
    ),
  );
}, 40_000);
afterAll(async () => {
  if (LIBRARY === undefined) return;
  await world.close();
  rmSync(dir, {recursive: true});
});

const status = async (url: string): Promise<string> => {
  const argv = ['curl', '-s', '-m', '30', '-o', '/dev/null', '-w', '%{http_code}', url];
  const {stdout, status} = await world.lab.exec('app', argv, {env: {...world.trust, ...clock}});
  return status === 0 ? stdout : `curl exit ${status}`;
};

it.each(['+0', '+2d', '+5h', '-12h', '+1d', '-20h', '+0'])(
  'at %s a client with the same clock trusts the leaf',
  async (offset) => {
    setClock(offset);
    expect(await status('https://a.test/')).toBe('200');
    expect(await status('http://a.test/')).toBe('200');
    expect((await readyz(world)).ready).toBe(true);
  },
  30_000,
);

it('set back by half a day, a name is still looked up when its TTL is over', async () => {
  setClock('+0');
  expect(await status('http://a.test/')).toBe('200');
  setClock('-12h');
  let asked = 0;
  world.resolver = (query, answer) => {
    asked++;
    const reply = answerQuery(query, () => '5.6.40.1');
    if (reply !== null) answer(reply);
  };
  await eventually(async () => {
    const before = asked;
    // The pod asks by itself: only what comes on top is the proxy's.
    const argv = ['curl', '-s', '-m', '5', '-o', '/dev/null', '--resolve', 'a.test:80:5.6.40.1', 'http://a.test/'];
    await world.lab.exec('app', argv);
    return asked > before;
  });
  world.resolver = null;
}, 40_000);

it('what happened at which time is said by the clock of the moment, and nothing was restarted', () => {
  expect(world.journal.filter((line) => line.event === 'worker.restarted' || line.event === 'worker.hung')).toEqual([]);
});
