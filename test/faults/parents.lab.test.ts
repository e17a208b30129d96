/** Parent proxies that flap: refused, closing, talking nonsense, asking for credentials; the next endpoint takes over, and back. */
import {createServer} from 'node:http';
import {createServer as createHttps} from 'node:https';
import {afterAll, afterEach, beforeAll, expect} from '@jest/globals';
import {eventually} from '../lab/capture-rig.ts';
import {proxiedLab, type ProxiedLab} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {listenIn} from '../lab/sockets.ts';
import {curl, descriptors, httpTo, page, policy, workersOf} from './fault-lab.ts';
import {parent, upstreamProxy, type Parent} from './parent.ts';

const it = labTest('curl');
const [FIRST, SECOND] = ['5.6.60.1', '5.6.60.2'] as const;

let world: ProxiedLab;
let first: Parent;
let second: Parent;
let reached = 0;

beforeAll(async () => {
  const corp = upstreamProxy([`http://${FIRST}:3128`, `http://${SECOND}:3128`], {hosts: ['*']});
  const rules = [...httpTo('a.test'), {name: 'sealed', to: {hosts: ['a.test'], schemes: ['tls']}}];
  world = await proxiedLab({name: 'parents', policies: [policy(rules), corp]});
  const site = createServer((_, response) => {
    reached++;
    response.end('hello');
  });
  const ip = await world.addSite('a.test', 80, site);
  await world.addSite(
    'a.test',
    443,
    createHttps({SNICallback: (_, done) => done(null, world.ca.leaves.context('a.test'))}, (_, response) =>
      response.end('hello'),
    ),
  );
  [first, second] = [parent(() => world, {'a.test': ip}), parent(() => world, {'a.test': ip})];
  await world.lab.internet.addAddress(FIRST, SECOND);
  await listenIn(world.lab.internet.path, first.server, FIRST, 3128);
  await listenIn(world.lab.internet.path, second.server, SECOND, 3128);
}, 40_000);
afterEach(() => {
  first.doing = second.doing = 'carry';
});
afterAll(async () => {
  first.cut();
  second.cut();
  first.server.close();
  second.server.close();
  await world.close();
});

it('both are up: the first carries', async () => {
  expect(await curl(world, 'http://a.test/')).toBe('200');
  expect([first.heads.length, second.heads.length]).toEqual([1, 0]);
}, 20_000);

/** A TLS connection that a `tls` rule passes through: the parent is asked by CONNECT. */
const connectOnly = async (): Promise<{failure: unknown; message: unknown; proxied: unknown}> => {
  const before = world.journal.length;
  await world.lab.exec('app', ['curl', '-s', '-m', '15', '-k', 'https://a.test/']);
  const line = await world.seen(
    (line) => line.event === 'egress.flow' && line['protocol'] === 'tls' && world.journal.indexOf(line) >= before,
  );
  return {failure: line['failure'], message: line['message'], proxied: line['proxied']};
};

it.each([
  ['asks for other credentials (407)', {answer: 'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n'}, /407/],
  ['refuses (403)', {answer: 'HTTP/1.1 403 No\r\n\r\n'}, /403/],
] as const)(
  'a parent that %s is asked once: another endpoint would say the same',
  async (_what, doing, says) => {
    first.doing = second.doing = doing;
    const heads = first.heads.length + second.heads.length;
    const {failure, message} = await connectOnly();
    expect([failure, message]).toEqual(['UpstreamProxyRefused', expect.stringMatching(says)]);
    expect(first.heads.length + second.heads.length).toBe(heads + 1);
  },
  30_000,
);

it('a parent that cannot reach the server (502) says so; the server is not tried around it', async () => {
  first.doing = second.doing = {answer: 'HTTP/1.1 502 Bad Gateway\r\n\r\n'};
  const before = reached;
  const {failure} = await connectOnly();
  expect(failure).toMatch(/UpstreamUnreachable|UpstreamProxyRefused/);
  expect(reached).toBe(before);
}, 30_000);

it.each([
  ['closes within CONNECT', (client) => void client.end()],
  ['resets within CONNECT', (client) => void client.resetAndDestroy()],
  ['closes within its answer', (client) => void client.end('HTTP/1.1 200 Conn')],
] as const satisfies readonly (readonly [string, Exclude<Parent['doing'], string | {answer: string}>])[])(
  'an endpoint that %s: the next one carries',
  async (_what, doing) => {
    first.doing = doing;
    const before = second.heads.length;
    const {failure, proxied} = await connectOnly();
    expect([failure, proxied]).toEqual([null, 'corp']);
    expect(second.heads).toHaveLength(before + 1);
  },
  30_000,
);

it.each([
  ['answers garbage', (client) => void client.end('\x00\x01\x02 no http at all\r\n\r\n')],
  ['answers without end', (client) => void client.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(64 * 1024)}`)],
] as const satisfies readonly (readonly [string, Exclude<Parent['doing'], string | {answer: string}>])[])(
  'an endpoint that %s is no proxy: that is said, and nobody else is told what was meant for it',
  async (_what, doing) => {
    first.doing = second.doing = doing;
    const heads = first.heads.length + second.heads.length;
    expect((await connectOnly()).failure).toBe('UpstreamMalformed');
    expect(first.heads.length + second.heads.length).toBe(heads + 1);
  },
  30_000,
);

it('all endpoints down: refused, never direct; back up: carried again, and no descriptor is left', async () => {
  const [worker] = workersOf(world.proxy.pid!);
  first.cut();
  second.cut();
  const before = descriptors(worker!);
  await Promise.all([first, second].map(({server}) => new Promise((resolve) => server.close(resolve))));
  const seen = reached;
  const {status, body} = await page(world, 'http://a.test/');
  expect(status).toBe('502');
  // Names the UpstreamProxy and what was tried, not the inside of the network.
  expect(body).toMatch(/UpstreamUnreachable[^]*UpstreamProxy corp cannot be used: endpoint/);
  expect(body).not.toContain(FIRST);
  expect(reached).toBe(seen);
  await listenIn(world.lab.internet.path, first.server, FIRST, 3128);
  expect(await curl(world, 'http://a.test/')).toBe('200');
  await listenIn(world.lab.internet.path, second.server, SECOND, 3128);
  await eventually(() => descriptors(worker!) <= before + 1);
}, 60_000);
