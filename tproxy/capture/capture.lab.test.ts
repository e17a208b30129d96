import {createSocket} from 'node:dgram';
import {Socket} from 'node:net';
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import {
  createRig,
  datagram,
  eventually,
  firstLine,
  greeter,
  lineOf,
  METADATA,
  RESOLVER,
  udpEcho,
  WEB,
  type Rig,
} from '../../test/lab/capture-rig.ts';
import {connectIn, hasLabPrivileges, labTests, rawPacketIn, udpIn} from '../../test/lab/index.ts';
import {bind, setOption, socket, SYS} from './libc.ts';
import {sockaddr} from './sockaddr.ts';

const labTest = labTests(test);

/** What the network says back: ICMP 3/13 reads as EHOSTUNREACH, ICMPv6 1/1 as EACCES. */
const PROHIBITED = {4: 'EHOSTUNREACH', 6: 'EACCES'} as const;

describe.each([{layout: 'routed'}, {layout: 'bridged'}])('a locked pod, $layout', ({layout}) => {
  const bridge = layout === 'bridged';
  let rig: Rig;
  const path = (pod: string): string => rig.lab.pod(pod).path;
  const ipOf = (pod: string, family: 4 | 6): string => (family === 4 ? rig.lab.pod(pod).ip4 : rig.lab.pod(pod).ip6);

  beforeAll(async () => {
    if (!hasLabPrivileges().ok) return;
    rig = await createRig({
      pods: [{name: 'locked'}, {name: 'audit'}, {name: 'free'}],
      bridge,
      members: (lab) =>
        (['locked', 'audit'] as const).flatMap((name) =>
          lab.pod(name).ips.map((ip) => ({
            ip,
            // As an operator names it: the pod's veth, also where that is a port of a bridge.
            interface: lab.pod(name).port,
            mode: name === 'locked' ? ('locked' as const) : ('captured' as const),
            uid: name,
          })),
        ),
    });
  });
  afterAll(() => rig?.close());

  describe.each([{family: 4 as const}, {family: 6 as const}])('IPv$family', ({family}) => {
    labTest(
      'TCP is handed to the listener, which sees pod and original destination; the server sees nothing',
      async () => {
        const server = await greeter(rig.lab.internet.path, WEB[family], 443);
        expect(await firstLine(path('locked'), WEB[family], 443)).toBe(`taken ${WEB[family]}:443`);
        expect(rig.taken.at(-1)!.from).toMatch(new RegExp(`^${ipOf('locked', family)}:\\d+$`));
        expect(server.seen).toEqual([]);
        // The control: the same from a free pod.
        expect(await firstLine(path('free'), WEB[family], 443)).toBe(`hello ${ipOf('free', family)}`);
        server.close();
      },
    );

    labTest('ping is refused at once, and answered for a free pod', async () => {
      const refused = await rig.lab.exec('locked', ['ping', '-c1', '-W5', WEB[family]]);
      expect(refused.stdout).toMatch(/Packet filtered|Administratively prohibited/);
      expect(refused.status).toBe(1);
      expect((await rig.lab.exec('free', ['ping', '-c1', '-W5', WEB[family]])).status).toBe(0);
    });

    labTest('UDP is refused at once and never arrives', async () => {
      const echo = await udpEcho(rig.lab.internet.path, WEB[family], 443);
      const to = {ip: WEB[family], port: 443};
      expect(await datagram(path('locked'), ipOf('locked', family), to)).toBe(PROHIBITED[family]);
      expect(await datagram(path('free'), ipOf('free', family), to, 'control')).toBe('answered control');
      expect(echo.seen).toEqual([`${ipOf('free', family)} control`]);
      echo.close();
    });

    labTest('fragments of a datagram are put together before they are judged', async () => {
      const echo = await udpEcho(rig.lab.internet.path, WEB[family], 444);
      const to = {ip: WEB[family], port: 444};
      const long = 'x'.repeat(4000);
      expect(await datagram(path('locked'), ipOf('locked', family), to, long)).toBe(PROHIBITED[family]);
      expect(await datagram(path('free'), ipOf('free', family), to, long)).toBe(`answered ${long}`);
      expect(echo.seen).toHaveLength(1);
      echo.close();
    });

    labTest(
      'the named resolver is reached over UDP and TCP; another one, and another port of it, are not',
      async () => {
        const dns = await udpEcho(rig.lab.internet.path, RESOLVER[family], 53);
        const dnsTcp = await greeter(rig.lab.internet.path, RESOLVER[family], 53);
        const other = await udpEcho(rig.lab.internet.path, WEB[family], 53);
        const from = ipOf('locked', family);
        expect(await datagram(path('locked'), from, {ip: RESOLVER[family], port: 53}, 'q')).toBe('answered q');
        expect(await firstLine(path('locked'), RESOLVER[family], 53)).toBe(`hello ${from}`);
        expect(await datagram(path('locked'), from, {ip: WEB[family], port: 53})).toBe(PROHIBITED[family]);
        expect(await datagram(path('locked'), from, {ip: RESOLVER[family], port: 443})).toBe(PROHIBITED[family]);
        expect(await firstLine(path('locked'), WEB[family], 53)).toBe(`taken ${WEB[family]}:53`);
        expect(other.seen).toEqual([]);
        dns.close();
        dnsTcp.close();
        other.close();
      },
    );

    labTest('the node’s own addresses are no way around: TCP is taken, UDP and ping refused', async () => {
      const node = rig.lab.node.ips[family === 4 ? 0 : 1]!;
      const server = await greeter(rig.lab.node.path, node, 10250);
      const echo = await udpEcho(rig.lab.node.path, node, 10250);
      expect(await firstLine(path('locked'), node, 10250)).toBe(`taken ${node}:10250`);
      expect(await datagram(path('locked'), ipOf('locked', family), {ip: node, port: 10250})).toBe(PROHIBITED[family]);
      expect((await rig.lab.exec('locked', ['ping', '-c1', '-W5', node])).status).toBe(1);
      expect(await firstLine(path('free'), node, 10250)).toBe(`hello ${ipOf('free', family)}`);
      expect([server.seen, echo.seen]).toEqual([[ipOf('free', family)], []]);
      server.close();
      echo.close();
    });

    labTest(
      'the explicit port answers a captured pod; the admin port does not, nor the captured port by its own number',
      async () => {
        const node = rig.lab.node.ips[family === 4 ? 0 : 1]!;
        const explicit = await greeter(rig.lab.node.path, node, 15081);
        const admin = await greeter(rig.lab.node.path, node, 15084);
        expect(await firstLine(path('locked'), node, 15081)).toBe(`hello ${ipOf('locked', family)}`);
        expect(await firstLine(path('locked'), node, 15084)).toBe(`taken ${node}:15084`);
        expect(await firstLine(path('locked'), node, 15080)).toBe(`taken ${node}:15080`);
        expect(admin.seen).toEqual([]);
        // The explicit port is for pods that are ours: not for whoever reaches the node.
        const closed = await rig.counter('ports_closed');
        const stranger = connectIn(rig.lab.internet.path, {ip: node, port: 15081});
        stranger.on('error', () => undefined);
        await eventually(async () => (await rig.counter('ports_closed')) > closed);
        stranger.destroy();
        expect(explicit.seen).toEqual([ipOf('locked', family)]);
        explicit.close();
        admin.close();
      },
    );

    labTest('pod to pod: TCP is taken, UDP and ping refused', async () => {
      const server = await greeter(path('free'), ipOf('free', family), 8080);
      const echo = await udpEcho(path('free'), ipOf('free', family), 8080);
      const to = {ip: ipOf('free', family), port: 8080};
      expect(await firstLine(path('locked'), to.ip, 8080)).toBe(`taken ${to.ip}:8080`);
      expect(await datagram(path('locked'), ipOf('locked', family), to)).toBe(PROHIBITED[family]);
      expect((await rig.lab.exec('locked', ['ping', '-c1', '-W5', to.ip])).status).toBe(1);
      expect([server.seen, echo.seen]).toEqual([[], []]);
      server.close();
      echo.close();
    });

    labTest(
      'connections opened towards it work, from a pod, from the node and from outside, TCP, UDP and ping',
      async () => {
        const ip = ipOf('locked', family);
        const server = await greeter(path('locked'), ip, 8080);
        const echo = await udpEcho(path('locked'), ip, 8080);
        expect(await firstLine(path('free'), ip, 8080)).toBe(`hello ${ipOf('free', family)}`);
        expect(await firstLine(rig.lab.node.path, ip, 8080)).toMatch(/^hello /);
        expect(await firstLine(rig.lab.internet.path, ip, 8080, WEB[family])).toBe(`hello ${WEB[family]}`);
        expect(await datagram(path('free'), ipOf('free', family), {ip, port: 8080}, 'probe')).toBe('answered probe');
        expect((await rig.lab.exec('node', ['ping', '-c1', '-W5', ip])).status).toBe(0);
        server.close();
        echo.close();
      },
    );

    labTest('a forged source address is dropped, be it anybody’s or another member’s', async () => {
      const echo = await udpEcho(rig.lab.internet.path, WEB[family], 445);
      const forged = family === 4 ? ['198.51.100.7', ipOf('audit', 4)] : ['2001:db8:f::7', ipOf('audit', 6)];
      const dropped = async (): Promise<number> =>
        (await rig.counter('spoofed')) + (await rig.counter('bridge_spoofed'));
      for (const ip of forged) {
        await rig.lab.exec('locked', ['ip', 'addr', 'add', `${ip}/${family === 4 ? 32 : 128}`, 'dev', 'lo']);
        const before = await dropped();
        const udp = await udpIn(path('locked'), ip, 0);
        udp.send('forged', 445, WEB[family]);
        await eventually(async () => (await dropped()) > before);
        udp.close();
        await rig.lab.exec('locked', ['ip', 'addr', 'del', `${ip}/${family === 4 ? 32 : 128}`, 'dev', 'lo']);
      }
      expect(await datagram(path('free'), ipOf('free', family), {ip: WEB[family], port: 445}, 'c')).toBe('answered c');
      expect(echo.seen).toEqual([`${ipOf('free', family)} c`]);
      echo.close();
    });

    labTest('a pod that only Audit selects: TCP taken, UDP and ping pass, what Audit enforces is refused', async () => {
      const from = ipOf('audit', family);
      const echo = await udpEcho(rig.lab.internet.path, WEB[family], 446);
      const node = rig.lab.node.ips[family === 4 ? 0 : 1]!;
      expect(await firstLine(path('audit'), WEB[family], 443)).toBe(`taken ${WEB[family]}:443`);
      expect(await datagram(path('audit'), from, {ip: WEB[family], port: 446}, 'u')).toBe('answered u');
      expect((await rig.lab.exec('audit', ['ping', '-c1', '-W5', WEB[family]])).status).toBe(0);
      expect(await datagram(path('audit'), from, {ip: node, port: 9})).toBe(PROHIBITED[family]);
      if (family === 4) expect(await datagram(path('audit'), from, {ip: METADATA, port: 9})).toBe(PROHIBITED[4]);
      echo.close();
    });
  });

  labTest.each([{family: 4 as const}, {family: 6 as const}])(
    'any other protocol is refused: an SCTP packet over IPv$family is counted and gets no further',
    async ({family}) => {
      const before = await rig.counter('refused_other');
      const IPPROTO_SCTP = 132;
      rawPacketIn(path('locked'), IPPROTO_SCTP, WEB[family], 'association');
      await eventually(async () => (await rig.counter('refused_other')) > before);
      expect(await rig.counter('forward_dropped')).toBe(0);
    },
  );

  labTest(
    'extension headers hide nothing: TCP behind destination options is taken, UDP behind them refused',
    async () => {
      const IPV6_DSTOPTS = 59;
      // Next header (filled in by the kernel), length 0 (8 bytes), one PadN option (RFC 8200 section 4.2).
      const padding = Buffer.from([0, 0, 1, 4, 0, 0, 0, 0]);
      const withOptions = (type: number): number =>
        rig.lab.inside('locked', () => {
          const fd = socket(SYS.AF_INET6, type);
          setOption(fd, SYS.SOL_IPV6, IPV6_DSTOPTS, padding);
          bind(fd, sockaddr(ipOf('locked', 6), 0));
          return fd;
        });
      const client = new Socket({fd: withOptions(SYS.SOCK_STREAM)});
      client.connect({host: WEB[6], port: 443});
      expect(await lineOf(client)).toBe(`taken ${WEB[6]}:443`);
      client.destroy();

      // To a port that no rule lets through, and to the resolver, where the answer shows that the option was sent and read.
      const before = await rig.counter('refused_udp');
      const dns = await udpEcho(rig.lab.internet.path, RESOLVER[6], 53);
      const udp = createSocket('udp6');
      await new Promise<void>((resolve) => udp.bind({fd: withOptions(SYS.SOCK_DGRAM)}, resolve));
      udp.send('hidden', 443, WEB[6]);
      udp.send('question', 53, RESOLVER[6]);
      await eventually(() => dns.seen.length > 0);
      expect(await rig.counter('refused_udp')).toBe(before + 1);
      expect(await rig.counter('forward_dropped')).toBe(0);
      udp.close();
      dns.close();
    },
  );
});
