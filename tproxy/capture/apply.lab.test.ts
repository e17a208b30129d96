import {afterEach, describe, expect, test} from '@jest/globals';
import {createCapture} from './apply.ts';
import {
  createRig,
  datagram,
  eventually,
  firstLine,
  greeter,
  lineOf,
  membersOf,
  udpEcho,
  WEB,
} from '../../test/lab/capture-rig.ts';
import type {Rig, RigOptions} from '../../test/lab/capture-rig.ts';
import {connectIn, labTests, udpIn} from '../../test/lab/index.ts';
import {DEFAULT_MARKS} from './marks.ts';

const labTest = labTests(test);

let rig: Rig;
const start = async (options: Partial<RigOptions> = {}): Promise<void> => {
  rig = await createRig({pods: [{name: 'locked'}, {name: 'free'}], ...options});
};
const path = (pod: string): string => rig.lab.pod(pod).path;
const internet = (): string => rig.lab.internet.path;
afterEach(() => rig?.close());

describe('a dead proxy', () => {
  labTest.each([
    {intercept: 'tproxy' as const, taken: `taken ${WEB[4]}:443`},
    {intercept: 'redirect' as const, taken: expect.stringMatching(/^taken .*:15080$/)},
  ])(
    'means no egress by $intercept: SYNs are dropped and UDP is refused, until it is back',
    async ({intercept, taken}) => {
      await start({config: {intercept}});
      const server = await greeter(internet(), WEB[4], 443);
      const echo = await udpEcho(internet(), WEB[4], 443);
      await rig.stopListening();
      const waiting = connectIn(path('locked'), {ip: WEB[4], port: 443});
      const line = lineOf(waiting);
      await eventually(async () => (await rig.counter('listener_away')) > 0);
      expect(await datagram(path('locked'), rig.lab.pod('locked').ip4, {ip: WEB[4], port: 443})).toBe('EHOSTUNREACH');
      expect(await firstLine(path('free'), WEB[4], 443)).toMatch(/^hello/);

      await rig.listen();
      // The same connection, by its next SYN: an upgrade is a pause.
      expect(await line).toEqual(taken);
      expect(server.seen).toEqual([rig.lab.pod('free').ip4]);
      expect(echo.seen).toEqual([]);
      waiting.destroy();
      server.close();
      echo.close();
    },
  );

  labTest('leaves its rules behind: after close() the pod is as locked as before', async () => {
    await start();
    await rig.capture.close();
    await rig.stopListening();
    expect((await rig.lab.exec('locked', ['ping', '-c1', '-W5', WEB[4]])).status).toBe(1);
    const client = connectIn(path('locked'), {ip: WEB[4], port: 443});
    await eventually(async () => (await rig.counter('listener_away')) > 0);
    client.destroy();
  });
});

describe('rules that somebody else changed', () => {
  labTest.each([
    ['all rules flushed', ['nft', 'flush', 'ruleset']],
    ['our table deleted', ['nft', 'delete', 'table', 'inet', 'sallyport']],
    ['one chain emptied', ['nft', 'flush', 'chain', 'inet', 'sallyport', 'pod']],
    ['a rule of theirs before ours', ['nft', 'insert', 'rule', 'inet', 'sallyport', 'prerouting', 'accept']],
    ['a pod taken out of its set', ['nft', 'flush', 'set', 'inet', 'sallyport', 'locked4']],
    ['the ip rule deleted', ['ip', 'rule', 'del', 'priority', '10']],
    ['the local route deleted', ['ip', 'route', 'flush', 'table', '15080']],
  ])(
    '%s: put back, and said',
    async (_what, command) => {
      await start();
      expect((await rig.lab.exec('node', command)).status).toBe(0);
      await eventually(() => rig.notices.some((notice) => notice.startsWith('capture.drift')));
      expect(rig.capture.status()).toMatchObject({inForce: true, drifts: 1, locked: 2});
      expect(await firstLine(path('locked'), WEB[4], 443)).toBe(`taken ${WEB[4]}:443`);
      expect((await rig.lab.exec('locked', ['ping', '-c1', '-W5', WEB[4]])).status).toBe(1);
    },
    20_000,
  );

  labTest('our own changes are no drift', async () => {
    await start();
    await rig.capture.update([]);
    await rig.capture.update(rig.member('locked'));
    expect(await rig.capture.check()).toBe(false);
    expect(rig.capture.status().drifts).toBe(0);
  });
});

describe('a pod that is locked while it runs', () => {
  labTest.each([{family: 4 as const}, {family: 6 as const}])(
    'loses the connections it had open, IPv$family',
    async ({family}) => {
      await start({members: () => []});
      const server = await greeter(internet(), WEB[family], 443);
      const quiet = connectIn(path('locked'), {ip: WEB[family], port: 443});
      const busy = connectIn(path('locked'), {ip: WEB[family], port: 443});
      expect(await Promise.all([lineOf(quiet), lineOf(busy)])).toEqual([
        expect.stringMatching(/^hello/),
        expect.stringMatching(/^hello/),
      ]);

      await rig.capture.update(rig.member('locked'));
      expect(rig.notices.join('\n')).toMatch(/capture\.cut: 2 connections/);
      const ended = lineOf(busy);
      busy.write('secret\n');
      expect(await ended).toBe('ECONNRESET');
      // Nor does the server bring the other one back, as conntrack would by itself.
      const before = await rig.counter('midstream');
      server.broadcast('still there?\n');
      await eventually(async () => (await rig.counter('midstream')) > before);
      const cut = lineOf(quiet);
      quiet.write('secret\n');
      expect(await cut).toBe('ECONNRESET');
      expect(server.heard()).toBe('');
      server.close();
    },
  );

  labTest('its UDP flows end too, whoever speaks first', async () => {
    await start({members: () => []});
    const echo = await udpEcho(internet(), WEB[4], 443);
    const pod = await udpIn(path('locked'), rig.lab.pod('locked').ip4, 0);
    const heard: string[] = [];
    pod.on('message', (message) => heard.push(message.toString()));
    pod.send('before', 443, WEB[4]);
    await eventually(() => heard.includes('before'));

    await rig.capture.update(rig.member('locked'));
    echo.send('server speaks', pod.address().port, rig.lab.pod('locked').ip4);
    await eventually(() => heard.includes('server speaks'));
    const before = await rig.counter('refused_udp');
    pod.send('after', 443, WEB[4]);
    await eventually(async () => (await rig.counter('refused_udp')) > before);
    expect(echo.seen.filter((line) => line.endsWith('after'))).toEqual([]);
    pod.close();
    echo.close();
  });

  labTest('keeps the connections that others had opened towards it', async () => {
    await start({members: () => []});
    const server = await greeter(path('locked'), rig.lab.pod('locked').ip4, 8080);
    const inbound = connectIn(path('free'), {ip: rig.lab.pod('locked').ip4, port: 8080});
    expect(await lineOf(inbound)).toMatch(/^hello/);
    await rig.capture.update(rig.member('locked'));
    const answer = lineOf(inbound);
    inbound.write('still served\n');
    expect(await answer).toBe('still served');
    inbound.destroy();
    server.close();
  });

  labTest('while only Audit selects it, what was open goes on; new connections are taken', async () => {
    await start({members: () => []});
    const server = await greeter(internet(), WEB[4], 443);
    const open = connectIn(path('locked'), {ip: WEB[4], port: 443});
    await lineOf(open);
    await rig.capture.update(rig.member('locked', 'captured'));
    const answer = lineOf(open);
    open.write('goes on\n');
    expect(await answer).toBe('goes on');
    expect(await firstLine(path('locked'), WEB[4], 443)).toBe(`taken ${WEB[4]}:443`);

    await rig.capture.update(rig.member('locked', 'locked'));
    const cut = lineOf(open);
    open.write('secret\n');
    expect(await cut).toBe('ECONNRESET');
    server.close();
  });
});

describe('where a pod is', () => {
  labTest('the same address on another interface is no member: dropped, neither taken nor let out', async () => {
    await start();
    const echo = await udpEcho(internet(), WEB[4], 443);
    const stolen = rig.lab.pod('locked').ip4;
    await rig.lab.exec('free', ['ip', 'addr', 'add', `${stolen}/32`, 'dev', 'lo']);
    const before = await rig.counter('spoofed');
    const client = connectIn(path('free'), {ip: WEB[4], port: 443}, {ip: stolen});
    const udp = await udpIn(path('free'), stolen, 0);
    udp.send('out', 443, WEB[4]);
    await eventually(async () => (await rig.counter('spoofed')) >= before + 2);
    expect(rig.taken).toEqual([]);
    expect(await datagram(path('free'), rig.lab.pod('free').ip4, {ip: WEB[4], port: 443}, 'c')).toBe('answered c');
    expect(echo.seen).toEqual([`${rig.lab.pod('free').ip4} c`]);
    client.destroy();
    udp.close();
    echo.close();
  });

  labTest('a member without a route is named, and held from the moment it is plugged in', async () => {
    const ips = ['10.77.0.99', 'fd77::99'];
    await start({members: () => ips.map((ip) => ({ip, interface: null, mode: 'locked', uid: 'late'}))});
    expect(rig.capture.status().unplaced).toEqual(ips);
    await rig.lab.addPod({name: 'late', ips});
    expect((await rig.lab.exec('late', ['ping', '-c1', '-W1', WEB[4]])).status).toBe(1);
    await eventually(() => rig.capture.status().unplaced.length === 0);
    expect(await firstLine(path('late'), WEB[6], 443)).toBe(`taken ${WEB[6]}:443`);
  });

  labTest('with podInterfaces, a pod that nobody knows yet gets nothing out; once known as free it does', async () => {
    await start({config: {podInterfaces: ['p-*']}});
    const ip = rig.lab.pod('free').ip4;
    const echo = await udpEcho(internet(), WEB[4], 443);
    const before = await rig.counter('unknown_pod');
    const udp = await udpIn(path('free'), ip, 0);
    udp.send('early', 443, WEB[4]);
    await eventually(async () => (await rig.counter('unknown_pod')) > before);
    await rig.capture.update([...rig.member('locked'), ...rig.member('free', 'free')]);
    expect(await datagram(path('free'), ip, {ip: WEB[4], port: 443}, 'known')).toBe('answered known');
    expect(echo.seen).toEqual([`${ip} known`]);
    udp.close();
    echo.close();
  });

  labTest('an address that goes to another pod takes nothing of the former owner’s along', async () => {
    await start();
    const ip = rig.lab.pod('locked').ip4;
    const server = await greeter(path('locked'), ip, 8080);
    const inbound = connectIn(path('free'), {ip, port: 8080});
    await lineOf(inbound);
    const entries = async (): Promise<string> => (await rig.lab.exec('node', ['conntrack', '-L', '-d', ip])).stdout;
    expect(await entries()).toContain('dport=8080');
    await rig.capture.update(membersOf(rig.lab.pod('locked')).map((member) => ({...member, uid: 'another'})));
    expect(await entries()).not.toContain('dport=8080');
    inbound.destroy();
    server.close();
  });

  labTest('an interface that is no name is refused with what to write, and the former members stay held', async () => {
    await start();
    const evil = rig.member('locked').map((member) => ({...member, interface: 'x" . 1.1.1.1 }; flush ruleset'}));
    await expect(rig.capture.update(evil)).rejects.toMatchObject({code: 'InterfaceInvalid'});
    expect(await firstLine(path('locked'), WEB[4], 443)).toBe(`taken ${WEB[4]}:443`);
  });
});

describe('a kernel that would lose what TPROXY takes', () => {
  labTest('src_valid_mark is said at start, with what to do; redirect works beside it', async () => {
    await start();
    await rig.capture.release();
    await rig.lab.exec('node', ['sysctl', '-w', 'net.ipv4.conf.all.src_valid_mark=1']);
    const tproxy = createCapture({config: SECOND, commands: rig.commands, onNotice: () => undefined});
    await expect(tproxy.start(rig.member('locked'))).rejects.toMatchObject({code: 'SourceValidMark'});
    const redirect = createCapture({
      config: {...SECOND, intercept: 'redirect'},
      commands: rig.commands,
      onNotice: () => undefined,
    });
    await redirect.start(rig.member('locked'));
    expect(await firstLine(path('locked'), WEB[4], 443)).toMatch(/^taken .*:15080$/);
    await redirect.close();
  });
});

describe('the life of the rules', () => {
  labTest('a restart replaces them without cutting what goes through us', async () => {
    await start();
    const client = connectIn(path('locked'), {ip: WEB[4], port: 443});
    await lineOf(client);
    await rig.capture.close();
    const notices: string[] = [];
    const second = createCapture({
      config: SECOND,
      commands: rig.commands,
      onNotice: (_level, event) => notices.push(event),
    });
    await second.start(rig.member('locked'));
    expect(notices).toEqual(['capture.started']);
    const answer = lineOf(client);
    client.write('goes on\n');
    expect(await answer).toBe('goes on');
    client.destroy();
    await second.close();
  });

  labTest('release() takes everything away', async () => {
    await start();
    const server = await greeter(internet(), WEB[4], 443);
    await rig.capture.release();
    expect(await firstLine(path('locked'), WEB[4], 443)).toMatch(/^hello/);
    expect((await rig.lab.exec('node', ['nft', 'list', 'ruleset'])).stdout).toBe('');
    expect((await rig.lab.exec('node', ['ip', 'rule'])).stdout).not.toContain('15080');
    server.close();
  });

  labTest('counters never fall, whoever replaces the table', async () => {
    await start();
    await firstLine(path('locked'), WEB[4], 443);
    const before = await rig.counter('taken');
    expect(before).toBeGreaterThan(0);
    // The bridge's table is new then, so both are replaced.
    await rig.lab.exec('node', ['nft', 'add', 'chain', 'inet', 'sallyport', 'theirs']);
    await eventually(() => rig.capture.status().drifts > 0);
    expect(await rig.counter('taken')).toBeGreaterThanOrEqual(before);
  });
});

const SECOND = {
  intercept: 'tproxy',
  capturedPort: 15080,
  explicitPort: null,
  closedPorts: [15084],
  resolvers: [],
  nodeCidrs: [],
  nat64Prefixes: [],
  podInterfaces: [],
  lockPodAddresses: false,
  meshDestinations: [],
  marks: DEFAULT_MARKS,
  routeTable: 15080,
  rulePriority: 10,
} as const;
