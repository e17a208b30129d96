import {createSocket} from 'node:dgram';
import {afterEach, describe, expect, test} from '@jest/globals';
import {decode, encode, type Answer, type Packet} from 'dns-packet';
import type {Address, Names} from '../policy/index.ts';
import {createResolver, type Resolver, type ResolverOptions} from './resolver.ts';
import {RESOLVER_LIMITS} from './resolver-limits.ts';
import {closeAll, onClose} from '../tproxy/upstream/testing/harness.ts';

afterEach(closeAll);

type Zone = Record<
  string,
  {A?: string[]; AAAA?: string[]; ttl?: number; rcode?: number; silent?: boolean; failAAAA?: boolean}
>;

/** A DNS server on loopback with the zone given; names that are not in it do not exist. */
async function serverOf(zone: Zone): Promise<{server: string; asked: string[]}> {
  const socket = createSocket('udp4');
  const asked: string[] = [];
  socket.on('message', (message, peer) => {
    const query = decode(message);
    const {name, type} = query.questions![0]!;
    asked.push(`${type} ${name}`);
    const entry = zone[name];
    if (entry?.silent === true) return;
    const found = type === 'A' ? entry?.A : entry?.AAAA;
    const answers = (found ?? []).map((data): Answer => ({type: type as 'A', name, ttl: entry?.ttl ?? 60, data}));
    const rcode = entry === undefined ? 3 : entry.failAAAA === true && type === 'AAAA' ? 2 : (entry.rcode ?? 0);
    const packet: Packet = {
      type: 'response',
      id: query.id!,
      flags: rcode | 0x0180,
      questions: query.questions!,
      answers,
    };
    socket.send(encode(packet), peer.port, peer.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  onClose(() => socket.close());
  return {server: `127.0.0.1:${socket.address().port}`, asked};
}

function resolver(options: Partial<ResolverOptions>): Resolver {
  const made = createResolver({server: null, ...options});
  onClose(() => made.close());
  return made;
}

const ask = (from: Resolver, names: string[], recent = false): Promise<Names> =>
  new Promise((resolve) => from.lookup(names, recent, resolve));
const one = async (from: Resolver, name: string, recent = false): Promise<readonly Address[] | 'failed'> =>
  (await ask(from, [name], recent)).get(name)!;

describe('an answer', () => {
  test.each<[string, Zone[string] | null, readonly Address[] | 'failed']>([
    ['IPv4 alone', {A: ['5.6.7.8']}, ['5.6.7.8']],
    ['IPv6 alone', {AAAA: ['2001:db8::1']}, ['2001:db8::1']],
    [
      "IPv4 first, then IPv6, each in the server's order",
      {A: ['9.9.9.9', '1.1.1.1'], AAAA: ['2001:db8::2', '2001:db8::1']},
      ['9.9.9.9', '1.1.1.1', '2001:db8::2', '2001:db8::1'],
    ],
    ['forbidden kinds are not filtered here', {A: ['127.0.0.1', '169.254.169.254']}, ['127.0.0.1', '169.254.169.254']],
    ['IPv6 in its canonical text', {AAAA: ['2001:0DB8:0:0:0:0:0:1']}, ['2001:db8::1']],
    ['the name exists without addresses', {}, []],
    ['no such name', null, 'failed'],
    ['the server fails', {rcode: 2}, 'failed'],
    ['the server refuses', {rcode: 5}, 'failed'],
    ['the server fails for IPv6 only', {A: ['5.6.7.8'], failAAAA: true}, ['5.6.7.8']],
  ])('%s', async (_what, entry, expected) => {
    const {server} = await serverOf(entry === null ? {} : {'a.b.test': entry});
    expect(await one(resolver({server, limits: {queryTries: 1}}), 'a.b.test')).toEqual(expected);
  });

  test('an IP literal answers itself and is not asked for', async () => {
    const {server, asked} = await serverOf({});
    const names = await ask(resolver({server}), ['5.6.7.8', '2001:db8::1']);
    expect([...names]).toEqual([
      ['5.6.7.8', ['5.6.7.8']],
      ['2001:db8::1', ['2001:db8::1']],
    ]);
    expect(asked).toEqual([]);
  });

  test('a server that keeps quiet: failed in time', async () => {
    const {server} = await serverOf({'a.b.test': {silent: true}});
    expect(await one(resolver({server, limits: {queryTimeoutMs: 250, queryTries: 1}}), 'a.b.test')).toBe('failed');
  });

  test('a name that cannot be asked for: failed', async () => {
    const {server} = await serverOf({});
    for (const name of ['a..b', `${'x'.repeat(70)}.test`, ''])
      expect(await one(resolver({server}), name)).toBe('failed');
  });

  test('after close(): failed', async () => {
    const {server} = await serverOf({'a.b.test': {A: ['5.6.7.8']}});
    const closed = resolver({server});
    closed.close();
    expect(await one(closed, 'a.b.test')).toBe('failed');
  });
});

describe('the cache', () => {
  function clock(): {now: () => number; add: (ms: number) => void} {
    let at = 1_000_000;
    return {now: () => at, add: (ms) => (at += ms)};
  }

  test('answers at once while the TTL lasts, and asks again after it', async () => {
    const zone: Zone = {'a.b.test': {A: ['5.6.7.8'], ttl: 30}};
    const {server, asked} = await serverOf(zone);
    const time = clock();
    const from = resolver({server, now: time.now});
    await one(from, 'a.b.test');
    zone['a.b.test'] = {A: ['5.6.7.9'], ttl: 30};
    time.add(29_999);
    let got: readonly Address[] | 'failed' | undefined;
    from.lookup(['a.b.test'], false, (names) => (got = names.get('a.b.test')));
    // No turn of the event loop in between.
    expect(got).toEqual(['5.6.7.8']);
    expect(asked).toHaveLength(2);
    time.add(1);
    expect(await one(from, 'a.b.test')).toEqual(['5.6.7.9']);
  });

  test.each([
    ['a TTL of 0 lasts a second', 0, RESOLVER_LIMITS.minTtlMs],
    ['a TTL of a day lasts minutes', 86_400, RESOLVER_LIMITS.maxTtlMs],
  ])('%s', async (_what, ttl, lastsMs) => {
    const {server, asked} = await serverOf({'a.b.test': {A: ['5.6.7.8'], ttl}});
    const time = clock();
    const from = resolver({server, now: time.now});
    await one(from, 'a.b.test');
    time.add(lastsMs - 1);
    await one(from, 'a.b.test');
    expect(asked).toHaveLength(2);
    time.add(1);
    await one(from, 'a.b.test');
    expect(asked).toHaveLength(4);
  });

  test('that there is no such name is kept briefly', async () => {
    const zone: Zone = {};
    const {server} = await serverOf(zone);
    const time = clock();
    const from = resolver({server, now: time.now});
    expect(await one(from, 'a.b.test')).toBe('failed');
    zone['a.b.test'] = {A: ['5.6.7.8']};
    expect(await one(from, 'a.b.test')).toBe('failed');
    time.add(RESOLVER_LIMITS.negativeTtlMs);
    expect(await one(from, 'a.b.test')).toEqual(['5.6.7.8']);
  });

  test('recent: what was answered a while ago, after what is answered now', async () => {
    const zone: Zone = {'a.b.test': {A: ['5.6.7.1'], ttl: 10}};
    const {server} = await serverOf(zone);
    const time = clock();
    const from = resolver({server, now: time.now});
    await one(from, 'a.b.test');
    time.add(10_000);
    zone['a.b.test'] = {A: ['5.6.7.2'], ttl: 10};
    expect(await one(from, 'a.b.test', true)).toEqual(['5.6.7.2', '5.6.7.1']);
    expect(await one(from, 'a.b.test', false)).toEqual(['5.6.7.2']);
    time.add(RESOLVER_LIMITS.recentMs);
    expect(await one(from, 'a.b.test', true)).toEqual(['5.6.7.2']);
  });

  test('recent: also where the name no longer resolves, but not for dialling', async () => {
    const zone: Zone = {'a.b.test': {A: ['5.6.7.1'], ttl: 10}};
    const {server} = await serverOf(zone);
    const time = clock();
    const from = resolver({server, now: time.now});
    await one(from, 'a.b.test');
    delete zone['a.b.test'];
    time.add(10_000);
    expect(await one(from, 'a.b.test', true)).toEqual(['5.6.7.1']);
    expect(await one(from, 'a.b.test', false)).toBe('failed');
  });

  test('recent addresses of one name are bounded, the oldest go', async () => {
    const zone: Zone = {};
    const {server} = await serverOf(zone);
    const time = clock();
    const from = resolver({server, now: time.now, limits: {maxRecentAddresses: 3}});
    for (let i = 1; i <= 5; i++) {
      zone['a.b.test'] = {A: [`5.6.7.${i}`], ttl: 1};
      await one(from, 'a.b.test');
      time.add(1_000);
    }
    expect(await one(from, 'a.b.test', true)).toEqual(
      ['5.6.7.5', '5.6.7.3', '5.6.7.4'].sort((a, b) =>
        a === '5.6.7.5' ? -1 : b === '5.6.7.5' ? 1 : a.localeCompare(b),
      ),
    );
  });

  test('however many ask, a name is asked for once', async () => {
    const {server, asked} = await serverOf({'a.b.test': {A: ['5.6.7.8']}});
    const from = resolver({server});
    const all = await Promise.all(Array.from({length: 20}, () => one(from, 'a.b.test')));
    expect(new Set(all.map(String))).toEqual(new Set(['5.6.7.8']));
    expect(asked.sort()).toEqual(['A a.b.test', 'AAAA a.b.test']);
  });

  test('beyond the lookups under way a name fails, is noticed, and is not remembered as failed', async () => {
    const {server} = await serverOf({'a.b.test': {A: ['5.6.7.1']}, 'b.b.test': {A: ['5.6.7.2']}});
    const notices: string[] = [];
    const from = resolver({server, limits: {maxInFlight: 1}, onNotice: (event) => notices.push(event)});
    const first = one(from, 'a.b.test');
    expect(from.inFlight()).toBe(1);
    expect(await one(from, 'b.b.test')).toBe('failed');
    expect(notices).toEqual(['resolver.overloaded']);
    expect(await first).toEqual(['5.6.7.1']);
    expect(await one(from, 'b.b.test')).toEqual(['5.6.7.2']);
  });

  test('names are bounded', async () => {
    const {server, asked} = await serverOf({'a.b.test': {A: ['5.6.7.1']}, 'b.b.test': {A: ['5.6.7.2']}});
    const from = resolver({server, limits: {maxNames: 1}});
    await one(from, 'a.b.test');
    await one(from, 'b.b.test');
    await one(from, 'a.b.test');
    expect(asked).toHaveLength(6);
  });
});

test('a name is looked up as written only: a search list would hide from the policy what was found', async () => {
  const {server, asked} = await serverOf({'api.ns.svc.cluster.local': {A: ['10.96.0.1']}});
  expect(await one(resolver({server}), 'api')).toBe('failed');
  expect(asked.sort()).toEqual(['A api', 'AAAA api']);
});

test('a server that is no address is refused at once', () => {
  expect(() => createResolver({server: 'nonsense'})).toThrow(/nonsense/);
});

describe('names kept', () => {
  test("who asks for many pushes out his own and nobody else's", async () => {
    const names = ['quiet.test', 'a.test', 'b.test', 'c.test'];
    const {server, asked} = await serverOf(Object.fromEntries(names.map((name) => [name, {A: ['5.6.7.8']}])));
    const of = resolver({server, limits: {maxNamesPerOwner: 2}});
    const lookUp = (name: string, owner: string): Promise<Names> =>
      new Promise((resolve) => of.lookup([name], false, resolve, owner));
    await lookUp('quiet.test', 'quiet');
    for (const name of ['a.test', 'b.test', 'c.test']) await lookUp(name, 'noisy');
    expect(names.map((name) => of.known([name]))).toEqual([true, false, true, true]);
    expect(of.cached()).toBe(3);
    asked.length = 0;
    await lookUp('a.test', 'noisy');
    expect(asked.sort()).toEqual(['A a.test', 'AAAA a.test']);
    expect(of.known(['quiet.test'])).toBe(true);
  });

  test('known() tells beforehand whether lookup() answers at once', async () => {
    const {server} = await serverOf({'a.test': {A: ['5.6.7.8']}});
    const of = resolver({server});
    expect([of.known(['a.test']), of.known(['192.0.2.1'])]).toEqual([false, true]);
    await ask(of, ['a.test']);
    let answered = false;
    expect(of.known(['a.test', '192.0.2.1'])).toBe(true);
    of.lookup(['a.test', '192.0.2.1'], false, () => (answered = true));
    expect(answered).toBe(true);
  });
});
