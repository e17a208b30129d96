/** A resolver that is gone, slow or lying: what needs a name fails with a clear reason, what lives goes on, and it recovers. */
import {createServer} from 'node:http';
import {createServer as createTcp} from 'node:net';
import {afterAll, afterEach, beforeAll, expect} from '@jest/globals';
import {decode, encode, TRUNCATED_RESPONSE} from 'dns-packet';
import {answerQuery} from '../../cli/demo/dns.ts';
import {eventually} from '../lab/capture-rig.ts';
import {proxiedLab, RESOLVER, type ProxiedLab} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {listenIn} from '../lab/sockets.ts';
import {curl, metric, policy, readyz} from './fault-lab.ts';
import {sealed, tlsEchoServer} from './living.ts';
import {within} from '../waiting.ts';

const it = labTest('curl');

let world: ProxiedLab;
let site: string;
beforeAll(async () => {
  const rules = [
    {name: 'web', to: {hosts: ['*.name.test'], schemes: ['http', 'tls']}},
    {name: 'more', to: {hosts: ['more.test'], schemes: ['http']}},
  ];
  world = await proxiedLab({name: 'resolver', policies: [policy(rules)]});
  site = await world.addSite(
    'one.name.test',
    80,
    createServer((_, response) => response.end('hello')),
  );
}, 40_000);
afterEach(() => {
  world.resolver = null;
});
afterAll(async () => {
  await world.close();
});

/** The pod knows the address already; only the proxy has to ask. */
const ask = (name: string): Promise<string> =>
  curl(world, `http://${name}/`, '--resolve', `${name}:80:${site}`, '-m', '20');
const header = (query: Buffer, flags: number): Buffer => {
  const {id, questions} = decode(query);
  return encode({type: 'response', id: id ?? 0, flags, questions: questions ?? []});
};

it.each([
  ['answers SERVFAIL', (query, answer) => answer(header(query, 2))],
  ['answers REFUSED', (query, answer) => answer(header(query, 5))],
  ['answers garbage', (_query, answer) => answer(Buffer.from('no dns at all'))],
  ['answers with half a packet', (query, answer) => answer(header(query, 0).subarray(0, 14))],
  [
    'answers another question',
    (query, answer) =>
      answer(answerQuery(encode({...decode(query), questions: [{type: 'A', name: 'one.name.test'}]}), () => site)!),
  ],
  ['keeps quiet', () => undefined],
] as const satisfies readonly (readonly [string, NonNullable<ProxiedLab['resolver']>])[])(
  'a resolver that %s: 502 Unresolvable, and the name is found when it is well again',
  async (what, doing) => {
    const name = `${what.toLowerCase().replaceAll(' ', '-')}.name.test`;
    await world.addSite(
      name,
      80,
      createServer((_, response) => response.end('hello')),
    );
    world.resolver = doing;
    expect(await ask(name)).toBe('502');
    await world.seen(
      (line) => line.event === 'egress.flow' && line['name'] === name && line['reason'] === 'Unresolvable',
    );
    await world.seen((line) => line.event === 'resolver.failed');
    expect((await readyz(world)).ready).toBe(true);
    world.resolver = null;
    await eventually(async () => (await ask(name)) !== '502');
    expect(await curl(world, `http://${name}/`)).toBe('200');
  },
  60_000,
);

it('an answer that is truncated is asked for over TCP', async () => {
  const name = 'long.name.test';
  await world.addSite(
    name,
    80,
    createServer((_, response) => response.end('hello')),
  );
  const ip = (await world.lab.exec('app', ['getent', 'ahostsv4', name])).stdout.split(' ')[0]!;
  const overTcp = createTcp((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      const answer = answerQuery(chunk.subarray(2), () => ip)!;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.end(Buffer.concat([length, answer]));
    });
  });
  await listenIn(world.lab.internet.path, overTcp, RESOLVER, 53);
  world.resolver = (query, answer) => answer(header(query, TRUNCATED_RESPONSE));
  expect(await curl(world, `http://${name}/`, '--resolve', `${name}:80:${ip}`)).toBe('200');
  overTcp.close();
}, 30_000);

it('a resolver that is slow: the request waits, others do not', async () => {
  const name = 'slow.name.test';
  const ip = await world.addSite(
    name,
    80,
    createServer((_, response) => response.end('hello')),
  );
  let late = (): void => {};
  const asked = new Promise<void>((resolve) => {
    world.resolver = (query, answer) => {
      const reply = answerQuery(query, () => ip)!;
      if (decode(query).questions?.[0]?.name !== name) return answer(reply);
      const before = late;
      late = () => (before(), answer(reply));
      resolve();
    };
  });
  const waiting = curl(world, `http://${name}/`, '--resolve', `${name}:80:${ip}`);
  await within(asked, 'the proxy asks for the name');
  await world.addSite('quick.name.test', 81, createTcp());
  expect(await curl(world, 'http://one.name.test/', '--resolve', `one.name.test:80:${site}`)).not.toBe('curl exit 28');
  late();
  expect(await waiting).toBe('200');
}, 30_000);

it('a resolver that is gone when the policy changes: what lives goes on', async () => {
  const name = 'lives.name.test';
  const ip = await world.addSite(name, 443, tlsEchoServer(world.ca.leaves, name));
  const tunnel = await sealed(world, 'captured', ip, name);
  expect(await tunnel.echo('before')).toBe(true);
  world.resolver = () => undefined;
  // Until what was cached has expired (the lab's answers live 5 s).
  await eventually(async () => (await ask('one.name.test')) === '502');
  const loads = await metric(world, 'sallyport_policy_loads_total{result="ok"}');
  world.setPolicy(policy([{name: 'web', to: {hosts: ['*.name.test'], schemes: ['tls', 'http']}}]));
  await eventually(async () => (await metric(world, 'sallyport_policy_loads_total{result="ok"}')) > loads);
  await eventually(async () => (await readyz(world)).workers.current);
  expect(await tunnel.echo('after')).toBe(true);
  tunnel.end();
}, 60_000);
